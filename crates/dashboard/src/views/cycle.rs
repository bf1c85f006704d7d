//! One cycle, and lists of them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use model::cycle::{MissedCause, Origin};
use model::id::CycleId;
use model::name::{MachineName, RackName};
use model::outcome::{Counts, Outcome, Skip, SkipReason};
use rusqlite::{OptionalExtension, Result, Row, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::event::EventView;
use super::job::{JobSummary, SUMMARY, summary};
use super::{AsOf, Cursor, Page, row};
use crate::history::Reading;
use crate::history::time::{nanos, span};

/// How far a cycle is. On the wire the time it ended is `ended_at`: its summary, of which it is a part, has an `at`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CycleState {
    /// It was started, and nothing is decided yet.
    Planning,
    /// It has decided, and some of its machines have no outcome yet.
    Running,
    /// All of its machines have an outcome.
    Finished {
        /// When the last one had.
        #[serde(rename = "ended_at")]
        at: Timestamp,
        /// From the tick to the last outcome.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        #[schema(value_type = String)]
        duration: Duration,
    },
    /// The rack's machines could not be learnt in time.
    Failed {
        /// When it was given up.
        #[serde(rename = "ended_at")]
        at: Timestamp,
        /// How often it was tried.
        attempts: u32,
        /// Why, in one word.
        cause: String,
        /// Why, in a sentence.
        message: String,
    },
    /// The tick was not run.
    Missed {
        /// When that was found.
        #[serde(rename = "ended_at")]
        at: Timestamp,
        /// Why.
        cause: MissedCause,
    },
}

/// A cycle in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CycleSummary {
    /// The cycle.
    pub cycle: CycleId,
    /// Its rack.
    pub rack: RackName,
    /// When the first was heard of it.
    pub at: Timestamp,
    /// What started it; `None`: the event that says so is not there any more.
    pub origin: Option<Origin>,
    /// How far it is.
    #[serde(flatten)]
    pub state: CycleState,
    /// When it decided.
    pub planned_at: Option<Timestamp>,
    /// How many machines it decided to deploy.
    pub deploy: Option<usize>,
    /// How many of these have no outcome yet.
    pub open: usize,
    /// After this nobody submits a job of it.
    pub deploy_by: Option<Timestamp>,
    /// How many machines ended how, so far.
    #[serde(flatten)]
    pub counts: Counts,
}

/// An attempt to plan a cycle that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Retry {
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When it failed.
    pub at: Timestamp,
    /// Why, in one word.
    pub cause: String,
    /// Why, in a sentence.
    pub message: String,
    /// When it is tried again.
    pub next_at: Timestamp,
}

/// What a cycle decided about a machine, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// The cycle.
    pub cycle: CycleId,
    /// Its rack.
    pub rack: RackName,
    /// The machine.
    pub machine: MachineName,
    /// When the first was heard of it.
    pub at: Timestamp,
    /// Why the machine was left alone; `None`: it was to be deployed.
    pub skip: Option<Skip>,
    /// The job, once it is submitted or refused.
    pub job: Option<JobSummary>,
}

/// Everything about one cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CycleView {
    /// As of when.
    pub as_of: AsOf,
    /// The cycle.
    #[serde(flatten)]
    pub cycle: CycleSummary,
    /// Attempts to plan it that came to nothing.
    pub retries: Vec<Retry>,
    /// Its decisions by machine. A machine to deploy appears once its job is submitted: until then only `deploy` counts
    /// it.
    pub decisions: Vec<Decision>,
    /// How many machines to deploy were not heard of yet.
    pub unsubmitted: usize,
    /// What happened to the cycle itself, the oldest first.
    pub timeline: Vec<EventView>,
}

/// The columns that [`Reading::cycle_summary`] reads, of a `cycles` named `c`.
const COLUMNS: &str = "c.cycle, c.rack, c.at, c.origin, c.planned_at, c.deploy, c.skip, c.deploy_by, c.finished_at, \
     c.counts, c.duration, c.failed_at, c.attempts, c.cause, c.message, c.missed_at, c.missed";

/// A cycle that no event has ended.
pub(super) const RUNNING: &str =
    "c.finished_at IS NULL AND c.failed_at IS NULL AND c.missed_at IS NULL";

impl Reading<'_> {
    /// Everything about one cycle; `None` when no event told of it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn cycle(&self, cycle: CycleId) -> Result<Option<CycleView>> {
        let found = self.connection.query_row(
            &format!("SELECT {COLUMNS} FROM cycles c WHERE c.cycle = ?1"),
            [cycle.to_bytes()],
            |row| self.cycle_summary(row),
        );
        let Some(summary) = found.optional()? else {
            return Ok(None);
        };
        let decisions = self.decisions(
            "WHERE d.cycle = ?1 ORDER BY d.machine",
            params![cycle.to_bytes()],
        )?;
        let decisions: Vec<Decision> = decisions
            .into_iter()
            .map(|(_, decision)| decision)
            .collect();
        let heard = decisions.iter().filter(|decision| decision.job.is_some());
        let settled = summary.deploy.unwrap_or(0).saturating_sub(summary.open);
        let running = heard.filter(|decision| {
            decision
                .job
                .as_ref()
                .is_some_and(|job| job.outcome.is_none())
        });
        let unsubmitted = summary
            .deploy
            .unwrap_or(0)
            .saturating_sub(settled + running.count());
        Ok(Some(CycleView {
            as_of: self.as_of()?,
            retries: self.retries(cycle)?,
            timeline: self.timeline(cycle)?,
            unsubmitted,
            decisions,
            cycle: summary,
        }))
    }

    /// The cycles of a rack, or of all, the newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn cycles(
        &self,
        rack: Option<&RackName>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<CycleSummary>> {
        let after = after.unwrap_or(Cursor::NEWEST);
        let which = if rack.is_some() {
            "c.rack = ?1 AND"
        } else {
            "?1 IS NULL AND"
        };
        let found = self
            .connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM cycles c WHERE {which} (c.at, c.cycle) < (?2, ?3)
                 ORDER BY c.at DESC, c.cycle DESC LIMIT ?4"
            ))?
            .query_map(
                params![rack.map(RackName::as_str), after.at, after.id(), limit + 1],
                |row| {
                    let summary = self.cycle_summary(row)?;
                    let place = Cursor::of_id(nanos(summary.at), summary.cycle.to_bytes());
                    Ok((place, summary))
                },
            )?
            .collect::<Result<_>>()?;
        Ok(Page::of(found, limit))
    }

    /// The cycles that no event has ended, of a rack or of all, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn running_cycles(&self, rack: Option<&RackName>) -> Result<Vec<CycleSummary>> {
        let which = if rack.is_some() {
            "AND c.rack = ?1"
        } else {
            "AND ?1 IS NULL"
        };
        self.connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM cycles c WHERE {RUNNING} {which} ORDER BY c.at, c.cycle"
            ))?
            .query_map([rack.map(RackName::as_str)], |row| self.cycle_summary(row))?
            .collect()
    }

    /// Decisions that the rest of a query on `decisions d` chooses, each with its place.
    pub(super) fn decisions(
        &self,
        which: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<(Cursor, Decision)>> {
        self.connection
            .prepare_cached(&format!(
                "SELECT d.cycle AS in_cycle, d.machine AS about, d.rack AS of_rack, d.at, d.reason, d.detail, {SUMMARY}
                 FROM decisions d LEFT JOIN jobs j ON j.cycle = d.cycle AND j.machine = d.machine {which}"
            ))?
            .query_map(values, |row| {
                let reason: Option<SkipReason> = row::word(row, "reason")?;
                let detail = row.get("detail")?;
                let cycle = row::cycle(row, "in_cycle")?;
                let decision = Decision {
                    cycle,
                    rack: row::rack(row, "of_rack")?,
                    machine: row::machine_set(row, "about")?,
                    at: row::moment_set(row, "at")?,
                    skip: reason.map(|reason| Skip { detail, ..Skip::new(reason) }),
                    job: row::job(row, "job")?.map(|_| summary(row)).transpose()?,
                };
                Ok((Cursor::of_id(row.get("at")?, cycle.to_bytes()), decision))
            })?
            .collect()
    }

    fn cycle_summary(&self, row: &Row) -> Result<CycleSummary> {
        let cycle = row::cycle(row, "cycle")?;
        let state = state(row)?;
        let deploy: Option<usize> = row.get("deploy")?;
        let told: Option<Counts> = row::json(row, "counts")?;
        let planned: BTreeMap<SkipReason, usize> = row::json(row, "skip")?.unwrap_or_default();
        let (counts, open) = match (told, &state) {
            (Some(counts), _) => (counts, 0),
            (None, CycleState::Running) => {
                let counts = self.count(cycle)?;
                let all: usize = counts.outcomes.values().sum();
                // The numbers are an event's.
                let expected = planned
                    .values()
                    .fold(deploy.unwrap_or(0), |sum, count| sum.saturating_add(*count));
                (counts, expected.saturating_sub(all))
            }
            (None, _) => (Counts::default(), 0),
        };
        Ok(CycleSummary {
            cycle,
            rack: row::rack(row, "rack")?,
            at: row::moment_set(row, "at")?,
            origin: row::json(row, "origin")?,
            state,
            planned_at: row::moment(row, "planned_at")?,
            deploy,
            open,
            deploy_by: row::moment(row, "deploy_by")?,
            counts,
        })
    }

    /// What became of a cycle's machines so far.
    fn count(&self, cycle: CycleId) -> Result<Counts> {
        let mut counts = Counts::default();
        let mut add = |word: &str, count: usize| {
            *counts.outcomes.entry(word.to_owned()).or_default() += count;
        };
        let mut skipped = self.connection.prepare_cached(
            "SELECT reason, count(*) AS count FROM decisions WHERE cycle = ?1 AND reason IS NOT NULL GROUP BY reason",
        )?;
        let skipped = skipped
            .query_map([cycle.to_bytes()], |row| {
                Ok((row::word::<SkipReason>(row, "reason")?, row.get("count")?))
            })?
            .collect::<Result<Vec<(_, usize)>>>()?;
        let mut reasons = BTreeMap::new();
        for (reason, count) in skipped {
            if let Some(reason) = reason {
                reasons.insert(reason, count);
                add(Outcome::Skipped(Skip::new(reason)).word(), count);
            }
        }
        let mut over = self.connection.prepare_cached(
            "SELECT outcome, sum(count) FROM outcomes WHERE cycle = ?1 GROUP BY outcome",
        )?;
        let mut over = over.query([cycle.to_bytes()])?;
        while let Some(row) = over.next()? {
            add(&row.get::<_, String>(0)?, row.get::<_, usize>(1)?);
        }
        counts.reasons = reasons;
        Ok(counts)
    }

    fn retries(&self, cycle: CycleId) -> Result<Vec<Retry>> {
        self.connection
            .prepare_cached("SELECT attempt, at, cause, message, next_at FROM retries WHERE cycle = ?1 ORDER BY attempt")?
            .query_map([cycle.to_bytes()], |row| {
                Ok(Retry {
                    attempt: row.get("attempt")?,
                    at: row::moment_set(row, "at")?,
                    cause: row.get("cause")?,
                    message: row.get("message")?,
                    next_at: row::moment_set(row, "next_at")?,
                })
            })?
            .collect()
    }
}

fn state(row: &Row) -> Result<CycleState> {
    if let Some(at) = row::moment(row, "missed_at")?
        && let Some(cause) = row::word(row, "missed")?
    {
        return Ok(CycleState::Missed { at, cause });
    }
    if let Some(at) = row::moment(row, "failed_at")? {
        return Ok(CycleState::Failed {
            at,
            attempts: row.get("attempts")?,
            cause: row.get("cause")?,
            message: row.get("message")?,
        });
    }
    if let Some(at) = row::moment(row, "finished_at")? {
        return Ok(CycleState::Finished {
            at,
            duration: span(row.get("duration")?),
        });
    }
    Ok(match row::moment(row, "planned_at")? {
        Some(_) => CycleState::Running,
        None => CycleState::Planning,
    })
}
