//! How many jobs ended how, by cycle and day: kept beside the jobs, so that a long span need not be counted anew.

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
pub(super) struct Tally(BTreeMap<([u8; 16], i64, String), Change>);

#[derive(Debug)]
struct Change {
    rack: String,
    by: i64,
}

impl Tally {
    /// Jobs of this cycle that ended with this outcome at about this time: by how many there are more or fewer.
    pub(super) fn add(&mut self, cycle: [u8; 16], rack: &str, at: i64, outcome: &str, by: i64) {
        let key = (cycle, day(at), outcome.to_owned());
        let change = self.0.entry(key).or_insert_with(|| Change {
            rack: rack.to_owned(),
            by: 0,
        });
        change.by += by;
    }

    /// Writes it. No row is left that counts nothing.
    pub(super) fn write(self, connection: &Connection) -> Result<()> {
        let mut change = connection.prepare_cached(
            "INSERT INTO outcomes (cycle, day, outcome, rack, count) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (cycle, day, outcome) DO UPDATE SET count = count + excluded.count",
        )?;
        let mut clear = connection.prepare_cached(
            "DELETE FROM outcomes WHERE cycle = ?1 AND day = ?2 AND outcome = ?3 AND count = 0",
        )?;
        for ((cycle, day, outcome), Change { rack, by }) in self.0 {
            if by != 0 {
                change.execute(params![cycle, day, outcome, rack, by])?;
            }
            if by < 0 {
                clear.execute(params![cycle, day, outcome])?;
            }
        }
        Ok(())
    }
}
