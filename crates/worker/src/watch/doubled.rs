//! Jobs that Testflinger may have more than once: a submit arrived later than anything sent may, after another attempt
//! had found the job absent. Looked for only where a claim was renewed, or a submit ended after its settle time.

use jiff::Timestamp;
use ledger::{LedgerError, MachineEntry};
use model::event::Fact;
use model::machine::{Claim, Doubled, Running};
use model::task::Watch;
use plan::doubled::Rest;
use plan::look::{Conclusion, Counters, Seen, is_over};
use testflinger::JobResult;

use super::{Handler, Sight, about};
use crate::trouble::Trouble;

impl Handler {
    /// The states of all entries that Testflinger has under the job's id.
    pub(super) async fn entries(&self, task: &Watch) -> Result<Vec<String>, Trouble> {
        let queue = self.testflinger.queue_jobs(task.machine.as_str()).await?;
        let own = queue
            .into_iter()
            .filter(|entry| entry.job_id.parse() == Ok(task.job));
        Ok(own
            .map(|entry| entry.job_state.unwrap_or_default())
            .collect())
    }

    /// A look at a job of which Testflinger has, or had, several entries. `None` when the record has to be read again.
    ///
    /// Whatever it writes down, it then looks again: a verdict is settled only on what was seen after the record was
    /// read.
    pub(super) async fn look_at_all(
        &self,
        task: &Watch,
        entry: &MachineEntry,
        sight: &Sight,
    ) -> Result<Option<Conclusion>, LedgerError> {
        let Claim::Running(claim) = &entry.record.claim else {
            return Ok(None);
        };
        let Some(doubled) = claim.doubled else {
            self.note_doubled(task, entry, sight.entries.len()).await?;
            return Ok(None);
        };
        self.tell_doubled(task, doubled).await?;
        let Some(result) = &sight.result else {
            return Ok(Some(plan::look::conclude(task, true, Seen::Absent)));
        };
        let decided = claim.verdict.is_some() || sight.state().is_some_and(is_over);
        let states = sight.entries.iter().map(String::as_str);
        let agent_job = sight.agent_job.as_deref();
        match plan::doubled::conclude(task, states, agent_job, decided) {
            Rest::Over => Ok(Some(Conclusion::Over)),
            Rest::NotOver(counters) => Ok(Some(Conclusion::NotOver(counters))),
            Rest::TooMany if claim.verdict.is_none() => {
                self.keep_verdict(task, entry, claim, result).await?;
                Ok(None)
            }
            Rest::TooMany => {
                self.ask_to_cancel(task).await;
                Ok(Some(Conclusion::NotOver(Counters::default())))
            }
        }
    }

    /// The job is settled. Where a submit may have arrived even later, this finds out, and cancels what arrived: nobody
    /// wants it any more. False when the record has to be read again.
    pub(super) async fn after_the_end(
        &self,
        task: &Watch,
        entry: MachineEntry,
    ) -> Result<bool, LedgerError> {
        let Some(settled) = entry.record.settled.get(&task.job).filter(|_| task.late) else {
            return Ok(true);
        };
        let now = Timestamp::now();
        let (states, agent_job) = match self.see_late(task).await {
            Ok(seen) => seen,
            Err(trouble) => {
                tracing::warn!(job.id = %task.job, cause = trouble.cause, "a look failed and is repeated: {trouble}");
                let failed = task.failed.saturating_add(1);
                let next = Watch {
                    failed,
                    ..task.clone()
                };
                let due = plan::look::repeat_look(&task.pace, failed, now, trouble.retry_after);
                self.ledger.arm_look(&next, due).await?;
                return Ok(true);
            }
        };
        let counters = match settled.doubled {
            None if states.len() > plan::doubled::expected(&settled.outcome) => {
                self.note_doubled(task, &entry, states.len()).await?;
                return Ok(false);
            }
            // It may be on its way still.
            None => Counters {
                absent: task.absent.saturating_add(1),
                let_go: 0,
            },
            Some(doubled) => {
                self.tell_doubled(task, doubled).await?;
                let states = states.iter().map(String::as_str);
                match plan::doubled::conclude(task, states, agent_job.as_deref(), true) {
                    Rest::Over => return Ok(true),
                    Rest::NotOver(counters) => counters,
                    Rest::TooMany => {
                        self.ask_to_cancel(task).await;
                        Counters::default()
                    }
                }
            }
        };
        if counters.absent > 1 {
            return Ok(true);
        }
        let next = Watch {
            look: task.look.saturating_add(1),
            absent: counters.absent,
            let_go: counters.let_go,
            failed: 0,
            doubled: task.doubled || settled.doubled.is_some(),
            ..task.clone()
        };
        let due = plan::look::next_look(&task.pace, Timestamp::MAX, now, counters);
        self.ledger.arm_look(&next, due).await?;
        Ok(true)
    }

    async fn see_late(&self, task: &Watch) -> Result<(Vec<String>, Option<String>), Trouble> {
        let states = self.entries(task).await?;
        let needs_agent = |state: &String| plan::look::needs_agent(state);
        let agent_job = match states.iter().any(needs_agent) {
            true => self.agent_job(task).await?,
            false => None,
        };
        Ok((states, agent_job))
    }

    async fn note_doubled(
        &self,
        task: &Watch,
        entry: &MachineEntry,
        entries: usize,
    ) -> Result<(), LedgerError> {
        tracing::error!(
            machine.name = %task.machine, job.id = %task.job, entries,
            "Testflinger has the job more often than it should"
        );
        let doubled = Doubled {
            at: Timestamp::now(),
            entries,
        };
        let noted = self
            .ledger
            .change_machine(&task.machine, entry.clone(), |record| {
                record.note_doubled(task.job, doubled)
            });
        // Objected to when the job is not what it was: the record is read again either way.
        noted.await.map(drop)
    }

    /// The verdict of the entry that ended first is the job's.
    async fn keep_verdict(
        &self,
        task: &Watch,
        entry: &MachineEntry,
        claim: &Running,
        result: &JobResult,
    ) -> Result<(), LedgerError> {
        let claim = Claim::Running(claim.clone());
        let Some(verdict) = self.verdict(task, &claim, Some(result.clone())).await else {
            return Ok(());
        };
        let kept = self
            .ledger
            .change_machine(&task.machine, entry.clone(), |record| {
                record.keep_verdict(task.job, verdict.clone())
            });
        kept.await.map(drop)
    }

    /// Told by the first look that has not been told of it; a copy of what the record says.
    async fn tell_doubled(&self, task: &Watch, doubled: Doubled) -> Result<(), LedgerError> {
        if task.doubled {
            return Ok(());
        }
        let fact = Fact::JobDoubled {
            job: about(task),
            entries: doubled.entries,
        };
        self.publish(task, doubled.at, fact).await
    }
}

/// Whether the job that has the machine was seen to be doubled.
pub(super) fn doubled_as(claim: &Claim) -> Option<Doubled> {
    match claim {
        Claim::Running(claim) => claim.doubled,
        Claim::Submitting(_) | Claim::Idle => None,
    }
}
