//! The end of a job: its verdict, which frees the machine.

use bus::Written;
use bus::runtime::Delivery;
use jiff::Timestamp;
use ledger::{LedgerError, MachineEntry};
use model::machine::{Claim, Running, Settled};
use model::outcome::Outcome;
use model::task::Watch;
use testflinger::JobResult;

use super::Handler;
use super::doubled::doubled_as;
use crate::inputs::document;

impl Handler {
    /// M7, and the report of it; without a result Testflinger has forgotten the job. False as in [`Handler::look`].
    pub(super) async fn settle(
        &self,
        task: &Watch,
        mut entry: MachineEntry,
        result: Option<JobResult>,
        delivery: &Delivery,
    ) -> Result<bool, LedgerError> {
        let Some(settled) = self.verdict(task, &entry.record.claim, result).await else {
            return Ok(false);
        };
        if entry.record.conclude(task.job, settled.clone()).is_err() {
            return Ok(false);
        }
        match self.ledger.write_machine(&task.machine, &entry).await? {
            Written::Conflict => Ok(false),
            Written::Done(_) => {
                self.left_state(task, delivery);
                self.ledger
                    .report(&task.machine, task.job, &settled)
                    .await?;
                Ok(true)
            }
        }
    }

    /// The fate of a job that has the machine and is over, with its evidence kept when it did not pass. A verdict that
    /// was kept before has its own.
    pub(super) async fn verdict(
        &self,
        task: &Watch,
        claim: &Claim,
        result: Option<JobResult>,
    ) -> Option<Settled> {
        let has_evidence = result.is_some() && !is_decided(claim);
        let mut settled = verdict(claim, result)?;
        if has_evidence && settled.outcome != Outcome::Passed {
            settled.evidence = Some(self.keep_evidence(task, &settled).await);
        }
        Some(settled)
    }
}

/// Whether the verdict of a doubled job is kept already.
fn is_decided(claim: &Claim) -> bool {
    matches!(claim, Claim::Running(running) if running.verdict.is_some())
}

/// The fate of a job that has the machine and is over, by its result; without one Testflinger has forgotten the job.
fn verdict(claim: &Claim, result: Option<JobResult>) -> Option<Settled> {
    let (rack, cycle, submitted_at, deploy_by) = match claim {
        Claim::Running(claim) => (
            claim.rack.clone(),
            claim.cycle,
            Some(claim.submitted_at),
            claim.deploy_by,
        ),
        Claim::Submitting(claim) => (claim.rack.clone(), claim.cycle, None, claim.deploy_by),
        Claim::Idle => return None,
    };
    let doubled = doubled_as(claim);
    if let Claim::Running(Running {
        verdict: Some(kept),
        ..
    }) = claim
    {
        return Some(Settled {
            doubled,
            ..Settled::clone(kept)
        });
    }
    let cancel = claim.cancel().cloned();
    let (outcome, statuses, device) = match result {
        None => (plan::verdict::gone(), Default::default(), None),
        Some(result) => {
            let document = document(&result);
            (
                plan::verdict::verdict(&document, cancel.as_ref()),
                document.statuses,
                result.device_info,
            )
        }
    };
    Some(Settled {
        cycle,
        rack,
        outcome,
        at: Timestamp::now(),
        deploy_by,
        submitted_at,
        statuses,
        device,
        evidence: None,
        doubled,
        cancel,
    })
}
