//! `task.submit.>`: one decision becomes one job, or a skip that says why not. The steps, their order and their guards
//! are those of the job protocol: claim, ask or post, running, arm the look, tell, acknowledge.

mod branch;
mod post;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bus::Written;
use bus::runtime::{Delivery, TaskError};
use jiff::{SignedDuration, Timestamp};
use ledger::{Ledger, LedgerError, MachineEntry};
use model::event::{Event, Fact, Job};
use model::id::{CycleId, JobId};
use model::image::Image;
use model::machine::{Claim, Running, Settled, Submitting};
use model::outcome::{Outcome, Skip, SkipReason};
use model::task::{Submit, Watch};
use plan::slots::later;
use testflinger::Testflinger;
use uuid::Uuid;

use crate::settings::Settings;
use crate::trouble::broker_again;
use branch::{Branch, branch};

/// A decision older than this is checked again before it is acted on.
const FRESH: SignedDuration = SignedDuration::from_secs(60);
/// Cycles whose record this worker has seen.
const CYCLES: usize = 1024;
/// How often the record may change under a handler before the message is given back.
const ROUNDS: usize = 20;

/// Submits jobs.
pub struct Handler {
    ledger: Ledger,
    testflinger: Testflinger,
    settings: Arc<Settings>,
    seen: Mutex<HashSet<CycleId>>,
}

/// One round's result.
enum Step {
    /// Everything is done: acknowledge.
    Done,
    /// The record says something else by now: read it again.
    Again,
}

impl bus::runtime::Handler<Submit> for Handler {
    async fn handle(&self, task: Submit, delivery: &Delivery) -> Result<(), TaskError> {
        if task.job != JobId::of(task.cycle, &task.machine) {
            return Err(TaskError::reject(format!(
                "{} is not the job of {} in its cycle",
                task.job, task.machine
            )));
        }
        self.require_cycle(&task, delivery).await?;
        for _ in 0..ROUNDS {
            if let Step::Done = self.round(&task, delivery).await? {
                return Ok(());
            }
        }
        Err(TaskError::retry(
            Duration::from_secs(1),
            format!("the record of {} keeps changing", task.machine),
        ))
    }
}

impl Handler {
    /// A handler on these.
    pub fn new(ledger: Ledger, testflinger: Testflinger, settings: Arc<Settings>) -> Self {
        Self {
            ledger,
            testflinger,
            settings,
            seen: Mutex::default(),
        }
    }

    /// A task whose cycle has no record was not sent by a tick, or comes from a broker that was rolled back.
    async fn require_cycle(&self, task: &Submit, delivery: &Delivery) -> Result<(), TaskError> {
        if self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&task.cycle)
        {
            return Ok(());
        }
        let record = self
            .ledger
            .cycle(&task.rack, task.cycle)
            .await
            .map_err(broker_again(delivery.attempt))?;
        if record.is_none() {
            return Err(TaskError::reject(format!(
                "unknown_cycle: there is no record of cycle {}",
                task.cycle
            )));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= CYCLES {
            seen.clear();
        }
        seen.insert(task.cycle);
        Ok(())
    }

    /// Reads the fate and does the next steps.
    async fn round(&self, task: &Submit, delivery: &Delivery) -> Result<Step, TaskError> {
        let broker = broker_again(delivery.attempt);
        let entry = match self.as_the_tick_saw_it(task, delivery) {
            Some(entry) => entry,
            None => self.ledger.machine(&task.machine).await.map_err(&broker)?,
        };
        let now = Timestamp::now();
        match branch(&entry.record, task, now, self.settings.timing.margin) {
            Branch::Settled(settled) => {
                // Whoever brought it there may have died before telling so. An event's repeat is folded by its id.
                if let Some(at) = settled.submitted_at
                    && (delivery.attempt > 1 || task.swept)
                {
                    let deadline = later(at, task.pace.deadline);
                    let event = submitted(task, at, deadline);
                    self.ledger.publish(&event).await.map_err(&broker)?;
                }
                self.ledger
                    .report(&task.machine, task.job, settled)
                    .await
                    .map_err(&broker)?;
                Ok(Step::Done)
            }
            Branch::Running(running) => self.follow(task, running, false).await.map_err(&broker),
            Branch::Wait(after) => Err(TaskError::retry(
                after,
                "an earlier attempt may still reach Testflinger".to_owned(),
            )),
            Branch::Renew => self.hold(task, entry, delivery).await,
            Branch::TooLate => self.too_late(task, entry, now).await.map_err(&broker),
            Branch::Taken(by) => {
                let skip = Skip::of(SkipReason::InFlight, by.to_string());
                self.leave_out(task, entry, skip).await.map_err(&broker)
            }
            Branch::Free => {
                // An agent that is busy with this very job is no objection: the record was rolled back.
                if self.is_doubtful(task, delivery, now)
                    && let Some(skip) = self.objection(task, delivery).await?
                    && !self.is_there(task, delivery).await?
                {
                    return self.leave_out(task, entry, skip).await.map_err(&broker);
                }
                self.hold(task, entry, delivery).await
            }
        }
    }

    /// The record that the decision was made on, where it leads straight to a claim: the claim's compare-and-set
    /// finds out whether it is still the same. Nothing else may follow from a record that may be stale.
    fn as_the_tick_saw_it(&self, task: &Submit, delivery: &Delivery) -> Option<MachineEntry> {
        let entry = self.ledger.recall_machine(&task.machine)?;
        let now = Timestamp::now();
        let margin = self.settings.timing.margin;
        let leads_to_a_claim = !self.is_doubtful(task, delivery, now)
            && matches!(branch(&entry.record, task, now, margin), Branch::Free);
        leads_to_a_claim.then_some(entry)
    }

    /// Whether the decision may have been overtaken, or an attempt been made of which nothing is left.
    fn is_doubtful(&self, task: &Submit, delivery: &Delivery, now: Timestamp) -> bool {
        now.duration_since(task.decided_at) > FRESH || delivery.attempt > 1 || task.swept
    }

    /// M1, or M2 where the claim is the job's own; then on to Testflinger.
    async fn hold(
        &self,
        task: &Submit,
        mut entry: MachineEntry,
        delivery: &Delivery,
    ) -> Result<Step, TaskError> {
        let begun = Instant::now();
        let now = Timestamp::now();
        let attempt = Uuid::new_v4();
        let by = self.settings.name.clone();
        let until = later(now, self.settings.timing.settle);
        let is_own = entry.record.claim.job() == Some(task.job);
        let held = if is_own {
            entry.record.renew(task.job, &by, attempt, until, now)
        } else {
            let claim = Submitting {
                job: task.job,
                cycle: task.cycle,
                rack: task.rack.clone(),
                by,
                attempt,
                until,
                deploy_by: task.deploy_by,
                renewed: false,
                cancel: None,
            };
            entry.record.take(claim, now)
        };
        if held.is_err() {
            return Ok(Step::Again);
        }
        let written = self.ledger.write_machine(&task.machine, &entry).await;
        match written.map_err(broker_again(delivery.attempt))? {
            Written::Conflict => Ok(Step::Again),
            Written::Done(revision) => {
                entry.revision = Some(revision);
                let own = post::Own {
                    attempt,
                    begun,
                    ask_first: is_own || self.is_doubtful(task, delivery, now),
                };
                self.bring_there(task, entry, own, delivery).await
            }
        }
    }

    /// M3, then on to the looks.
    async fn run(&self, task: &Submit, entry: MachineEntry) -> Result<Step, LedgerError> {
        let submitted_at = Timestamp::now();
        let deadline = later(submitted_at, task.pace.deadline);
        let written = self
            .ledger
            .change_machine(&task.machine, entry, |record| {
                record.run(task.job, submitted_at, deadline)
            })
            .await?;
        let Ok(entry) = written else {
            return Ok(Step::Again);
        };
        let after = submitted_at.duration_since(task.decided_at);
        for observer in self.ledger.observers() {
            observer.submitted(after.try_into().unwrap_or_default());
        }
        // For the look that settles the job, which is the next to write the record.
        self.ledger.remember_machine(&task.machine, &entry);
        match &entry.record.claim {
            Claim::Running(running) => self.follow(task, running, true).await,
            Claim::Idle | Claim::Submitting(_) => Ok(Step::Again),
        }
    }

    /// Arms the first look and tells that the job is there. Repeated by every redelivery, whoever got here first;
    /// `just_now` is who made the claim `running`.
    async fn follow(
        &self,
        task: &Submit,
        running: &Running,
        just_now: bool,
    ) -> Result<Step, LedgerError> {
        let due = later(Timestamp::now(), task.pace.first_look);
        let event = submitted(task, running.submitted_at, running.deadline);
        let watch = task.first_look();
        let arm = async {
            if just_now && running.cancel.is_none() && !running.renewed {
                let deadline = Some(running.deadline);
                let watch = Watch { deadline, ..watch };
                self.ledger.arm_next_look(&watch, due).await
            } else {
                self.ledger.arm_look(&watch, due).await
            }
        };
        tokio::try_join!(arm, self.ledger.publish(&event))?;
        Ok(Step::Done)
    }

    /// After `deploy_by`. A fate that was forgotten is in the cycle's record; otherwise this is its end.
    async fn too_late(
        &self,
        task: &Submit,
        entry: MachineEntry,
        now: Timestamp,
    ) -> Result<Step, LedgerError> {
        let known = self.ledger.cycle(&task.rack, task.cycle).await?;
        if let Some(record) = known
            && record.outcomes.contains_key(&task.machine)
        {
            if record.is_complete() && !record.closed {
                self.ledger.close(&task.rack, task.cycle).await?;
            }
            return Ok(Step::Done);
        }
        let late = now.duration_since(task.deploy_by);
        self.leave_out(
            task,
            entry,
            Skip::of(
                SkipReason::TooLate,
                format!("{}s after deploy_by", late.as_secs()),
            ),
        )
        .await
    }

    /// M8, and the report of it.
    async fn leave_out(
        &self,
        task: &Submit,
        mut entry: MachineEntry,
        skip: Skip,
    ) -> Result<Step, LedgerError> {
        let settled = self.settled(task, Outcome::Skipped(skip));
        if entry.record.leave_out(task.job, settled.clone()).is_err() {
            return Ok(Step::Again);
        }
        match self.ledger.write_machine(&task.machine, &entry).await? {
            Written::Conflict => Ok(Step::Again),
            Written::Done(_) => {
                self.ledger
                    .report(&task.machine, task.job, &settled)
                    .await?;
                Ok(Step::Done)
            }
        }
    }

    fn settled(&self, task: &Submit, outcome: Outcome) -> Settled {
        Settled {
            cycle: task.cycle,
            rack: task.rack.clone(),
            outcome,
            at: Timestamp::now(),
            deploy_by: task.deploy_by,
            submitted_at: None,
            statuses: Default::default(),
            device: None,
            evidence: None,
            doubled: None,
            cancel: None,
        }
    }
}

/// The event that says that a job is in Testflinger.
fn submitted(task: &Submit, at: Timestamp, deadline: Timestamp) -> Event {
    let job = Job {
        machine: task.machine.clone(),
        job: task.job,
    };
    let image = Image::of(&task.document);
    Event {
        time: at,
        rack: task.rack.clone(),
        cycle: task.cycle,
        fact: Fact::JobSubmitted {
            job,
            deadline,
            image,
        },
    }
}
