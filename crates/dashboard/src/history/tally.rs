//! What jobs count for: how many ended how, and how long their phases took. Kept beside the jobs, so that a long span need
//! not be counted anew. What a job counts for follows from its rows alone: it is taken away before an event that may
//! change it, and given again after it.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use model::outcome::Phase;
use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

use super::lengths::{Lengths, class, seen};
use super::standing::proof;
use super::time::span;

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

/// A job that is over, with all that counts.
#[derive(Debug, PartialEq)]
pub(super) struct Over {
    cycle: [u8; 16],
    rack: String,
    distro: String,
    pub(super) outcome: String,
    pub(super) at: i64,
    lengths: Vec<(Phase, Duration)>,
}

/// The statements of one transaction, and what has become more and less in it.
pub(super) struct Tally<'c> {
    job: Statement<'c>,
    looks: Statement<'c>,
    connection: &'c Connection,
    outcomes: BTreeMap<OutcomeKey, (String, i64)>,
    lengths: BTreeMap<LengthKey, BTreeMap<usize, i64>>,
}

/// Cycle, day, distro and outcome.
type OutcomeKey = ([u8; 16], i64, String, String);

/// Day, rack, distro and phase.
type LengthKey = (i64, String, String, &'static str);

impl<'c> Tally<'c> {
    pub(super) fn new(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            job: connection.prepare(
                "SELECT outcome_at, outcome, rack, distro FROM jobs WHERE cycle = ?1 AND machine = ?2",
            )?,
            looks: connection.prepare(
                "SELECT word, at FROM events WHERE cycle = ?1 AND machine = ?2 AND kind = 'job.progressed'
                 ORDER BY at, word",
            )?,
            connection,
            outcomes: BTreeMap::new(),
            lengths: BTreeMap::new(),
        })
    }

    /// What a job counts for now; `None` when it is not over.
    pub(super) fn of(&mut self, cycle: &[u8; 16], machine: &str) -> Result<Option<Over>> {
        let found = self.job.query_row(params![cycle, machine], |row| {
            let Some(at) = row.get(0)? else {
                return Ok(None);
            };
            Ok(Some(Over {
                cycle: *cycle,
                at,
                outcome: row.get(1)?,
                rack: row.get(2)?,
                distro: row.get::<_, Option<_>>(3)?.unwrap_or_default(),
                lengths: Vec::new(),
            }))
        });
        let Some(mut over) = found.optional()?.flatten() else {
            return Ok(None);
        };
        // A job that was cancelled or lost says nothing about how long it takes, as it says nothing about the machine.
        if proof(&over.outcome).is_some() {
            over.lengths = self.lengths(cycle, machine, over.at)?;
        }
        Ok(Some(over))
    }

    fn lengths(
        &mut self,
        cycle: &[u8; 16],
        machine: &str,
        over_at: i64,
    ) -> Result<Vec<(Phase, Duration)>> {
        let looks = self
            .looks
            .query_map(params![cycle, machine], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<Result<Vec<(String, i64)>>>()?;
        let looks: Vec<(&str, i64)> = looks
            .iter()
            .map(|(word, at)| (word.as_str(), *at))
            .collect();
        let lengths = Phase::ALL.iter().filter_map(|&phase| {
            let (at, until) = seen(&looks, phase, Some(over_at))?;
            Some((phase, span(until?.saturating_sub(at))))
        });
        Ok(lengths.collect())
    }

    /// A job counts for something else than before.
    pub(super) fn change(&mut self, before: Option<Over>, now: Option<Over>) {
        if before != now {
            for (over, by) in [(before, -1), (now, 1)] {
                if let Some(over) = over {
                    self.count(over, by);
                }
            }
        }
    }

    fn count(&mut self, over: Over, by: i64) {
        let day = day(over.at);
        for (phase, length) in over.lengths {
            let key = (day, over.rack.clone(), over.distro.clone(), phase.as_str());
            *self
                .lengths
                .entry(key)
                .or_default()
                .entry(class(length))
                .or_default() += by;
        }
        let key = (over.cycle, day, over.distro, over.outcome);
        self.outcomes.entry(key).or_insert((over.rack, 0)).1 += by;
    }

    /// Counts the jobs of a cycle, or takes away what they count for.
    pub(super) fn cycle(&mut self, cycle: &[u8; 16], by: i64) -> Result<()> {
        let machines = self
            .connection
            .prepare_cached("SELECT machine FROM jobs WHERE cycle = ?1")?
            .query_map([cycle], |row| row.get(0))?
            .collect::<Result<Vec<String>>>()?;
        for machine in machines {
            if let Some(over) = self.of(cycle, &machine)? {
                self.count(over, by);
            }
        }
        Ok(())
    }

    /// Writes what has changed so far. No row is left that counts nothing.
    pub(super) fn write(&mut self) -> Result<()> {
        let mut change = self.connection.prepare_cached(
            "INSERT INTO outcomes (cycle, day, distro, outcome, rack, count) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (cycle, day, distro, outcome) DO UPDATE SET count = count + excluded.count",
        )?;
        let mut clear = self.connection.prepare_cached(
            "DELETE FROM outcomes WHERE cycle = ?1 AND day = ?2 AND distro = ?3 AND outcome = ?4 AND count = 0",
        )?;
        for ((cycle, day, distro, outcome), (rack, by)) in mem::take(&mut self.outcomes) {
            if by != 0 {
                change.execute(params![cycle, day, distro, outcome, rack, by])?;
            }
            if by < 0 {
                clear.execute(params![cycle, day, distro, outcome])?;
            }
        }
        self.write_lengths()
    }

    fn write_lengths(&mut self) -> Result<()> {
        let mut known = self.connection.prepare_cached(
            "SELECT counts FROM lengths WHERE day = ?1 AND rack = ?2 AND distro = ?3 AND phase = ?4",
        )?;
        let mut set = self.connection.prepare_cached(
            "INSERT OR REPLACE INTO lengths (day, rack, distro, phase, counts) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let mut clear = self.connection.prepare_cached(
            "DELETE FROM lengths WHERE day = ?1 AND rack = ?2 AND distro = ?3 AND phase = ?4",
        )?;
        for ((day, rack, distro, phase), by) in mem::take(&mut self.lengths) {
            let before = known.query_row(params![day, rack, distro, phase], |row| {
                Ok(Lengths::from_bytes(row.get_ref(0)?.as_blob()?))
            });
            let mut lengths = before.optional()?.unwrap_or_default();
            lengths.change(&by);
            match lengths.to_bytes() {
                counts if counts.is_empty() => clear.execute(params![day, rack, distro, phase])?,
                counts => set.execute(params![day, rack, distro, phase, counts])?,
            };
        }
        Ok(())
    }
}

/// Counts every job of a file in which nothing is counted yet.
pub(super) fn count_all(connection: &Connection) -> Result<()> {
    let cycles = connection
        .prepare("SELECT cycle FROM cycles")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<Vec<[u8; 16]>>>()?;
    let mut tally = Tally::new(connection)?;
    for cycle in cycles {
        tally.cycle(&cycle, 1)?;
        tally.write()?;
    }
    Ok(())
}
