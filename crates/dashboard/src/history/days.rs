//! How many jobs ended how, by rack and day: kept beside the jobs, so that a long span need not be counted anew.

use std::collections::BTreeMap;

use rusqlite::{Connection, Result, params};

/// Nanoseconds in a day of UTC.
const DAY: i64 = 24 * 60 * 60 * 1_000_000_000;

/// The number of the day, from 1970-01-01, in which a time of the file lies.
pub(crate) fn day(nanos: i64) -> i64 {
    nanos.div_euclid(DAY)
}

/// When a day begins, as the file holds times.
pub(crate) fn start_of(day: i64) -> i64 {
    day.saturating_mul(DAY)
}

/// What becomes more and less within one transaction.
#[derive(Debug, Default)]
pub(crate) struct Days(BTreeMap<(i64, String, String), i64>);

impl Days {
    /// A job of this rack ended with this outcome.
    pub(crate) fn add(&mut self, at: i64, rack: &str, outcome: &str) {
        self.change(at, rack, outcome, 1);
    }

    /// An outcome that was added is another one, of another time, or forgotten.
    pub(crate) fn take_away(&mut self, at: i64, rack: &str, outcome: &str) {
        self.change(at, rack, outcome, -1);
    }

    fn change(&mut self, at: i64, rack: &str, outcome: &str, by: i64) {
        let key = (day(at), rack.to_owned(), outcome.to_owned());
        *self.0.entry(key).or_default() += by;
    }

    /// Writes it. No row is left that counts nothing.
    pub(crate) fn write(self, connection: &Connection) -> Result<()> {
        let mut change = connection.prepare_cached(
            "INSERT INTO days (day, rack, outcome, count) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (day, rack, outcome) DO UPDATE SET count = count + excluded.count",
        )?;
        let mut clear = connection.prepare_cached(
            "DELETE FROM days WHERE day = ?1 AND rack = ?2 AND outcome = ?3 AND count = 0",
        )?;
        for ((day, rack, outcome), by) in self.0 {
            change.execute(params![day, rack, outcome, by])?;
            if by < 0 {
                clear.execute(params![day, rack, outcome])?;
            }
        }
        Ok(())
    }
}
