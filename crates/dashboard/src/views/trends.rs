//! How the fleet does over days.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::name::{MachineName, RackName};
use rusqlite::{Result, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cell::{Cell, Cells};
use super::{AsOf, row};
use crate::history::Reading;
use crate::history::tally::{day, start_of};
use crate::history::time::{nanos, time};

/// How many entries each ranking has.
const RANKED: usize = 20;

/// How the fleet did in a span of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trends {
    /// As of when.
    pub as_of: AsOf,
    /// From when. Outcomes by day are those of whole days, from the one that holds this.
    pub from: Timestamp,
    /// Outcomes by rack and day, in UTC, the oldest first.
    pub days: Vec<Day>,
    /// The machines whose outcome changed most often between passed and failed.
    pub flaky: Vec<Flaky>,
    /// The machines that have not deployed for longest, those that never did first.
    pub longest_without_pass: Vec<Cell>,
}

/// What became of a rack's jobs on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Day {
    /// The day, in UTC.
    pub day: Date,
    /// The rack.
    pub rack: RackName,
    /// How many jobs ended how.
    pub outcomes: BTreeMap<String, usize>,
}

/// A machine that cannot make up its mind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Flaky {
    /// The machine.
    pub machine: MachineName,
    /// How often its outcome changed between passed and failed.
    pub changes: usize,
    /// Of how many that proved something.
    pub verdicts: usize,
}

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
        let mut statement = self.connection.prepare_cached(
            "SELECT day, rack, outcome, sum(count) AS count FROM outcomes WHERE day >= ?1
             GROUP BY day, rack, outcome ORDER BY day, rack, outcome",
        )?;
        let mut rows = statement.query([day(nanos(from))])?;
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
        let mut changed = self.connection.prepare_cached(
            "SELECT machine FROM jobs
             WHERE streak = 1 AND outcome IN ('passed', 'failed') AND outcome_at >= ?1",
        )?;
        let mut rows = changed.query([nanos(from)])?;
        let mut changes: HashMap<String, usize> = HashMap::new();
        while let Some(row) = rows.next()? {
            let machine = row.get_ref(0)?.as_str()?;
            match changes.get_mut(machine) {
                Some(changes) => *changes += 1,
                None => {
                    changes.insert(machine.to_owned(), 1);
                }
            }
        }
        // Who changed once only is another than before, and no more.
        let mut most: Vec<(Reverse<usize>, String)> = changes
            .into_iter()
            .filter(|(_, changes)| *changes > 1)
            .map(|(machine, changes)| (Reverse(changes), machine))
            .collect();
        most.sort_unstable();
        // Some of them changed once less: see below.
        most.truncate(2 * RANKED);
        let mut verdicts = self.connection.prepare_cached(
            "SELECT ?1 AS machine, count(*), EXISTS (
                 SELECT 1 FROM jobs WHERE machine = ?1 AND outcome_at IS NOT NULL AND outcome_at < ?2
                     AND outcome IN ('passed', 'failed'))
             FROM jobs WHERE machine = ?1 AND outcome_at IS NOT NULL AND outcome_at >= ?2
                 AND outcome IN ('passed', 'failed')",
        )?;
        let flaky = most.into_iter().map(|(Reverse(changes), machine)| {
            verdicts.query_row(params![machine, nanos(from)], |row| {
                // The first verdict of all begins a streak, and changes nothing.
                let is_known_before: bool = row.get(2)?;
                Ok(Flaky {
                    machine: row::machine_set(row, 0)?,
                    changes: changes - usize::from(!is_known_before),
                    verdicts: row.get(1)?,
                })
            })
        });
        let mut flaky: Vec<Flaky> = flaky.collect::<Result<_>>()?;
        flaky.retain(|flaky| flaky.changes > 1);
        flaky.sort_by(|a, b| (b.changes, &a.machine).cmp(&(a.changes, &b.machine)));
        flaky.truncate(RANKED);
        Ok(flaky)
    }

    fn longest_without_pass(&self) -> Result<Vec<Cell>> {
        let machines = self
            .connection
            .prepare_cached(
                "SELECT machine FROM machines WHERE deploys = 0 ORDER BY passed_at, machine LIMIT ?1",
            )?
            .query_map([RANKED], |row| row::machine_set(row, "machine"))?
            .collect::<Result<Vec<_>>>()?;
        let cells = machines.iter().map(|machine| {
            let found = self.cells(Cells::OfMachine(machine))?;
            Ok(found.into_iter().next().map(|(_, cell)| cell))
        });
        cells.filter_map(Result::transpose).collect()
    }
}

fn date(day: i64) -> Date {
    time(start_of(day)).to_zoned(TimeZone::UTC).date()
}
