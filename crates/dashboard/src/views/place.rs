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
    /// Of what the file learnt while it was made anew, only what happened at this time or later: the rest was sent from
    /// the file before it. `None`: all that comes is news.
    since: Option<i64>,
}

/// A text that is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no place among events: give the `id` of the last one that came, or `last_event_id` of a list"
)]
pub struct BadPlace(String);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}-{}", self.file, self.number, self.at)?;
        match self.since {
            Some(since) => write!(f, "~{since}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> std::result::Result<Self, BadPlace> {
        let read = || {
            let (file, rest) = text.split_once('-')?;
            let (number, rest) = rest.split_once('-')?;
            let (at, since) = match rest.split_once('~') {
                Some((at, since)) => (at, Some(since.parse().ok()?)),
                None => (rest, None),
            };
            Some(Self {
                file: u64::from_str_radix(file, 16).ok()?.cast_signed(),
                number: number.parse().ok()?,
                at: at.parse().ok()?,
                since,
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
            since: None,
        })
    }

    /// Where somebody goes on who stopped at a place. One of another file says no more than a time: what happened since
    /// then comes, some of it perhaps once more. So does what this file learns again after it was set back.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn go_on_from(&self, place: Place) -> Result<Place> {
        let last = self.last_place()?;
        if place.file == last.file {
            let number = place.number.min(last.number);
            return Ok(Place { number, ..place });
        }
        Ok(Place {
            number: 0,
            // Who was cut off from that other file before all came that happened since then still lacks some.
            since: Some(place.since.unwrap_or(place.at)),
            ..last
        })
    }

    /// The next events after a place that a filter lets through, at most so many, in the order in which the file learnt of
    /// them, each with the place after it. The place becomes the one after all that was looked at.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn follow(
        &self,
        place: &mut Place,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<Vec<(Place, EventView)>> {
        let last = self.last_place()?;
        let whole: Option<i64> =
            self.connection
                .query_row("SELECT whole FROM file", [], |row| row.get(0))?;
        let (since, until) = (place.since, whole.unwrap_or(i64::MAX));
        let after = |number, at| Place {
            file: last.file,
            number,
            at,
            since: since.filter(|_| number < until),
        };
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
                    place.number,
                    until,
                    since.unwrap_or(i64::MIN),
                    filter.rack.as_ref().map(RackName::as_str),
                    filter.machine.as_ref().map(MachineName::as_str),
                    filter.cycle.map(CycleId::to_bytes),
                    filter.kind,
                    limit,
                ],
                |row| Ok((after(row.get("number")?, row.get("at")?), event(row)?)),
            )?
            .collect::<Result<_>>()?;
        *place = match found.last() {
            Some((place, _)) if found.len() == limit => *place,
            _ => after(last.number, last.at),
        };
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_from_its_text() {
        for (file, since) in [(5, None), (-5, Some(-4)), (i64::MIN, Some(0))] {
            let place = Place {
                file,
                number: 77,
                at: -3,
                since,
            };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "1", "1-2", "x-1-2", "1-2-3-4", "1-2-3~", "1-2-\u{0}"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
