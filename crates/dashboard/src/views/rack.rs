//! One rack.

use model::id::JobId;
use model::name::{MachineName, RackName};
use rusqlite::{Result, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::action::ActionView;
use super::cell::{Cell, Cells, worst_first};
use super::cycle::CycleSummary;
use super::job::Verdict;
use super::row::{self, OUTCOME};
use super::{AsOf, Page};
use crate::history::Reading;

/// How many verdicts a strip shows.
pub(crate) const STRIP: usize = 30;

/// How many of the things that people did to a rack are shown.
pub(crate) const ACTIONS: usize = 10;

/// How many cycles a rack's view begins with. [`Reading::cycles`] has the rest.
pub(crate) const CYCLES: usize = 20;

/// Everything that events tell of one rack. Its schedule, policy, pause and next slot are not in events: they are in the
/// bucket `racks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RackView {
    /// As of when.
    pub as_of: AsOf,
    /// The rack.
    pub rack: RackName,
    /// Its machines, the worst first.
    pub machines: Vec<RackMachine>,
    /// Its cycles that no event has ended, the oldest first.
    pub running: Vec<CycleSummary>,
    /// What people did to it last, the newest first.
    pub actions: Vec<ActionView>,
    /// Its cycles, the newest first.
    pub cycles: Page<CycleSummary>,
}

/// A machine of a rack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RackMachine {
    /// How it is.
    #[serde(flatten)]
    pub cell: Cell,
    /// Its last 30 outcomes, the oldest first.
    pub verdicts: Vec<Verdict>,
}

impl Reading<'_> {
    /// Everything that events tell of one rack; `None` when no event told of it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn rack(&self, rack: &RackName) -> Result<Option<RackView>> {
        let cycles = self.cycles(Some(rack), None, CYCLES)?;
        if cycles.items.is_empty() {
            return Ok(None);
        }
        let found = self.cells(Cells::OfRack(rack))?;
        let mut cells: Vec<Cell> = found.into_iter().map(|(_, cell)| cell).collect();
        worst_first(&mut cells);
        let machines = cells
            .into_iter()
            .map(|cell| {
                let mut verdicts = self.verdicts(&cell.machine, STRIP)?;
                verdicts.reverse();
                Ok(RackMachine { cell, verdicts })
            })
            .collect::<Result<_>>()?;
        Ok(Some(RackView {
            as_of: self.as_of()?,
            rack: rack.clone(),
            machines,
            running: self.running_cycles(Some(rack))?,
            actions: self.actions(rack, ACTIONS)?,
            cycles,
        }))
    }

    /// The last outcomes of a machine, the newest first.
    pub(super) fn verdicts(&self, machine: &MachineName, limit: usize) -> Result<Vec<Verdict>> {
        self.connection
            .prepare_cached(&format!(
                "SELECT j.cycle, j.outcome_at, {OUTCOME} FROM jobs j
                 WHERE j.machine = ?1 AND j.outcome_at IS NOT NULL
                 ORDER BY j.outcome_at DESC, j.cycle DESC LIMIT ?2"
            ))?
            .query_map(params![machine.as_str(), limit], |row| {
                let cycle = row::cycle(row, 0)?;
                Ok(Verdict {
                    job: JobId::of(cycle, machine),
                    cycle,
                    outcome: row::outcome(row, 2)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?,
                    at: row::moment_set(row, 1)?,
                })
            })?
            .collect()
    }
}
