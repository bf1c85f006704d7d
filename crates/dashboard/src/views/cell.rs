//! A machine in one cell: how it is, since when, what it does now, and why it was left alone.

use std::collections::HashMap;

use jiff::Timestamp;
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::outcome::{Skip, SkipReason};
use rusqlite::{Params, Result, Row, params_from_iter};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::job::Verdict;
use super::row;
use crate::history::standing::Health;
use crate::history::{Reading, standing_at};

/// A machine in one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastDecision {
    /// The cycle that decided.
    pub cycle: CycleId,
    /// When the first was heard of it.
    pub at: Timestamp,
    /// Why the machine was left alone; `None`: it was to be deployed.
    pub skip: Option<Skip>,
}

/// Reads cells: `members` is named `b`, and the rest of the query says which.
const CELLS: &str = "SELECT b.rack, b.machine, b.cycle, b.at, b.reason, b.detail,
        m.deploys, m.proved_at, m.streak, m.since, m.passed_at,
        m.cycle, m.outcome_at, m.outcome, m.cause, m.phase, m.exit_code, m.http_status, m.message
    FROM members b CROSS JOIN machines m ON m.machine = b.machine";

/// The columns of [`CELLS`]: there may be many cells, and names would be looked for in each.
mod column {
    pub(super) const RACK: usize = 0;
    pub(super) const MACHINE: usize = 1;
    pub(super) const DECIDED_BY: usize = 2;
    pub(super) const DECIDED_AT: usize = 3;
    pub(super) const REASON: usize = 4;
    pub(super) const DETAIL: usize = 5;
    pub(super) const STANDING: usize = 6;
    pub(super) const CYCLE: usize = 11;
    pub(super) const OUTCOME_AT: usize = 12;
    pub(super) const OUTCOME: usize = 13;
}

/// Which cells are wanted.
#[derive(Clone, Copy)]
pub(super) enum Cells<'a> {
    All,
    OfRack(&'a RackName),
    /// One for every rack that has the machine, the one with the latest decision first.
    OfMachine(&'a MachineName),
}

impl Reading<'_> {
    /// Cells, each with its rack.
    pub(super) fn cells(&self, which: Cells) -> Result<Vec<(String, Cell)>> {
        let mut cells = Vec::new();
        self.each_cell(which, |rack, cell| {
            cells.push((rack.to_owned(), cell));
        })?;
        Ok(cells)
    }

    /// The same one by one: there may be many.
    pub(super) fn each_cell(&self, which: Cells, mut take: impl FnMut(&str, Cell)) -> Result<()> {
        let (rest, open, name) = match which {
            Cells::All => ("", "", None),
            Cells::OfRack(rack) => (
                "WHERE b.rack = ?1",
                "AND machine IN (SELECT machine FROM members WHERE rack = ?1)",
                Some(rack.as_str()),
            ),
            Cells::OfMachine(machine) => (
                "WHERE b.machine = ?1 ORDER BY b.at DESC, b.cycle DESC",
                "AND machine = ?1",
                Some(machine.as_str()),
            ),
        };
        let open = self.open_jobs(open, params_from_iter(name))?;
        let mut statement = self.connection.prepare_cached(&format!("{CELLS} {rest}"))?;
        let mut rows = statement.query(params_from_iter(name))?;
        while let Some(row) = rows.next()? {
            take(row.get_ref(column::RACK)?.as_str()?, self.cell(row, &open)?);
        }
        Ok(())
    }

    /// The latest open job of each machine.
    fn open_jobs(&self, only: &str, values: impl Params) -> Result<HashMap<String, CurrentJob>> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT machine, job, cycle, state, coalesce(state_at, submitted_at), overdue_at IS NOT NULL
             FROM jobs WHERE outcome_at IS NULL {only} ORDER BY coalesce(submitted_at, state_at), cycle"
        ))?;
        let mut rows = statement.query(values)?;
        let mut open = HashMap::new();
        while let Some(row) = rows.next()? {
            let job = CurrentJob {
                job: JobId::from_bytes(row.get(1)?),
                cycle: row::cycle(row, 2)?,
                state: row.get(3)?,
                at: row::moment(row, 4)?,
                overdue: row.get(5)?,
            };
            // The latest comes last.
            open.insert(row.get(0)?, job);
        }
        Ok(open)
    }

    fn cell(&self, row: &Row, open: &HashMap<String, CurrentJob>) -> Result<Cell> {
        let machine = row::machine_set(row, column::MACHINE)?;
        let standing = standing_at(row, column::STANDING)?;
        let reason: Option<SkipReason> = row::word(row, column::REASON)?;
        let detail: Option<String> = row.get(column::DETAIL)?;
        let last = match row::outcome(row, column::OUTCOME)? {
            Some(outcome) => {
                let cycle = row::cycle(row, column::CYCLE)?;
                Some(Verdict {
                    job: JobId::of(cycle, &machine),
                    cycle,
                    outcome,
                    at: row::moment_set(row, column::OUTCOME_AT)?,
                })
            }
            None => None,
        };
        Ok(Cell {
            job: open.get(machine.as_str()).cloned(),
            machine,
            health: Health::of(&standing, reason == Some(SkipReason::FailStreak), self.now),
            since: standing.since,
            streak: standing.streak,
            passed_at: standing.passed_at,
            last,
            decision: LastDecision {
                cycle: row::cycle(row, column::DECIDED_BY)?,
                at: row::moment_set(row, column::DECIDED_AT)?,
                skip: reason.map(|reason| Skip {
                    detail,
                    ..Skip::new(reason)
                }),
            },
        })
    }
}

/// The worst first; among equals those that fail for longest, then by name.
pub(crate) fn worst_first(cells: &mut [Cell]) {
    // Cells are large: they are moved once, when it is known where to.
    cells.sort_by_cached_key(|cell| {
        let fails_since = cell.since.filter(|_| cell.health.fails());
        (cell.health, fails_since, cell.machine.clone())
    });
}
