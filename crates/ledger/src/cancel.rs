//! Cancelling a job: written into the machine's record first, asked for at Testflinger later by the job's own looks.
//! Asking the remote alone would be no cancel: before the job has arrived there, the remote says that there is none.

use jiff::Timestamp;
use model::cycle::{CycleRecord, Fate};
use model::id::JobId;
use model::machine::{CancelRequest, Claim, MachineRecord, Settled};
use model::name::MachineName;
use model::outcome::{Outcome, Skip, SkipReason};

use crate::tasks::submit_task;
use crate::{Ledger, LedgerError};

/// What a cancel led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It will never be submitted.
    Dropped,
    /// It is in Testflinger or on its way there; its looks ask Testflinger until it is over.
    Asked,
    /// Its fate was decided before, or is decided by the time: nobody may submit it any more.
    AlreadyOver,
}

impl Ledger {
    /// Cancels the job of a machine in a cycle.
    pub async fn cancel(
        &self,
        cycle: &CycleRecord,
        machine: &MachineName,
        request: &CancelRequest,
    ) -> Result<Cancelled, LedgerError> {
        let Fate::Planned(planned) = &cycle.fate else {
            return Ok(Cancelled::AlreadyOver);
        };
        let job = JobId::of(cycle.cycle, machine);
        let dropped = Settled {
            cycle: cycle.cycle,
            rack: cycle.rack.clone(),
            outcome: Outcome::Skipped(Skip::of(SkipReason::Cancelled, &request.by)),
            at: request.at,
            deploy_by: planned.deploy_by,
            submitted_at: None,
            statuses: Default::default(),
            device: None,
            evidence: None,
            doubled: None,
            cancel: Some(request.clone()),
        };
        let entry = self.machine(machine).await?;
        // Past `deploy_by` nobody submits it any more, and what became of it may be forgotten by the machine already.
        let never = entry.record.claim.job() != Some(job) && request.at >= planned.deploy_by;
        if never || entry.record.settled.contains_key(&job) || cycle.outcomes.contains_key(machine)
        {
            return Ok(Cancelled::AlreadyOver);
        }
        let written = self
            .change_machine(machine, entry, |record: &mut MachineRecord| {
                if record.claim.job() == Some(job) {
                    record.ask_to_cancel(job, request.clone())
                } else {
                    record.leave_out(job, dropped.clone())
                }
            })
            .await?;
        let Ok(entry) = written else {
            return Ok(Cancelled::AlreadyOver);
        };
        if let Some(settled) = entry.record.settled.get(&job) {
            self.report(machine, job, settled).await?;
            return Ok(Cancelled::Dropped);
        }
        if let Claim::Running(_) = entry.record.claim {
            self.look_now(
                &submit_task(cycle, planned, machine).first_look(),
                Timestamp::now(),
            )
            .await?;
        }
        Ok(Cancelled::Asked)
    }
}
