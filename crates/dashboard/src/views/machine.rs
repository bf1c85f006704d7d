//! One machine.

use model::id::JobId;
use model::name::{MachineName, RackName};
use rusqlite::{OptionalExtension, Result, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cell::{Cell, Cells};
use super::cycle::Decision;
use super::difference::{Difference, differences};
use super::job::{JobView, Verdict};
use super::rack::STRIP;
use super::{AsOf, Cursor, Page};
use crate::history::Reading;

/// How many decisions a machine's view begins with. [`Reading::decisions_about`] has the rest.
const DECISIONS: usize = 30;

/// Everything about one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MachineView {
    /// As of when.
    pub as_of: AsOf,
    /// How it is. The decision is the latest of any rack.
    #[serde(flatten)]
    pub cell: Cell,
    /// The racks that have it.
    pub racks: Vec<RackName>,
    /// Its last 30 outcomes, the oldest first.
    pub verdicts: Vec<Verdict>,
    /// What cycles decided about it, the newest first.
    pub decisions: Page<Decision>,
    /// The job that has it now.
    pub current: Option<JobView>,
    /// The last job that failed.
    pub last_failure: Option<JobView>,
    /// The last job that passed.
    pub last_pass: Option<JobView>,
    /// What both have in common and what not; none without both.
    pub differences: Vec<Difference>,
}

impl Reading<'_> {
    /// Everything about one machine; `None` when no event told of it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn machine(&self, machine: &MachineName) -> Result<Option<MachineView>> {
        let found = self.cells(Cells::OfMachine(machine))?;
        let Some((_, cell)) = found.first().cloned() else {
            return Ok(None);
        };
        let mut racks = found
            .iter()
            .map(|(rack, _)| RackName::new(rack.clone()))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|why| {
                rusqlite::Error::FromSqlConversionFailure(
                    0,
                    rusqlite::types::Type::Text,
                    why.into(),
                )
            })?;
        racks.sort();
        let mut verdicts = self.verdicts(machine, STRIP)?;
        verdicts.reverse();
        let current = match &cell.job {
            Some(job) => self.job(job.job)?,
            None => None,
        };
        let last_failure = self.last_with(machine, "failed")?;
        let last_pass = self.last_with(machine, "passed")?;
        let differences = match (&last_failure, &last_pass) {
            (Some(failure), Some(pass)) => differences(failure, pass),
            _ => Vec::new(),
        };
        Ok(Some(MachineView {
            as_of: self.as_of()?,
            racks,
            verdicts,
            decisions: self.decisions_about(machine, None, DECISIONS)?,
            current,
            last_failure,
            last_pass,
            differences,
            cell,
        }))
    }

    /// What cycles decided about a machine, the newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn decisions_about(
        &self,
        machine: &MachineName,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Decision>> {
        let after = after.unwrap_or(Cursor::NEWEST);
        let found = self.decisions(
            "WHERE d.machine = ?1 AND (d.at, d.cycle) < (?2, ?3) ORDER BY d.at DESC, d.cycle DESC LIMIT ?4",
            params![machine.as_str(), after.at, after.id(), limit + 1],
        )?;
        Ok(Page::of(found, limit))
    }

    fn last_with(&self, machine: &MachineName, outcome: &str) -> Result<Option<JobView>> {
        let job = self.connection.query_row(
            "SELECT job FROM jobs WHERE machine = ?1 AND outcome_at IS NOT NULL AND outcome = ?2
             ORDER BY outcome_at DESC, cycle DESC LIMIT 1",
            params![machine.as_str(), outcome],
            |row| row.get(0).map(JobId::from_bytes),
        );
        match job.optional()? {
            Some(job) => self.job(job),
            None => Ok(None),
        }
    }
}
