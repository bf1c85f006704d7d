//! Brings back what fell out: a look, a submit, a slot, a cycle's end. It never frees or renews a claim, never settles
//! a fate and never posts: even a sweep that sent everything at any moment would do no harm. Without lost messages it
//! finds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, dead};
use jiff::{SignedDuration, Timestamp};
use ledger::{Ledger, LedgerError, submit_task};
use model::cycle::{CycleRecord, Fate};
use model::id::{CycleId, JobId};
use model::machine::{Claim, MachineRecord};
use model::name::{MachineName, RackName};
use model::rack::RackRecord;
use model::subject::{Subject, stream};
use model::task::{Submit, Task, Watch};
use plan::slots::{Slots, later};

use crate::view::View;
use crate::waiting::{self, Waiting};
use crate::{Lost, Observer, Settings, arm, rouse};

/// A task that keeps falling out comes back at longer and longer intervals, up to this many settle times.
const SLOWEST: u32 = 12;

/// The sweep and what it remembers from one pass to the next. Losing it costs a pass.
pub(crate) struct Sweep {
    ledger: Ledger,
    settings: Settings,
    observers: Vec<Arc<dyn Observer>>,
    view: View,
    /// What the broker reported of messages that no worker survived.
    reports: dead::Reports,
    /// Jobs that had no look stored at the last pass.
    unwatched: BTreeSet<JobId>,
    /// When a submit may be brought back again, and how often it was.
    brought_back: BTreeMap<JobId, (Timestamp, u32)>,
}

impl Sweep {
    pub(crate) fn new(ledger: Ledger, settings: Settings, observers: &[Arc<dyn Observer>]) -> Self {
        Self {
            ledger,
            settings,
            observers: observers.to_vec(),
            view: View::default(),
            reports: dead::Reports::default(),
            unwatched: BTreeSet::new(),
            brought_back: BTreeMap::new(),
        }
    }

    /// One pass.
    pub(crate) async fn pass(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        self.bury().await?;
        rouse::pass(&self.ledger, self.settings.settle, now).await?;
        // The waiting messages first: what is sent between the two reads is then not taken for lost.
        let waiting = Waiting::tasks(&self.ledger).await?;
        self.view.refresh(&self.ledger, now).await?;
        self.cancels(now).await?;
        self.looks(&waiting, now).await?;
        self.submits(&waiting, now).await?;
        self.ends(now).await?;
        self.slots(now).await?;
        self.forget(now).await
    }

    fn tell(&self, what: Lost) {
        for observer in &self.observers {
            observer.brought_back(what);
        }
    }

    /// Messages that no worker survived become dead letters. Where they are they would look like work under way, and
    /// nothing would bring it back.
    async fn bury(&mut self) -> Result<(), LedgerError> {
        for stuck in self.reports.stuck(self.ledger.bus()).await? {
            tracing::error!(
                subject = stuck.message.subject,
                "no worker survived this message: it becomes a dead letter"
            );
            dead::bury(self.ledger.bus(), &stuck, "scheduler").await?;
            self.tell(Lost::Dead);
        }
        Ok(())
    }

    /// A job in Testflinger that somebody wants to end, and whose look does not know: whoever asked may have died before
    /// arming one that reads the claim. It is let out at once, as it is; it and all after it read the claim, and what
    /// those have counted is left alone.
    async fn cancels(&self, now: Timestamp) -> Result<(), LedgerError> {
        for (record, _) in self.view.planned() {
            for machine in record.open() {
                let job = JobId::of(record.cycle, machine);
                if !self.view.is_cancelling(machine, job) {
                    continue;
                }
                let waits = Subject::WaitWatch(job).to_string();
                let stored = self.ledger.bus().last_on(stream::TASK, &waits).await?;
                let look = stored.and_then(|stored| Watch::parse(&stored.body).ok());
                if let Some(look) = look.filter(|look| look.deadline.is_some()) {
                    tracing::warn!(machine.name = %machine, job.id = %job, "nobody had told this job's look of its cancel: looking now");
                    self.ledger.look_now(&look, now).await?;
                    self.tell(Lost::Cancel);
                }
            }
        }
        Ok(())
    }

    /// A job in Testflinger that nothing looks at, two passes in a row.
    async fn looks(&mut self, waiting: &Waiting, now: Timestamp) -> Result<(), LedgerError> {
        let unwatched: Vec<(MachineName, (RackName, CycleId), JobId)> = self
            .view
            .machines
            .iter()
            .filter_map(|(machine, view)| match &view.claim {
                Claim::Running(claim) if !waiting.work_on(claim.job, &claim.rack, machine) => {
                    let cycle = (claim.rack.clone(), claim.cycle);
                    Some((machine.clone(), cycle, claim.job))
                }
                _ => None,
            })
            .collect();
        for (machine, cycle, job) in &unwatched {
            if !self.unwatched.contains(job) {
                continue;
            }
            let Some((record, planned)) = self
                .view
                .planned()
                .find(|(record, _)| (&record.rack, record.cycle) == (&cycle.0, cycle.1))
            else {
                tracing::error!(job.id = %job, "a job is running whose cycle has no open record");
                continue;
            };
            tracing::warn!(machine.name = %machine, job.id = %job, "nothing was going to look at this job: looking now");
            let look = submit_task(record, planned, machine).first_look();
            self.ledger.look_now(&look, now).await?;
            self.tell(Lost::Look);
        }
        self.unwatched = unwatched.into_iter().map(|(_, _, job)| job).collect();
        Ok(())
    }

    /// A machine without an outcome whose submit is nowhere, although it was due long enough ago.
    async fn submits(&mut self, waiting: &Waiting, now: Timestamp) -> Result<(), LedgerError> {
        let settle = signed(self.settings.settle);
        let mut undecided = BTreeSet::new();
        let mut lost = Vec::new();
        for (record, planned) in self.view.planned() {
            let mut machines = Vec::new();
            for machine in record.open() {
                let job = JobId::of(record.cycle, machine);
                if self.view.is_running(machine, job) {
                    continue;
                }
                undecided.insert(job);
                let due = planned.deploy.get(machine).copied().max(Some(planned.at));
                let old = due.is_some_and(|due| now.duration_since(due) >= settle);
                let rested = self
                    .brought_back
                    .get(&job)
                    .is_none_or(|(again, _)| now >= *again);
                if old && rested && !waiting.work_on(job, &record.rack, machine) {
                    machines.push((machine.clone(), job));
                }
            }
            if !machines.is_empty() {
                lost.push((record.rack.clone(), record.cycle, machines));
            }
        }
        self.brought_back.retain(|job, _| undecided.contains(job));
        for (rack, cycle, machines) in lost {
            self.bring_back(&rack, cycle, machines, now).await?;
        }
        Ok(())
    }

    async fn bring_back(
        &mut self,
        rack: &RackName,
        cycle: CycleId,
        machines: Vec<(MachineName, JobId)>,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        // A record that went away with a restored bucket is no reason for any work.
        let Some(record) = self.ledger.cycle(rack, cycle).await? else {
            self.view.open.remove(&(rack.clone(), cycle));
            return Ok(());
        };
        let Fate::Planned(planned) = &record.fate else {
            return Ok(());
        };
        // Perhaps the tick is not there yet, or will never be.
        self.ledger.tell_decisions(&record).await?;
        for (machine, job) in machines {
            if record.outcomes.contains_key(&machine) {
                continue;
            }
            let times = self.brought_back.get(&job).map_or(0, |(_, times)| *times);
            tracing::warn!(job.id = %job, times = times + 1, "a submit was lost: bringing it back");
            let task = Submit {
                swept: true,
                ..submit_task(&record, planned, &machine)
            };
            let (rack, machine) = (rack.clone(), machine.clone());
            // An id of its own: under the job's id the broker would take it for the lost one and drop it.
            let message = ledger::outgoing(Subject::Submit { rack, machine }, &task)
                .with_id(format!("{job}.sweep.{}", now.as_second()))
                .of_cycle(record.cycle);
            self.ledger.bus().publish(message).await?;
            self.tell(Lost::Submit);
            let slower = 2u32.saturating_pow(times).min(SLOWEST);
            let again = later(now, self.settings.settle.saturating_mul(slower));
            self.brought_back
                .insert(job, (again, times.saturating_add(1)));
        }
        Ok(())
    }

    /// Cycles whose machines all have outcomes, and whose end nobody told.
    async fn ends(&self, now: Timestamp) -> Result<(), LedgerError> {
        for record in self.view.open.values() {
            // Whoever made it complete is about to tell its end, after what comes before.
            let old = now.duration_since(last_change(record)) >= signed(self.settings.settle);
            if record.is_complete() && old {
                tracing::warn!(rack.name = %record.rack, cycle.id = %record.cycle, "nobody told this cycle's end: telling it");
                self.ledger.tell_decisions(record).await?;
                self.ledger.close(&record.rack, record.cycle).await?;
                self.tell(Lost::End);
            }
        }
        Ok(())
    }

    /// Slots inside the catch-up window that never became a cycle.
    async fn slots(&self, now: Timestamp) -> Result<(), LedgerError> {
        let waiting = Waiting::ticks(&self.ledger).await?;
        let mut missing = Vec::new();
        for (rack, record) in arm::racks(&self.ledger).await? {
            let due = record.map(|record| self.due_slots(&rack, &record, now));
            for (slot, cycle) in due.unwrap_or_default() {
                if !waiting.tick_of(&rack, slot, cycle)
                    && self.ledger.cycle(&rack, cycle).await?.is_none()
                {
                    missing.push((rack.clone(), slot, cycle));
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        // A tick that is handed out may be put off meanwhile, or become its cycle: each is looked for after it.
        let handed_out = waiting::handed_out(&self.ledger).await?;
        let waiting = Waiting::ticks(&self.ledger).await?;
        for (rack, slot, cycle) in missing {
            if !handed_out.contains(&cycle)
                && !waiting.tick_of(&rack, slot, cycle)
                && self.ledger.cycle(&rack, cycle).await?.is_none()
            {
                tracing::warn!(rack.name = %rack, %slot, "a slot never ticked: arming it again");
                arm::arm(&self.ledger, rack, slot).await?;
                self.tell(Lost::Slot);
            }
        }
        Ok(())
    }

    /// The rack's slots that are due and may still run. A slot of the last minute is on its way.
    fn due_slots(
        &self,
        rack: &RackName,
        record: &RackRecord,
        now: Timestamp,
    ) -> Vec<(Timestamp, CycleId)> {
        let Ok(slots) = Slots::new(&record.schedule, rack) else {
            return Vec::new();
        };
        if record.paused.is_some() {
            return Vec::new();
        }
        let policy = plan::speed::shorten(
            self.settings.policy.clone().with(&record.policy),
            self.settings.speed,
        );
        let window = plan::slots::catch_up(&policy, Some(slots.period()));
        let oldest = now
            .saturating_sub(signed(window))
            .unwrap_or(Timestamp::MIN)
            .max(record.since);
        let newest = now - signed(self.settings.settle.min(Duration::from_secs(60)));
        slots
            .iter_after(oldest)
            .take_while(|slot| *slot < newest)
            .map(|slot| (slot, CycleId::of_slot(rack, slot)))
            .collect()
    }

    /// M10: fates that no message can ask for any more.
    async fn forget(&self, now: Timestamp) -> Result<(), LedgerError> {
        let margin = signed(self.settings.settle.saturating_mul(2));
        let mut closed = BTreeMap::new();
        for (machine, view) in &self.view.machines {
            let mut over = BTreeSet::new();
            for (job, kept) in &view.settled {
                if now.duration_since(kept.deploy_by) <= margin {
                    continue;
                }
                let cycle = &kept.cycle_key;
                if !closed.contains_key(cycle) {
                    closed.insert(cycle, self.is_closed(cycle).await?);
                }
                if closed[cycle] {
                    over.insert(*job);
                }
            }
            if over.is_empty() {
                continue;
            }
            let entry = self.ledger.machine(machine).await?;
            let forget = |record: &mut MachineRecord| {
                record.forget(|job, _| over.contains(job));
                Ok(())
            };
            // The guard only grows truer with time, so a conflict may be tried again without another look.
            let _ = self.ledger.change_machine(machine, entry, forget).await?;
        }
        Ok(())
    }

    /// Whether the cycle is closed, or so old that its record is gone.
    async fn is_closed(&self, key: &str) -> Result<bool, LedgerError> {
        match self.ledger.cycles().get(key).await {
            Ok(entry) => Ok(entry.is_none_or(|entry| entry.value.closed)),
            Err(BusError::Malformed { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// When the record became what it is, but for its closing.
fn last_change(record: &CycleRecord) -> Timestamp {
    match &record.fate {
        Fate::Planned(planned) => record.settled_at.unwrap_or(planned.at),
        Fate::Failed { at, .. } => *at,
        Fate::Missed { .. } => record.ticked_at,
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
