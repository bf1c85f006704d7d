//! `task.watch.>`: one look at one job. A look that finds the job at work arms the next; the last one settles the
//! verdict, which frees the machine, and reports it.

mod doubled;
mod evidence;
mod settle;

use std::time::Duration;

use bus::Written;
use bus::runtime::{Delivery, TaskError};
use jiff::Timestamp;
use ledger::{Ledger, LedgerError, MachineEntry};
use model::event::{Event, Fact, Job};
use model::id::JobId;
use model::machine::{CancelCause, CancelRequest, Claim};
use model::task::Watch;
use plan::look::{Conclusion, Counters, Seen};
use plan::slots::later;
use testflinger::{JobResult, Presence, Testflinger};

use crate::trouble::{Trouble, broker_again};
use doubled::doubled_as;

/// How often the record may change under a handler before the message is given back.
const ROUNDS: usize = 20;

/// What a look saw.
struct Sight {
    /// `None`: neither a result nor the job itself is there.
    result: Option<JobResult>,
    /// The states of all entries that Testflinger has of the job, where there may be more than one.
    entries: Vec<String>,
    /// The job that its agent says to be working on, where that matters.
    agent_job: Option<String>,
}

impl Sight {
    /// The job's state, if the look saw one.
    fn state(&self) -> Option<&str> {
        let state = self.result.as_ref()?.job_state.as_deref()?;
        (!state.is_empty()).then_some(state)
    }

    fn seen(&self) -> Seen<'_> {
        match &self.result {
            Some(_) => Seen::There {
                // A result without a state says nothing, and is no end.
                state: self.state().unwrap_or_default(),
                agent_job: self.agent_job.as_deref(),
            },
            None => Seen::Absent,
        }
    }
}

/// How a look without the claim ended.
enum Glance {
    /// The job is at work, and its next look is armed.
    AtWork,
    /// What follows from this needs the claim.
    Other(Result<Sight, Trouble>),
}

/// Looks at jobs.
pub struct Handler {
    ledger: Ledger,
    testflinger: Testflinger,
}

impl bus::runtime::Handler<Watch> for Handler {
    async fn handle(&self, task: Watch, delivery: &Delivery) -> Result<(), TaskError> {
        let broker = broker_again(delivery.attempt);
        if task.job != JobId::of(task.cycle, &task.machine) {
            return Err(TaskError::reject(format!(
                "{} is not the job of {} in its cycle",
                task.job, task.machine
            )));
        }
        let mut glance = None;
        // What a redelivery's earlier attempt did is not known.
        if let Some(deadline) = task.deadline
            && delivery.attempt == 1
        {
            match self.glance(&task, deadline, delivery).await {
                Ok(Glance::AtWork) => return Ok(()),
                Ok(Glance::Other(sight)) => glance = Some(sight),
                Err(error) => return Err(broker(error)),
            }
        }
        for _ in 0..ROUNDS {
            let entry = match self.as_this_worker_knows_it(&task, glance.as_ref()) {
                Some(entry) => entry,
                None => self.ledger.machine(&task.machine).await.map_err(&broker)?,
            };
            if let Some(settled) = entry.record.settled.get(&task.job) {
                self.ledger
                    .report(&task.machine, task.job, settled)
                    .await
                    .map_err(&broker)?;
            }
            let done = if entry.record.settled.contains_key(&task.job) {
                self.after_the_end(&task, entry).await
            } else if entry.record.claim.job() == Some(task.job) {
                self.look(&task, entry, glance.take(), delivery).await
            } else {
                self.unknown(&task, entry).await
            };
            if done.map_err(&broker)? {
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
    pub fn new(ledger: Ledger, testflinger: Testflinger) -> Self {
        Self {
            ledger,
            testflinger,
        }
    }

    /// The record as this worker remembers it, where a glance saw the job over: what follows is a compare-and-set on
    /// it, which finds out whether it is still the same. Nothing else may follow from a record that may be stale.
    fn as_this_worker_knows_it(
        &self,
        task: &Watch,
        glance: Option<&Result<Sight, Trouble>>,
    ) -> Option<MachineEntry> {
        let sight = glance?.as_ref().ok()?;
        if let Conclusion::NotOver(_) = plan::look::conclude(task, true, sight.seen()) {
            return None;
        }
        let entry = self.ledger.recall_machine(&task.machine)?;
        let is_running =
            matches!(&entry.record.claim, Claim::Running(running) if running.job == task.job);
        is_running.then_some(entry)
    }

    /// The look at a job of which all is known that a look at work needs: its claim was running when the look was
    /// armed, and running it stays until a look settles it; and had anybody asked to cancel it since, a look that reads
    /// the claim would have taken this one's place, or will take that of the next. So only what does not end here
    /// reads the record.
    async fn glance(
        &self,
        task: &Watch,
        deadline: Timestamp,
        delivery: &Delivery,
    ) -> Result<Glance, LedgerError> {
        let sight = match self.see(task, false).await {
            Ok(sight) => sight,
            Err(trouble) => return Ok(Glance::Other(Err(trouble))),
        };
        let now = Timestamp::now();
        let is_cancelled = sight.state().is_some_and(plan::look::needs_agent);
        match plan::look::conclude(task, true, sight.seen()) {
            Conclusion::NotOver(counters) if !is_cancelled && now < deadline => {
                let next = after(task, &sight, counters, delivery.stored_at);
                let due = plan::look::next_look(&task.pace, deadline, now, counters);
                tokio::try_join!(
                    self.tell_progress(task, &sight, delivery),
                    self.ledger.arm_next_look(&next, due)
                )?;
                Ok(Glance::AtWork)
            }
            _ => Ok(Glance::Other(Ok(sight))),
        }
    }

    /// One look, with what a glance saw, if there was one. False when the record changed meanwhile and has to be read
    /// again.
    async fn look(
        &self,
        task: &Watch,
        entry: MachineEntry,
        glance: Option<Result<Sight, Trouble>>,
        delivery: &Delivery,
    ) -> Result<bool, LedgerError> {
        let running = matches!(entry.record.claim, Claim::Running(_));
        let may_be_doubled = entry.record.claim.may_be_doubled();
        let seen = match glance {
            // The claim was running before the glance, and no claim becomes so twice.
            Some(seen) if running && !may_be_doubled => seen,
            _ => self.see(task, may_be_doubled).await,
        };
        let sight = match seen {
            Ok(sight) => sight,
            Err(trouble) => {
                tracing::warn!(job.id = %task.job, cause = trouble.cause, "a look failed and is repeated: {trouble}");
                return self.look_failed(task, entry, &trouble).await;
            }
        };
        let conclusion = match &entry.record.claim {
            Claim::Running(claim) if sight.entries.len() > 1 || claim.doubled.is_some() => {
                match self.look_at_all(task, &entry, &sight).await? {
                    Some(conclusion) => conclusion,
                    None => return Ok(false),
                }
            }
            // It is not settled before whoever submits it has found it there.
            Claim::Submitting(_) if sight.entries.len() > 1 => {
                Conclusion::NotOver(Counters::default())
            }
            _ => plan::look::conclude(task, running, sight.seen()),
        };
        match conclusion {
            Conclusion::Over => self.settle(task, entry, sight.result, delivery).await,
            Conclusion::Gone => self.settle(task, entry, None, delivery).await,
            Conclusion::NotOver(counters) => {
                self.look_again(task, entry, &sight, counters, delivery)
                    .await
            }
        }
    }

    /// The state, when the look before saw another. The last one is told by the job's final event.
    async fn tell_progress(
        &self,
        task: &Watch,
        sight: &Sight,
        delivery: &Delivery,
    ) -> Result<(), LedgerError> {
        let Some(state) = sight.state() else {
            return Ok(());
        };
        if task.state.as_deref() == Some(state) {
            return Ok(());
        }
        let fact = Fact::JobProgressed {
            job: about(task),
            state: state.to_owned(),
        };
        self.left_state(task, delivery);
        // The message's own time, so that a redelivery says the same.
        self.publish(task, delivery.stored_at, fact).await
    }

    /// Tells whoever counts how long the job was in the state that the look before saw.
    fn left_state(&self, task: &Watch, delivery: &Delivery) {
        let (Some(state), Some(since), 1) = (&task.state, task.state_since, delivery.attempt)
        else {
            return;
        };
        let after = delivery.stored_at.duration_since(since);
        for observer in self.ledger.observers() {
            observer.left(state, after.try_into().unwrap_or_default());
        }
    }

    /// Sees to a cancel where one is due, and arms the next look. False as in [`Handler::look`].
    async fn look_again(
        &self,
        task: &Watch,
        entry: MachineEntry,
        sight: &Sight,
        counters: Counters,
        delivery: &Delivery,
    ) -> Result<bool, LedgerError> {
        self.tell_progress(task, sight, delivery).await?;
        let now = Timestamp::now();
        let deadline = deadline_of(&entry);
        let state = sight.state();
        let overdue = now >= deadline;
        let doubled = task.doubled || doubled_as(&entry.record.claim).is_some();
        // What `see_to_cancel` asks for, the next look has to read, and whether there are two of the job.
        let is_cancelled =
            entry.record.claim.cancel().is_some() || state.is_some_and(plan::look::needs_agent);
        let is_running = matches!(entry.record.claim, Claim::Running(_));
        let is_plain =
            is_running && !is_cancelled && !overdue && !entry.record.claim.may_be_doubled();
        if !self.see_to_cancel(task, entry, state, overdue, now).await? {
            return Ok(false);
        }
        let next = Watch {
            overdue: task.overdue || overdue,
            doubled,
            deadline: is_plain.then_some(deadline),
            ..after(task, sight, counters, delivery.stored_at)
        };
        let due = plan::look::next_look(&task.pace, deadline, now, counters);
        if is_plain && delivery.attempt == 1 {
            self.ledger.arm_next_look(&next, due).await?;
        } else {
            self.ledger.arm_look(&next, due).await?;
        }
        Ok(true)
    }

    /// A look that learnt nothing is repeated; a cancel that was asked for does not wait for better answers. A deadline
    /// that passes while nobody can look proves nothing of the job, so it counts only when it is twice over. False as in
    /// [`Handler::look`].
    async fn look_failed(
        &self,
        task: &Watch,
        entry: MachineEntry,
        trouble: &Trouble,
    ) -> Result<bool, LedgerError> {
        let now = Timestamp::now();
        let overdue = now >= later(deadline_of(&entry), task.pace.deadline);
        if !self.see_to_cancel(task, entry, None, overdue, now).await? {
            return Ok(false);
        }
        let failed = task.failed.saturating_add(1);
        let next = Watch {
            failed,
            look: task.look.saturating_add(1),
            overdue: task.overdue || overdue,
            ..task.clone()
        };
        let due = plan::look::repeat_look(&task.pace, failed, now, trouble.retry_after);
        self.ledger.arm_look(&next, due).await?;
        Ok(true)
    }

    /// What Testflinger says of the job, of its other entries when there may be any, and of its agent when that matters.
    async fn see(&self, task: &Watch, may_be_doubled: bool) -> Result<Sight, Trouble> {
        let job = task.job.to_string();
        let Some(result) = self.testflinger.result(&job).await? else {
            return match self.testflinger.job(&job).await? {
                Presence::Absent => Ok(Sight {
                    result: None,
                    entries: Vec::new(),
                    agent_job: None,
                }),
                Presence::There => Err(Trouble {
                    cause: "malformed",
                    message: "Testflinger has the job, but says that it has no result".into(),
                    retry_after: None,
                }),
            };
        };
        // After the result: what had not arrived when the job was over is not seen in it.
        let entries = match may_be_doubled {
            true => self.entries(task).await?,
            false => Vec::new(),
        };
        let mut states = entries
            .iter()
            .map(String::as_str)
            .chain(result.job_state.as_deref());
        let agent_job = match states.any(plan::look::needs_agent) {
            true => self.agent_job(task).await?,
            false => None,
        };
        Ok(Sight {
            result: Some(result),
            entries,
            agent_job,
        })
    }

    /// The job that its agent works on. One that waits for work still names its last job.
    async fn agent_job(&self, task: &Watch) -> Result<Option<String>, Trouble> {
        let agent = self.testflinger.agent(task.machine.as_str()).await?;
        Ok(agent
            .filter(|agent| !plan::look::waits_for_work(agent.state.as_deref()))
            .and_then(|agent| agent.job_id))
    }

    /// Tells once that a job is overdue; makes M9 where it is due; and repeats the request at Testflinger on each look,
    /// because an agent's next report may have overwritten it. False when the record has to be read again.
    async fn see_to_cancel(
        &self,
        task: &Watch,
        entry: MachineEntry,
        state: Option<&str>,
        overdue: bool,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        if overdue && !task.overdue {
            let deadline = deadline_of(&entry);
            let fact = Fact::JobOverdue {
                job: about(task),
                deadline,
            };
            self.publish(task, deadline, fact).await?;
        }
        let request = match (&entry.record.claim, entry.record.claim.cancel()) {
            (_, Some(_)) => None,
            // Whatever of it is left is cancelled anyway.
            (Claim::Running(claim), None) if claim.verdict.is_some() => return Ok(true),
            (Claim::Running(_), None) if state.is_some_and(plan::look::needs_agent) => Some((
                CancelCause::Seen,
                "testflinger",
                "it was cancelled in Testflinger",
            )),
            (Claim::Running(_), None) if overdue => Some((
                CancelCause::Deadline,
                "racktick",
                "it ran past its deadline",
            )),
            _ => return Ok(true),
        };
        if let Some((cause, by, why)) = request {
            let request = CancelRequest {
                cause,
                by: by.into(),
                why: why.into(),
                at: now,
            };
            let written = self
                .ledger
                .change_machine(&task.machine, entry, |record| {
                    record.ask_to_cancel(task.job, request.clone())
                })
                .await?;
            if written.is_err() {
                return Ok(false);
            }
        }
        self.ask_to_cancel(task).await;
        Ok(true)
    }

    /// The request at Testflinger. When it fails, the next look asks again.
    async fn ask_to_cancel(&self, task: &Watch) {
        if let Err(error) = self.testflinger.cancel(&task.job.to_string()).await {
            tracing::warn!(job.id = %task.job, "Testflinger did not take the cancel: {}", Trouble::from(error));
        }
    }

    /// Neither settled nor claimed: the fate was forgotten after its cycle was closed, or the record rolled back. The
    /// look ends without a trace, so a write that changes nothing proves first that the record was not read stale.
    /// False as in [`Handler::look`].
    async fn unknown(&self, task: &Watch, entry: MachineEntry) -> Result<bool, LedgerError> {
        if let Written::Conflict = self.ledger.write_machine(&task.machine, &entry).await? {
            return Ok(false);
        }
        if let Some(record) = self.ledger.cycle(&task.rack, task.cycle).await?
            && !record.outcomes.contains_key(&task.machine)
        {
            tracing::error!(machine.name = %task.machine, job.id = %task.job, "a look found no claim of its job");
        }
        Ok(true)
    }

    async fn publish(&self, task: &Watch, time: Timestamp, fact: Fact) -> Result<(), LedgerError> {
        self.ledger
            .publish(&Event {
                time,
                rack: task.rack.clone(),
                cycle: task.cycle,
                fact,
            })
            .await
    }
}

/// The look after one that found the job not over.
fn after(task: &Watch, sight: &Sight, counters: Counters, at: Timestamp) -> Watch {
    let (state, state_since) = match sight.state() {
        Some(state) if task.state.as_deref() != Some(state) => (Some(state.to_owned()), Some(at)),
        _ => (task.state.clone(), task.state_since),
    };
    Watch {
        look: task.look.saturating_add(1),
        state,
        state_since,
        absent: counters.absent,
        let_go: counters.let_go,
        failed: 0,
        ..task.clone()
    }
}

/// Before the claim is `running` there is no deadline.
fn deadline_of(entry: &MachineEntry) -> Timestamp {
    match &entry.record.claim {
        Claim::Running(running) => running.deadline,
        Claim::Submitting(_) | Claim::Idle => Timestamp::MAX,
    }
}

fn about(task: &Watch) -> Job {
    Job {
        machine: task.machine.clone(),
        job: task.job,
    }
}
