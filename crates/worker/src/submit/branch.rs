//! What a submit does next, by what the machine's record says. Pure.

use std::time::Duration;

use jiff::Timestamp;
use model::id::JobId;
use model::machine::{Claim, MachineRecord, Running, Settled};
use model::task::Submit;
use plan::slots::later;

/// The next step.
#[derive(Debug, PartialEq)]
pub(super) enum Branch<'a> {
    /// The fate is decided: report it.
    Settled(&'a Settled),
    /// The job is in Testflinger: look after it.
    Running(&'a Running),
    /// An attempt of this job's own is not settled: come back after this.
    Wait(Duration),
    /// An attempt of this job's own is settled, and nobody knows how it ended.
    Renew,
    /// Nobody may submit it any more.
    TooLate,
    /// Another job has the machine.
    Taken(JobId),
    /// The machine is free.
    Free,
}

pub(super) fn branch<'a>(
    record: &'a MachineRecord,
    task: &Submit,
    now: Timestamp,
    margin: Duration,
) -> Branch<'a> {
    if let Some(settled) = record.settled.get(&task.job) {
        return Branch::Settled(settled);
    }
    match &record.claim {
        Claim::Running(running) if running.job == task.job => Branch::Running(running),
        Claim::Submitting(claim) if claim.job == task.job => {
            // The margin covers the difference between two workers' clocks.
            let left = later(claim.until, margin).duration_since(now);
            if left.is_positive() {
                Branch::Wait(left.unsigned_abs())
            } else {
                Branch::Renew
            }
        }
        _ if now >= task.deploy_by => Branch::TooLate,
        Claim::Idle => Branch::Free,
        Claim::Submitting(other) => Branch::Taken(other.job),
        Claim::Running(other) => Branch::Taken(other.job),
    }
}
