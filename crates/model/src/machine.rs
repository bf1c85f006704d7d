//! The machine record: bucket `machines`, key = machine. The only place where a job's fate is decided, always by
//! compare-and-set, and always one way: none -> submitting -> running -> settled.
//!
//! The methods are the transitions that exist. Each checks its guard and leaves the record alone when it does not
//! hold; the caller then writes the record on the revision it read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::evidence::Keeping;
use crate::id::{CycleId, JobId};
use crate::name::RackName;
use crate::outcome::{Outcome, Phase};

/// What is known of a machine. Racks that share the machine share the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineRecord {
    /// Version of this record's form.
    pub v: u8,
    /// The job that has the machine.
    pub claim: Claim,
    /// Fates that are decided, kept until no message about the job may act any more.
    #[serde(default)]
    pub settled: BTreeMap<JobId, Settled>,
    /// The last verdicts, oldest first.
    #[serde(default)]
    pub verdicts: Vec<PastVerdict>,
}

/// Who has the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Claim {
    /// Nobody.
    Idle,
    /// A worker is about to submit the job, or died while doing so.
    Submitting(Submitting),
    /// The job exists in Testflinger and may still work on the machine.
    Running(Running),
}

/// A job on its way to Testflinger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitting {
    /// The job.
    pub job: JobId,
    /// Its cycle.
    pub cycle: CycleId,
    /// Its rack.
    pub rack: RackName,
    /// The worker that took or renewed the claim.
    pub by: String,
    /// Fresh and random for each taking or renewing; whoever holds it owns the claim.
    pub attempt: Uuid,
    /// When whatever this attempt sent has settled.
    pub until: Timestamp,
    /// After this nobody submits the job.
    pub deploy_by: Timestamp,
    /// Whether this is not the first attempt: what an earlier one sent was given up for lost, which nobody can prove.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub renewed: bool,
    /// Present once somebody asked to cancel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelRequest>,
}

/// A job in Testflinger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The job.
    pub job: JobId,
    /// Its cycle.
    pub cycle: CycleId,
    /// Its rack.
    pub rack: RackName,
    /// When the claim says it was submitted.
    pub submitted_at: Timestamp,
    /// When it becomes overdue.
    pub deadline: Timestamp,
    /// As in [`Submitting`].
    pub deploy_by: Timestamp,
    /// As in [`Submitting`]: Testflinger may have the job more than once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub renewed: bool,
    /// Present once Testflinger was seen to have the job more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubled: Option<Doubled>,
    /// The verdict of a doubled job, kept here until nothing of the job is left that could work on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Box<Settled>>,
    /// Present once somebody asked to cancel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelRequest>,
}

/// Testflinger has a job more often than it should: something that was given up for lost arrived all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubled {
    /// When that was seen first.
    pub at: Timestamp,
    /// How many entries Testflinger had under the job's id then.
    pub entries: usize,
}

/// Who asked to cancel a job, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CancelRequest {
    /// What it came from.
    pub cause: CancelCause,
    /// The person, or the part of racktick.
    pub by: String,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// Where a cancel came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelCause {
    /// A person asked racktick.
    Asked,
    /// The job ran past its deadline.
    Deadline,
    /// Somebody cancelled it in Testflinger, and a look saw it.
    Seen,
}

/// A decided fate: all that an event about it needs, so that a repeated event is the same to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The job's cycle.
    pub cycle: CycleId,
    /// Its rack.
    pub rack: RackName,
    /// The fate.
    pub outcome: Outcome,
    /// When it was decided.
    pub at: Timestamp,
    /// After this nobody submits the job.
    pub deploy_by: Timestamp,
    /// When it was submitted, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Timestamp>,
    /// Statuses of the phases that ran, cleanup too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<Phase, i64>,
    /// What the agent said of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Value>,
    /// What became of its evidence; none of a job that passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Keeping>,
    /// Present when Testflinger was seen to have the job more often than it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubled: Option<Doubled>,
    /// The cancel that was asked for, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<CancelRequest>,
}

/// One verdict of the machine's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastVerdict {
    /// The job.
    pub job: JobId,
    /// Its cycle.
    pub cycle: CycleId,
    /// The verdict.
    pub outcome: Outcome,
    /// When it was decided.
    pub at: Timestamp,
}

/// A transition that the protocol does not know. The record was left as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Forbidden(&'static str);

impl Default for MachineRecord {
    fn default() -> Self {
        Self {
            v: Self::VERSION,
            claim: Claim::Idle,
            settled: BTreeMap::new(),
            verdicts: Vec::new(),
        }
    }
}

impl Claim {
    /// The job that has the machine.
    pub fn job(&self) -> Option<JobId> {
        match self {
            Self::Idle => None,
            Self::Submitting(claim) => Some(claim.job),
            Self::Running(claim) => Some(claim.job),
        }
    }

    /// The cancel that was asked for.
    pub fn cancel(&self) -> Option<&CancelRequest> {
        match self {
            Self::Idle => None,
            Self::Submitting(claim) => claim.cancel.as_ref(),
            Self::Running(claim) => claim.cancel.as_ref(),
        }
    }

    /// Whether more of the job than one entry may be in Testflinger.
    pub fn may_be_doubled(&self) -> bool {
        match self {
            Self::Idle => false,
            Self::Submitting(claim) => claim.renewed,
            Self::Running(claim) => claim.renewed || claim.doubled.is_some(),
        }
    }
}

impl MachineRecord {
    /// The present version.
    pub const VERSION: u8 = 1;
    /// How many verdicts are kept: a week of six-hour cycles and some more.
    const VERDICTS: usize = 30;

    /// M1: an idle machine is claimed for a job whose fate is open.
    pub fn take(&mut self, claim: Submitting, now: Timestamp) -> Result<(), Forbidden> {
        if self.claim != Claim::Idle {
            return Err(Forbidden("the machine is claimed"));
        }
        if self.settled.contains_key(&claim.job) {
            return Err(Forbidden("the job is settled"));
        }
        if now >= claim.deploy_by {
            return Err(Forbidden("it is too late to submit the job"));
        }
        self.claim = Claim::Submitting(claim);
        Ok(())
    }

    /// M2: the job's own later attempt renews a claim whose settle time is over. A cancel stays.
    pub fn renew(
        &mut self,
        job: JobId,
        by: &str,
        attempt: Uuid,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), Forbidden> {
        match &mut self.claim {
            Claim::Submitting(claim) if claim.job == job && now > claim.until => {
                claim.by = by.to_owned();
                claim.attempt = attempt;
                claim.until = until;
                claim.renewed = true;
                Ok(())
            }
            Claim::Submitting(claim) if claim.job == job => {
                Err(Forbidden("the settle time is not over"))
            }
            _ => Err(Forbidden("the job does not hold a submitting claim")),
        }
    }

    /// M3: Testflinger said that the job is there, whichever attempt asked. A cancel stays.
    pub fn run(
        &mut self,
        job: JobId,
        submitted_at: Timestamp,
        deadline: Timestamp,
    ) -> Result<(), Forbidden> {
        match &self.claim {
            Claim::Submitting(claim) if claim.job == job => {
                let Submitting {
                    cycle,
                    rack,
                    deploy_by,
                    renewed,
                    cancel,
                    ..
                } = claim.clone();
                self.claim = Claim::Running(Running {
                    job,
                    cycle,
                    rack,
                    submitted_at,
                    deadline,
                    deploy_by,
                    renewed,
                    doubled: None,
                    verdict: None,
                    cancel,
                });
                Ok(())
            }
            _ => Err(Forbidden("the job does not hold a submitting claim")),
        }
    }

    /// M4, M5, M6: the attempt that owns the claim knows that the job is not in Testflinger and never will be.
    pub fn give_up(
        &mut self,
        job: JobId,
        attempt: Uuid,
        settled: Settled,
    ) -> Result<(), Forbidden> {
        match &self.claim {
            Claim::Submitting(claim) if claim.job == job && claim.attempt == attempt => {
                self.claim = Claim::Idle;
                self.settle(job, settled);
                Ok(())
            }
            _ => Err(Forbidden("another attempt owns the claim")),
        }
    }

    /// M7: the job is over. Frees the machine and keeps the verdict.
    pub fn conclude(&mut self, job: JobId, settled: Settled) -> Result<(), Forbidden> {
        if self.claim.job() != Some(job) {
            return Err(Forbidden("the job does not hold the claim"));
        }
        self.claim = Claim::Idle;
        self.settle(job, settled);
        Ok(())
    }

    /// M8: a job without a claim is left out. Whoever has the machine keeps it.
    pub fn leave_out(&mut self, job: JobId, settled: Settled) -> Result<(), Forbidden> {
        if self.claim.job() == Some(job) {
            return Err(Forbidden("the job holds the claim"));
        }
        if self.settled.contains_key(&job) {
            return Err(Forbidden("the job is settled"));
        }
        self.settle(job, settled);
        Ok(())
    }

    /// M9: somebody wants the job that has the machine to stop. The first request stays.
    pub fn ask_to_cancel(&mut self, job: JobId, request: CancelRequest) -> Result<(), Forbidden> {
        let slot = match &mut self.claim {
            Claim::Submitting(claim) if claim.job == job => &mut claim.cancel,
            Claim::Running(claim) if claim.job == job => &mut claim.cancel,
            _ => return Err(Forbidden("the job does not hold the claim")),
        };
        slot.get_or_insert(request);
        Ok(())
    }

    /// Testflinger was seen to have the job more often than it should. What was seen first stays.
    pub fn note_doubled(&mut self, job: JobId, doubled: Doubled) -> Result<(), Forbidden> {
        let slot = match (&mut self.claim, self.settled.get_mut(&job)) {
            (_, Some(settled)) => &mut settled.doubled,
            (Claim::Running(claim), None) if claim.job == job => &mut claim.doubled,
            _ => return Err(Forbidden("the job neither runs nor is settled")),
        };
        slot.get_or_insert(doubled);
        Ok(())
    }

    /// A doubled job's verdict is known, and something of the job may still work on the machine, which stays claimed.
    pub fn keep_verdict(&mut self, job: JobId, settled: Settled) -> Result<(), Forbidden> {
        match &mut self.claim {
            Claim::Running(claim) if claim.job == job && claim.doubled.is_some() => {
                claim.verdict.get_or_insert_with(|| Box::new(settled));
                Ok(())
            }
            _ => Err(Forbidden("the job does not run doubled")),
        }
    }

    /// M11: a person brings back the claim of a job that Testflinger works on and that nothing here knows any more,
    /// because the broker was lost.
    pub fn adopt(&mut self, claim: Running) -> Result<(), Forbidden> {
        if self.claim != Claim::Idle {
            return Err(Forbidden("the machine is claimed"));
        }
        if self.settled.contains_key(&claim.job) {
            return Err(Forbidden("the job is settled"));
        }
        self.claim = Claim::Running(claim);
        Ok(())
    }

    /// M10: fates whose time is over and whose cycle is closed are forgotten.
    pub fn forget(&mut self, forgettable: impl Fn(&JobId, &Settled) -> bool) {
        self.settled
            .retain(|job, settled| !forgettable(job, settled));
    }

    fn settle(&mut self, job: JobId, settled: Settled) {
        if settled.outcome.is_verdict() {
            let (cycle, outcome, at) = (settled.cycle, settled.outcome.clone(), settled.at);
            self.verdicts.push(PastVerdict {
                job,
                cycle,
                outcome,
                at,
            });
            let extra = self.verdicts.len().saturating_sub(Self::VERDICTS);
            self.verdicts.drain(..extra);
        }
        self.settled.insert(job, settled);
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
