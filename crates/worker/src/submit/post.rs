//! The part of a submit that speaks with Testflinger, under a claim of its own.

use std::time::Instant;

use bus::runtime::{Delivery, TaskError};
use jiff::{SignedDuration, Timestamp};
use ledger::{LedgerError, MachineEntry};
use model::machine::Settled;
use model::outcome::{LostCause, Outcome, Skip, SkipReason};
use model::task::{Submit, Watch};
use serde_json::Map;
use testflinger::{JobDocument, Presence, SubmitError};
use uuid::Uuid;

use super::{Handler, Step};
use crate::inputs::agent;
use crate::trouble::{Trouble, again, broker_again};

/// The attempt that this handler makes.
pub(super) struct Own {
    /// Its mark in the claim.
    pub(super) attempt: Uuid,
    /// Before its claim was written.
    pub(super) begun: Instant,
    /// Whether the job may be there already.
    pub(super) ask_first: bool,
}

impl Handler {
    /// Makes sure that the job is in Testflinger, or never will be.
    pub(super) async fn bring_there(
        &self,
        task: &Submit,
        entry: MachineEntry,
        own: Own,
        delivery: &Delivery,
    ) -> Result<Step, TaskError> {
        let broker = broker_again(delivery.attempt);
        if own.ask_first {
            match self.testflinger.job(&task.job.to_string()).await {
                Ok(Presence::There) => return self.run(task, entry).await.map_err(&broker),
                Ok(Presence::Absent) => {
                    if let Some(cancel) = entry.record.claim.cancel() {
                        let skip = Skip::of(SkipReason::Cancelled, &cancel.by);
                        return self
                            .give_up(task, entry, own.attempt, Outcome::Skipped(skip), delivery)
                            .await;
                    }
                    let late = Timestamp::now().duration_since(task.deploy_by);
                    if !late.is_negative() {
                        let outcome = never_there(late);
                        return self
                            .give_up(task, entry, own.attempt, outcome, delivery)
                            .await;
                    }
                }
                Err(error) => return Err(self.after_settling(delivery, &Trouble::from(error))),
            }
        }
        if !self.settings.timing.allows_post_after(own.begun.elapsed()) {
            return Err(TaskError::retry(
                self.settling(),
                "too little of the settle time was left for a POST",
            ));
        }
        let posted = self.post(task).await;
        let refused = matches!(
            posted,
            Err(SubmitError::Refused { .. } | SubmitError::NotStored(_))
        );
        if own.begun.elapsed() >= self.settings.timing.settle && !refused {
            self.look_for_late(task).await.map_err(&broker)?;
        }
        match posted {
            Ok(()) => self.run(task, entry).await.map_err(&broker),
            Err(SubmitError::Refused { status, message }) => {
                let outcome = Outcome::Rejected { status, message };
                self.give_up(task, entry, own.attempt, outcome, delivery)
                    .await
            }
            // Not stored and our trouble, or unknown: either way the next attempt waits, asks, and posts only if the
            // job is clearly not there.
            Err(SubmitError::NotStored(error) | SubmitError::Unknown(error)) => {
                Err(self.after_settling(delivery, &Trouble::from(error)))
            }
        }
    }

    /// The job document: what the policy says, and what makes it this machine's one job of this cycle.
    async fn post(&self, task: &Submit) -> Result<(), SubmitError> {
        let tags = model::tag::of(&task.rack, task.cycle);
        let no_template = Map::new();
        let document = JobDocument {
            job_id: &task.job.to_string(),
            job_queue: task.machine.as_str(),
            name: &format!("racktick {} {}", task.rack, task.machine),
            tags: &tags,
            template: task.document.as_object().unwrap_or(&no_template),
        };
        self.testflinger.submit(&document).await
    }

    /// This worker, or what it sent, was held up for longer than the settle time: another attempt may have found the
    /// job absent and posted it, too. While the job has the machine its looks know that, by the renewed claim; when it
    /// is settled by now, a look of its own finds out.
    async fn look_for_late(&self, task: &Submit) -> Result<(), LedgerError> {
        let entry = self.ledger.machine(&task.machine).await?;
        if entry.record.claim.job() == Some(task.job) {
            return Ok(());
        }
        let look = Watch {
            late: true,
            ..task.first_look()
        };
        self.ledger.arm_look(&look, Timestamp::now()).await
    }

    /// M4, M5, M6, and the report of it.
    async fn give_up(
        &self,
        task: &Submit,
        entry: MachineEntry,
        attempt: Uuid,
        outcome: Outcome,
        delivery: &Delivery,
    ) -> Result<Step, TaskError> {
        let broker = broker_again(delivery.attempt);
        let settled = Settled {
            cancel: entry.record.claim.cancel().cloned(),
            ..self.settled(task, outcome)
        };
        let written = self
            .ledger
            .change_machine(&task.machine, entry, |record| {
                record.give_up(task.job, attempt, settled.clone())
            })
            .await
            .map_err(&broker)?;
        if written.is_err() {
            return Ok(Step::Again);
        }
        self.ledger
            .report(&task.machine, task.job, &settled)
            .await
            .map_err(&broker)?;
        Ok(Step::Done)
    }

    /// What objects to the decision now: the rack was paused, or the agent's state changed.
    pub(super) async fn objection(
        &self,
        task: &Submit,
        delivery: &Delivery,
    ) -> Result<Option<Skip>, TaskError> {
        let rack = self
            .ledger
            .rack(&task.rack)
            .await
            .map_err(broker_again(delivery.attempt))?;
        if let Some(pause) = rack.as_ref().and_then(|rack| rack.paused.as_ref()) {
            return Ok(Some(Skip::of(SkipReason::RackPaused, &pause.by)));
        }
        let trouble = |error| again(delivery.attempt, &Trouble::from(error), self.settings.speed);
        let found = self
            .testflinger
            .agent(task.machine.as_str())
            .await
            .map_err(trouble)?;
        let allowed = self.testflinger.allowed_queues().await.map_err(trouble)?;
        let policy = self.settings.policy_of(rack.as_ref());
        let found = found.map(agent);
        Ok(plan::decide::object_to_agent(
            &policy,
            Timestamp::now(),
            found.as_ref(),
            &task.machine,
            &allowed,
        ))
    }

    /// Whether Testflinger has the job.
    pub(super) async fn is_there(
        &self,
        task: &Submit,
        delivery: &Delivery,
    ) -> Result<bool, TaskError> {
        let presence = self.testflinger.job(&task.job.to_string()).await;
        presence
            .map(|presence| presence == Presence::There)
            .map_err(|error| again(delivery.attempt, &Trouble::from(error), self.settings.speed))
    }

    /// The attempt is left to settle: nothing it sent can arrive after that.
    fn after_settling(&self, delivery: &Delivery, trouble: &Trouble) -> TaskError {
        let after =
            plan::retry::after_attempt(delivery.attempt, trouble.retry_after, self.settings.speed);
        TaskError::retry(after.max(self.settling()), trouble.to_string())
    }

    fn settling(&self) -> std::time::Duration {
        self.settings.timing.settle + self.settings.timing.margin
    }
}

/// What became of a job that was claimed, is not in Testflinger, and will not be submitted any more. Testflinger
/// forgets jobs after seven days: near that, nobody can say whether the job was never there.
fn never_there(late: SignedDuration) -> Outcome {
    const FORGOTTEN: SignedDuration = SignedDuration::from_hours(6 * 24);
    if late > FORGOTTEN {
        return Outcome::Lost {
            cause: LostCause::Gone,
        };
    }
    Outcome::Skipped(Skip::of(
        SkipReason::TooLate,
        "it had not reached Testflinger by deploy_by",
    ))
}
