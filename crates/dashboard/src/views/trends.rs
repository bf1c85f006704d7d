//! How the fleet does over days.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::name::{MachineName, RackName};
use model::outcome::Phase;
use rusqlite::{Result, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cell::{Cell, Cells};
use super::{AsOf, row};
use crate::history::Reading;
use crate::history::lengths::Lengths;
use crate::history::standing::Health;
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
    /// Outcomes by day, in UTC, rack and distro, the oldest first.
    pub days: Vec<Day>,
    /// How long phases took, by rack and distro, those with the longest median first.
    pub phases: Vec<PhaseLength>,
    /// The machines whose outcome changed most often between passed and failed.
    pub flaky: Vec<Flaky>,
    /// The machines that do not deploy or that nobody has seen deploy for long, those first that were not seen to for
    /// longest or ever.
    pub longest_without_pass: Vec<Cell>,
}

/// What became of a rack's jobs with a distro on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Day {
    /// The day, in UTC.
    pub day: Date,
    /// The rack.
    pub rack: RackName,
    /// What they deployed; `None`: they do not say, or were refused.
    pub distro: Option<String>,
    /// How many jobs ended how.
    pub outcomes: BTreeMap<String, usize>,
}

/// How long a phase took the jobs of a rack with a distro that passed or failed in this time. Lengths are as rough as
/// looks are far apart, and told within an eighth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhaseLength {
    /// The rack.
    pub rack: RackName,
    /// What they deployed; `None`: they do not say.
    pub distro: Option<String>,
    /// Which.
    pub phase: Phase,
    /// How many jobs were seen in it.
    pub jobs: u64,
    /// Half of them took at most so long.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schema(value_type = String)]
    pub median: Duration,
    /// 95 of 100 took at most so long.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    #[schema(value_type = String)]
    pub p95: Duration,
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
            phases: self.phases(from)?,
            flaky: self.flaky(from)?,
            longest_without_pass: self.longest_without_pass()?,
        })
    }

    fn days(&self, from: Timestamp) -> Result<Vec<Day>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT day, rack, distro, outcome, sum(count) AS count FROM outcomes WHERE day >= ?1
             GROUP BY day, rack, distro, outcome ORDER BY day, rack, distro, outcome",
        )?;
        let mut rows = statement.query([day(nanos(from))])?;
        let mut days: Vec<Day> = Vec::new();
        while let Some(row) = rows.next()? {
            let (day, rack) = (date(row.get("day")?), row::rack(row, "rack")?);
            let distro = said(row.get("distro")?);
            if days
                .last()
                .is_none_or(|last| (last.day, &last.rack, &last.distro) != (day, &rack, &distro))
            {
                days.push(Day {
                    day,
                    rack,
                    distro,
                    outcomes: BTreeMap::new(),
                });
            }
            if let Some(last) = days.last_mut() {
                last.outcomes.insert(row.get("outcome")?, row.get("count")?);
            }
        }
        Ok(days)
    }

    fn phases(&self, from: Timestamp) -> Result<Vec<PhaseLength>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT rack, distro, phase, counts FROM lengths WHERE day >= ?1")?;
        let mut rows = statement.query([day(nanos(from))])?;
        let mut all: HashMap<(RackName, String, Phase), Lengths> = HashMap::new();
        while let Some(row) = rows.next()? {
            let Some(phase) = row::word(row, "phase")? else {
                continue;
            };
            let key = (row::rack(row, "rack")?, row.get("distro")?, phase);
            let counts = Lengths::from_bytes(row.get_ref("counts")?.as_blob()?);
            all.entry(key).or_default().add(&counts);
        }
        let lengths = all.into_iter().filter_map(|((rack, distro, phase), all)| {
            Some(PhaseLength {
                rack,
                distro: said(distro),
                phase,
                jobs: all.count(),
                median: all.at_most(50)?,
                p95: all.at_most(95)?,
            })
        });
        let mut lengths: Vec<PhaseLength> = lengths.collect();
        lengths.sort_by(|a, b| {
            let slowest = (b.median, b.p95).cmp(&(a.median, a.p95));
            slowest.then_with(|| (&a.rack, &a.distro, a.phase).cmp(&(&b.rack, &b.distro, b.phase)))
        });
        Ok(lengths)
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
                "SELECT machine FROM machines WHERE deploys = 0 OR passed_at < ?2
                 ORDER BY passed_at, machine LIMIT ?1",
            )?
            .query_map(
                params![RANKED, nanos(self.now - Health::STALE_AFTER)],
                |row| row::machine_set(row, "machine"),
            )?
            .collect::<Result<Vec<_>>>()?;
        let cells = machines.iter().map(|machine| {
            let found = self.cells(Cells::OfMachine(machine))?;
            Ok(found.into_iter().next().map(|(_, cell)| cell))
        });
        cells.filter_map(Result::transpose).collect()
    }
}

/// What the file holds, where it holds something.
fn said(distro: String) -> Option<String> {
    (!distro.is_empty()).then_some(distro)
}

fn date(day: i64) -> Date {
    time(start_of(day)).to_zoned(TimeZone::UTC).date()
}
