//! One job.

use jiff::Timestamp;
use model::evidence::Keeping;
use model::id::{CycleId, JobId};
use model::image::Image;
use model::machine::CancelRequest;
use model::name::{MachineName, RackName};
use model::outcome::{Outcome, Phase};
use rusqlite::{OptionalExtension, Result, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

use super::phase::{PhaseView, phases};
use super::{AsOf, row};
use crate::history::Reading;

/// A job in a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobSummary {
    /// The job.
    pub job: JobId,
    /// Its cycle.
    pub cycle: CycleId,
    /// Its rack.
    pub rack: RackName,
    /// Its machine.
    pub machine: MachineName,
    /// Testflinger's word for its state at the latest look that saw another one. `None`: no look saw any yet.
    pub state: Option<String>,
    /// When that look was.
    pub state_at: Option<Timestamp>,
    /// When it was in Testflinger.
    pub submitted_at: Option<Timestamp>,
    /// When it becomes overdue.
    pub deadline: Option<Timestamp>,
    /// When it was found to be past that.
    pub overdue_at: Option<Timestamp>,
    /// Present when Testflinger was seen to have it more than once.
    pub doubled: Option<Doubled>,
    /// What became of it; `None`: it is not over.
    pub outcome: Option<Outcome>,
    /// When that was known.
    pub outcome_at: Option<Timestamp>,
}

/// Testflinger had a job more often than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Doubled {
    /// When that was seen.
    pub at: Timestamp,
    /// How many entries there were.
    pub entries: usize,
}

/// An outcome in a machine's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    /// The job.
    pub job: JobId,
    /// Its cycle.
    pub cycle: CycleId,
    /// What became of it.
    pub outcome: Outcome,
    /// When that was known.
    pub at: Timestamp,
}

/// A look that saw another state than the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Look {
    /// Testflinger's word.
    pub state: String,
    /// When it was seen first.
    pub at: Timestamp,
}

/// Everything about one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// As of when.
    pub as_of: AsOf,
    /// The job.
    #[serde(flatten)]
    pub job: JobSummary,
    /// Its looks, the oldest first.
    pub looks: Vec<Look>,
    /// Its phases, in the order in which they run.
    pub phases: Vec<PhaseView>,
    /// Who asked to cancel it.
    pub cancel: Option<CancelRequest>,
    /// What the agent said of the device.
    pub device: Option<Value>,
    /// What it asked to be deployed.
    #[serde(flatten)]
    pub image: Image,
    /// What became of its evidence; none of a job that passed or is not over.
    pub evidence: Option<Keeping>,
}

/// The columns that [`summary`] reads, of a `jobs` named `j`.
pub(super) const SUMMARY: &str = "j.job, j.cycle, j.rack, j.machine, j.state, j.state_at, j.submitted_at, j.claimed_at, \
     j.deadline, j.overdue_at, j.doubled_at, j.entries, j.outcome_at, \
     j.outcome, j.cause, j.phase, j.exit_code, j.http_status, j.message";

pub(super) fn summary(row: &Row) -> Result<JobSummary> {
    let doubled = row::moment(row, "doubled_at")?.zip(row.get("entries")?);
    let submitted = row::moment(row, "submitted_at")?;
    Ok(JobSummary {
        job: JobId::from_bytes(row.get("job")?),
        cycle: row::cycle(row, "cycle")?,
        rack: row::rack(row, "rack")?,
        machine: row::machine_set(row, "machine")?,
        state: row.get("state")?,
        state_at: row::moment(row, "state_at")?,
        submitted_at: match submitted {
            Some(at) => Some(at),
            // The event was lost: what the claim said is as good.
            None => row::moment(row, "claimed_at")?,
        },
        deadline: row::moment(row, "deadline")?,
        overdue_at: row::moment(row, "overdue_at")?,
        doubled: doubled.map(|(at, entries)| Doubled { at, entries }),
        outcome: row::outcome(row, "outcome")?,
        outcome_at: row::moment(row, "outcome_at")?,
    })
}

impl Reading<'_> {
    /// Everything about one job; `None` when no event told of it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn job(&self, job: JobId) -> Result<Option<JobView>> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {SUMMARY}, j.statuses, j.cancel, j.device, j.distro, j.kernel, j.evidence FROM jobs j WHERE j.job = ?1"
        ))?;
        let found = statement.query_row([job.to_bytes()], |row| {
            let statuses: BTreeMap<Phase, i64> = row::json(row, "statuses")?.unwrap_or_default();
            let job = summary(row)?;
            let looks = self.looks(job.cycle, &job.machine)?;
            Ok(JobView {
                as_of: self.as_of()?,
                phases: phases(&looks, &statuses, job.outcome_at),
                looks,
                job,
                cancel: row::json(row, "cancel")?,
                device: row::json(row, "device")?,
                image: Image {
                    distro: row.get("distro")?,
                    kernel: row.get("kernel")?,
                },
                evidence: row::json(row, "evidence")?,
            })
        });
        found.optional()
    }

    fn looks(&self, cycle: CycleId, machine: &MachineName) -> Result<Vec<Look>> {
        self.connection
            .prepare_cached(
                "SELECT word, at FROM events WHERE cycle = ?1 AND machine = ?2 AND kind = 'job.progressed'
                 ORDER BY at, word",
            )?
            .query_map(params![cycle.to_bytes(), machine.as_str()], |row| {
                Ok(Look {
                    state: row.get("word")?,
                    at: row::moment_set(row, "at")?,
                })
            })?
            .collect()
    }
}
