//! A machine in one cell: how it is, since when, what it does now, and why it was left alone.

use jiff::Timestamp;
use model::id::{CycleId, JobId};
use model::name::MachineName;
use model::outcome::{Outcome, Skip, SkipReason};
use rusqlite::{Params, Result, Row};
use serde::{Deserialize, Serialize};

use super::job::Verdict;
use super::row;
use crate::history::standing::Health;
use crate::history::{Reading, standing_at};

/// A machine in one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The machine.
    pub machine: MachineName,
    /// Its health.
    pub health: Health,
    /// Since when it deploys without a failure in between, or fails without a pass; `None`: nothing was proved yet.
    pub since: Option<Timestamp>,
    /// How many proofs in a row say so.
    pub streak: u32,
    /// When it deployed last.
    pub passed_at: Option<Timestamp>,
    /// What became of its latest job that is over.
    pub last: Option<Verdict>,
    /// The job that has it now.
    pub job: Option<CurrentJob>,
    /// What the latest cycle of the rack decided about it; in a machine's own view that of any rack.
    pub decision: LastDecision,
}

/// The job that has a machine now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentJob {
    /// The job.
    pub job: JobId,
    /// Its cycle.
    pub cycle: CycleId,
    /// Testflinger's word for its state, if a look saw any.
    pub state: Option<String>,
    /// Since when it is known to be in that state, or to be in Testflinger.
    pub at: Option<Timestamp>,
    /// Whether it is past its deadline.
    pub overdue: bool,
}

/// The latest decision about a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDecision {
    /// The cycle that decided.
    pub cycle: CycleId,
    /// When the first was heard of it.
    pub at: Timestamp,
    /// Why the machine was left alone; `None`: it was to be deployed.
    pub skip: Option<Skip>,
}

/// Reads cells: `members` is named `b`, and the rest of the query says which.
const CELLS: &str = "SELECT b.rack, b.machine, b.cycle AS decided_by, b.at AS decided_at, d.reason, d.detail,
        m.deploys, m.proved_at, m.streak, m.since, m.passed_at,
        j.job, j.cycle, j.outcome_at, j.outcome, j.cause, j.phase, j.exit_code, j.http_status, j.message,
        o.job AS open_job, o.cycle AS open_cycle, o.state, coalesce(o.state_at, o.submitted_at) AS open_at,
        o.overdue_at IS NOT NULL AS overdue
    FROM members b
    JOIN machines m ON m.machine = b.machine
    JOIN decisions d ON d.cycle = b.cycle AND d.machine = b.machine
    LEFT JOIN jobs j ON j.job = m.job
    LEFT JOIN jobs o ON o.machine = b.machine AND o.outcome_at IS NULL AND o.cycle = (
        SELECT cycle FROM jobs WHERE machine = b.machine AND outcome_at IS NULL
        ORDER BY coalesce(submitted_at, state_at) DESC, cycle DESC LIMIT 1)";

impl Reading<'_> {
    /// The cells that the rest of a query chooses, each with its rack.
    pub(super) fn cells(&self, which: &str, values: impl Params) -> Result<Vec<(String, Cell)>> {
        self.connection
            .prepare(&format!("{CELLS} {which}"))?
            .query_map(values, |row| Ok((row.get("rack")?, self.cell(row)?)))?
            .collect()
    }

    fn cell(&self, row: &Row) -> Result<Cell> {
        const STANDING: usize = 6;
        let standing = standing_at(row, STANDING)?;
        let reason: Option<SkipReason> = row::word(row, "reason")?;
        let detail: Option<String> = row.get("detail")?;
        let last = match (row::job(row, "job")?, row::outcome(row)?) {
            (Some(job), Some(outcome)) => Some(verdict(row, job, outcome)?),
            _ => None,
        };
        let job = match row::job(row, "open_job")? {
            Some(job) => Some(CurrentJob {
                job,
                cycle: row::cycle(row, "open_cycle")?,
                state: row.get("state")?,
                at: row::moment(row, "open_at")?,
                overdue: row.get("overdue")?,
            }),
            None => None,
        };
        Ok(Cell {
            machine: row::machine_set(row, "machine")?,
            health: Health::of(&standing, reason == Some(SkipReason::FailStreak), self.now),
            since: standing.since,
            streak: standing.streak,
            passed_at: standing.passed_at,
            last,
            job,
            decision: LastDecision {
                cycle: row::cycle(row, "decided_by")?,
                at: row::moment_set(row, "decided_at")?,
                skip: reason.map(|reason| Skip { reason, detail }),
            },
        })
    }
}

/// A verdict from a row that has `cycle` and `outcome_at`.
pub(super) fn verdict(row: &Row, job: JobId, outcome: Outcome) -> Result<Verdict> {
    Ok(Verdict {
        job,
        cycle: row::cycle(row, "cycle")?,
        outcome,
        at: row::moment_set(row, "outcome_at")?,
    })
}

/// The worst first; among equals those that failed for longest, then by name.
pub(super) fn worst_first(cells: &mut [Cell]) {
    cells.sort_by(|a, b| (a.health, a.since, &a.machine).cmp(&(b.health, b.since, &b.machine)));
}
