//! Long lists, a piece at a time, the newest first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AsOf;

/// A piece of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The entries, the newest first.
    pub items: Vec<T>,
    /// Where the next piece begins; `None`: this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next: Option<Cursor>,
}

/// A piece of a list, and as of when it is true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// As of when.
    pub as_of: AsOf,
    /// The piece.
    #[serde(flatten)]
    pub page: Page<T>,
}

/// A place in a list: everything after it is older. It stays what it is when the list grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    /// Nanoseconds since 1970 of the last entry given.
    pub(crate) at: i64,
    /// Tells it from others of the same time: an id, or the number of a row.
    pub(crate) key: u128,
}

/// A text that is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no place in a list: give what `next` of the page before it said")]
pub struct BadCursor(String);

impl Cursor {
    /// The place of a row with an id.
    pub(crate) fn of_id(at: i64, id: [u8; 16]) -> Self {
        Self {
            at,
            key: u128::from_be_bytes(id),
        }
    }

    /// The place of a row with a number.
    pub(crate) fn of_row(at: i64, row: i64) -> Self {
        Self {
            at,
            key: row.cast_unsigned().into(),
        }
    }

    /// The id that [`Cursor::of_id`] was given.
    pub(crate) fn id(self) -> [u8; 16] {
        self.key.to_be_bytes()
    }

    /// The number that [`Cursor::of_row`] was given.
    pub(crate) fn row(self) -> i64 {
        i64::try_from(self.key).unwrap_or(i64::MAX)
    }

    /// Before everything.
    pub(crate) const NEWEST: Self = Self {
        at: i64::MAX,
        key: u128::MAX,
    };
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}", self.at, self.key)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let read = || {
            let (at, key) = text.split_once('.')?;
            Some(Self {
                at: at.parse().ok()?,
                key: u128::from_str_radix(key, 16).ok()?,
            })
        };
        read().ok_or_else(|| {
            BadCursor(
                text.chars()
                    .take(64)
                    .collect::<String>()
                    .escape_debug()
                    .to_string(),
            )
        })
    }
}

impl TryFrom<String> for Cursor {
    type Error = BadCursor;

    fn try_from(text: String) -> Result<Self, BadCursor> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

impl<T> Page<T> {
    /// A page from one entry more than it may hold, each with its place.
    pub(crate) fn of(mut found: Vec<(Cursor, T)>, limit: usize) -> Self {
        let more = found.len() > limit;
        found.truncate(limit);
        let next = if more {
            found.last().map(|(place, _)| *place)
        } else {
            None
        };
        Self {
            items: found.into_iter().map(|(_, item)| item).collect(),
            next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_from_its_text() {
        let cursor = Cursor { at: -5, key: 77 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "1", "a.b", "1.x", "1.2.3", "1.\u{0}"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_a_page_with_more_behind_it_has_a_next() {
        let found = |count| (0..count).map(|key| (Cursor { at: 1, key }, key)).collect();
        assert_eq!(Page::of(found(3), 3).next, None);
        let page = Page::of(found(4), 3);
        assert_eq!(page.items, [0, 1, 2]);
        assert_eq!(page.next, Some(Cursor { at: 1, key: 2 }));
    }
}
