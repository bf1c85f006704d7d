//! How the fleet does over days.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use model::name::{MachineName, RackName};
use rusqlite::{Result, params};
use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::{AsOf, row};
use crate::history::Reading;
use crate::history::time::nanos;

/// How many entries each ranking has.
const RANKED: usize = 20;

/// How the fleet did in a span of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trends {
    /// As of when.
    pub as_of: AsOf,
    /// From when.
    pub from: Timestamp,
    /// Outcomes by rack and day, in UTC, the oldest first.
    pub days: Vec<Day>,
    /// The machines whose outcome changed most often between passed and failed.
    pub flaky: Vec<Flaky>,
    /// The machines that have not deployed for longest, those that never did first.
    pub longest_without_pass: Vec<Cell>,
}

/// What became of a rack's jobs on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// The day, in UTC.
    pub day: Date,
    /// The rack.
    pub rack: RackName,
    /// How many jobs ended how.
    pub outcomes: BTreeMap<String, usize>,
}

/// A machine that cannot make up its mind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flaky {
    /// The machine.
    pub machine: MachineName,
    /// How often its outcome changed between passed and failed.
    pub changes: usize,
    /// Of how many that proved something.
    pub verdicts: usize,
}

const DAY: i64 = 24 * 60 * 60 * 1_000_000_000;

impl Reading<'_> {
    /// How the fleet did from a time to now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn trends(&self, from: Timestamp) -> Result<Trends> {
        Ok(Trends {
            as_of: self.as_of()?,
            from,
            days: self.days(from)?,
            flaky: self.flaky(from)?,
            longest_without_pass: self.longest_without_pass()?,
        })
    }

    fn days(&self, from: Timestamp) -> Result<Vec<Day>> {
        let mut statement = self.connection.prepare(
            "SELECT outcome_at / ?2 AS day, rack, outcome, count(*) AS count FROM jobs
             WHERE outcome_at IS NOT NULL AND outcome_at >= ?1 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        )?;
        let mut rows = statement.query(params![nanos(from), DAY])?;
        let mut days: Vec<Day> = Vec::new();
        while let Some(row) = rows.next()? {
            let (day, rack) = (date(row.get("day")?), row::rack(row, "rack")?);
            if days
                .last()
                .is_none_or(|last| (last.day, &last.rack) != (day, &rack))
            {
                days.push(Day {
                    day,
                    rack,
                    outcomes: BTreeMap::new(),
                });
            }
            if let Some(last) = days.last_mut() {
                last.outcomes.insert(row.get("outcome")?, row.get("count")?);
            }
        }
        Ok(days)
    }

    fn flaky(&self, from: Timestamp) -> Result<Vec<Flaky>> {
        self.connection
            .prepare(
                "SELECT machine, sum(streak = 1) AS changes, count(*) AS verdicts FROM jobs
                 WHERE outcome_at IS NOT NULL AND outcome_at >= ?1 AND outcome IN ('passed', 'failed')
                 GROUP BY machine HAVING changes > 1 ORDER BY changes DESC, machine LIMIT ?2",
            )?
            .query_map(params![nanos(from), RANKED], |row| {
                Ok(Flaky {
                    machine: row::machine_set(row, "machine")?,
                    changes: row.get("changes")?,
                    verdicts: row.get("verdicts")?,
                })
            })?
            .collect()
    }

    fn longest_without_pass(&self) -> Result<Vec<Cell>> {
        let found = self.cells(
            "WHERE m.deploys = 0 ORDER BY m.passed_at, b.machine, b.rack LIMIT ?1",
            [RANKED],
        )?;
        let mut cells: Vec<Cell> = found.into_iter().map(|(_, cell)| cell).collect();
        cells.dedup_by(|a, b| a.machine == b.machine);
        Ok(cells)
    }
}

fn date(day: i64) -> Date {
    let start = Timestamp::from_nanosecond(i128::from(day) * i128::from(DAY));
    start
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date()
}
