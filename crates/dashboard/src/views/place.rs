//! Events in the order in which the file learnt them, and places between them.

use std::fmt;
use std::str::FromStr;

use model::id::CycleId;
use model::name::{MachineName, RackName};
use rusqlite::{OptionalExtension, Result, params};
use serde::{Deserialize, Serialize};

use super::event::{EVENTS, EventFilter, EventView, event};
use crate::history::Reading;

/// A place in the order in which a file learnt of events: everything after it was learnt later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    /// Which file's numbers these are.
    file: i64,
    /// The number of the last event before it.
    number: i64,
    /// When that event happened, in nanoseconds since 1970: what is left of the place once the file is another one.
    at: i64,
}

/// A text that is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no place among events: give the `id` of the last one that came, or `last_event_id` of a list"
)]
pub struct BadPlace(String);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}-{}", self.file, self.number, self.at)
    }
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> std::result::Result<Self, BadPlace> {
        let read = || {
            let (file, rest) = text.split_once('-')?;
            let (number, at) = rest.split_once('-')?;
            Some(Self {
                file: u64::from_str_radix(file, 16).ok()?.cast_signed(),
                number: number.parse().ok()?,
                at: at.parse().ok()?,
            })
        };
        read().ok_or_else(|| {
            let text: String = text.chars().take(64).collect();
            BadPlace(text.escape_debug().to_string())
        })
    }
}

impl TryFrom<String> for Place {
    type Error = BadPlace;

    fn try_from(text: String) -> std::result::Result<Self, BadPlace> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

/// How far somebody has followed the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// After this.
    pub place: Place,
    /// Of those up to this number, only what happened at this time or later: the file was made anew since it began, and
    /// learnt again what was sent already.
    again: Option<(i64, i64)>,
}

impl Reading<'_> {
    /// The place after all events.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn last_place(&self) -> Result<Place> {
        let file = self
            .connection
            .query_row("SELECT id FROM file", [], |row| row.get(0))?;
        let number = self
            .connection
            .query_row(
                "SELECT seq FROM sqlite_sequence WHERE name = 'events'",
                [],
                |row| row.get(0),
            )
            .optional()?
            .unwrap_or(0);
        let newest: Option<i64> =
            self.connection
                .query_row("SELECT max(at) FROM events", [], |row| row.get(0))?;
        Ok(Place {
            file,
            number,
            at: newest.unwrap_or(0),
        })
    }

    /// Where somebody goes on who stopped at a place. One of another file, or of this one before it was set back, says
    /// no more than a time: what happened since then comes, some of it perhaps once more.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn go_on_from(&self, place: Place) -> Result<Followed> {
        let last = self.last_place()?;
        if place.file == last.file && place.number <= last.number {
            return Ok(Followed { place, again: None });
        }
        Ok(Followed {
            place: Place { number: 0, ..last },
            again: Some((last.number, place.at)),
        })
    }

    /// The next events after what was followed that a filter lets through, at most so many, in the order in which the
    /// file learnt of them, each with the place after it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn follow(
        &self,
        followed: &mut Followed,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<Vec<(Place, EventView)>> {
        let last = self.last_place()?;
        let (known, since) = followed.again.unwrap_or((0, i64::MIN));
        let found: Vec<(Place, EventView)> = self
            .connection
            .prepare_cached(&format!(
                "{EVENTS} WHERE e.number > ?1 AND (e.number > ?2 OR e.at >= ?3)
                     AND (?4 IS NULL OR e.rack = ?4) AND (?5 IS NULL OR e.machine = ?5)
                     AND (?6 IS NULL OR e.cycle = ?6) AND (?7 IS NULL OR e.kind = ?7)
                 ORDER BY e.number LIMIT ?8"
            ))?
            .query_map(
                params![
                    followed.place.number,
                    known,
                    since,
                    filter.rack.as_ref().map(RackName::as_str),
                    filter.machine.as_ref().map(MachineName::as_str),
                    filter.cycle.map(CycleId::to_bytes),
                    filter.kind,
                    limit,
                ],
                |row| {
                    let place = Place {
                        file: last.file,
                        number: row.get("number")?,
                        at: row.get("at")?,
                    };
                    Ok((place, event(row)?))
                },
            )?
            .collect::<Result<_>>()?;
        followed.place = match found.last() {
            Some((place, _)) if found.len() == limit => *place,
            _ => last,
        };
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_from_its_text() {
        for file in [5, -5, i64::MIN] {
            let place = Place {
                file,
                number: 77,
                at: -3,
            };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "1", "1-2", "x-1-2", "1-2-3-4", "1-2-\u{0}"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
