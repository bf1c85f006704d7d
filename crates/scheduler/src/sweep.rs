//! Brings back what fell out: a look, a submit, a slot, a cycle's end. It never frees or renews a claim, never settles
//! a fate and never posts: even a sweep that sent everything at any moment would do no harm. Without lost messages it
//! finds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::Outgoing;
use jiff::{SignedDuration, Timestamp};
use ledger::{Ledger, LedgerError, submit_task};
use model::cycle::{CycleRecord, Planned};
use model::id::{CycleId, JobId};
use model::machine::Claim;
use model::name::{MachineName, RackName};
use model::rack::RackRecord;
use model::subject::{Subject, filter, stream};
use model::task::Submit;
use plan::slots::Slots;

use crate::view::View;
use crate::{Settings, arm};

/// A task that keeps falling out comes back at longer and longer intervals, up to this many settle times.
const SLOWEST: u32 = 12;

/// The sweep and what it remembers from one pass to the next. Losing it costs a pass.
pub(crate) struct Sweep {
    ledger: Ledger,
    settings: Settings,
    view: View,
    /// Jobs that had no look stored at the last pass.
    unwatched: BTreeSet<JobId>,
    /// When a submit may be brought back again, and how often it was.
    brought_back: BTreeMap<JobId, (Timestamp, u32)>,
}

/// What waits in the streams.
struct Waiting {
    subjects: BTreeSet<Subject>,
}

impl Waiting {
    async fn read(ledger: &Ledger) -> Result<Self, LedgerError> {
        let mut subjects = BTreeSet::new();
        for filter in [
            filter::WAITING_SUBMITS,
            filter::WAITING_LOOKS,
            filter::SUBMITS,
            filter::WATCHES,
        ] {
            let stored = ledger.bus().subjects(stream::TASK, filter).await?;
            subjects.extend(stored.keys().filter_map(|subject| subject.parse().ok()));
        }
        Ok(Self { subjects })
    }

    fn look_for(&self, job: JobId, rack: &RackName, machine: &MachineName) -> bool {
        self.subjects.contains(&Subject::WaitWatch(job))
            || self.subjects.contains(&Subject::Watch {
                rack: rack.clone(),
                machine: machine.clone(),
            })
    }

    fn submit_for(&self, job: JobId, rack: &RackName, machine: &MachineName) -> bool {
        self.subjects.contains(&Subject::WaitSubmit(job))
            || self.subjects.contains(&Subject::Submit {
                rack: rack.clone(),
                machine: machine.clone(),
            })
    }
}

impl Sweep {
    pub(crate) fn new(ledger: Ledger, settings: Settings) -> Self {
        Self {
            ledger,
            settings,
            view: View::default(),
            unwatched: BTreeSet::new(),
            brought_back: BTreeMap::new(),
        }
    }

    /// One pass.
    pub(crate) async fn pass(&mut self, now: Timestamp) -> Result<(), LedgerError> {
        // The waiting messages first: what is sent between the two reads is then not taken for lost.
        let waiting = Waiting::read(&self.ledger).await?;
        self.view.refresh(&self.ledger, now).await?;
        self.looks(&waiting, now).await?;
        self.submits(&waiting, now).await?;
        self.ends().await?;
        self.slots(now).await?;
        self.forget(now).await
    }

    /// A job in Testflinger that nothing looks at, two passes in a row.
    async fn looks(&mut self, waiting: &Waiting, now: Timestamp) -> Result<(), LedgerError> {
        let unwatched: Vec<(MachineName, CycleId, JobId)> = self
            .view
            .machines
            .iter()
            .filter_map(|(machine, view)| match &view.claim {
                Claim::Running(claim) if !waiting.look_for(claim.job, &claim.rack, machine) => {
                    Some((machine.clone(), claim.cycle, claim.job))
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
                .find(|(record, _)| record.cycle == *cycle)
            else {
                tracing::error!(job.id = %job, "a job is running whose cycle has no open record");
                continue;
            };
            tracing::warn!(machine.name = %machine, job.id = %job, "nothing was going to look at this job: looking now");
            let look = submit_task(record, planned, machine).first_look();
            self.ledger.arm_look(&look, now).await?;
        }
        self.unwatched = unwatched.into_iter().map(|(_, _, job)| job).collect();
        Ok(())
    }

    /// A machine without an outcome whose submit is nowhere.
    async fn submits(&mut self, waiting: &Waiting, now: Timestamp) -> Result<(), LedgerError> {
        let mut lost = Vec::new();
        for (record, planned) in self.view.planned() {
            if now.duration_since(planned.at) < signed(self.settings.settle) {
                continue;
            }
            for machine in record.open() {
                let job = JobId::of(record.cycle, machine);
                let running = self.view.machines.get(machine).is_some_and(
                    |view| matches!(&view.claim, Claim::Running(claim) if claim.job == job),
                );
                if !running && !waiting.submit_for(job, &record.rack, machine) {
                    lost.push((job, self.bring_back(record, planned, machine)));
                }
            }
        }
        self.brought_back
            .retain(|job, _| lost.iter().any(|(lost, _)| lost == job));
        for (job, message) in lost {
            let (due, times) = self.brought_back.get(&job).copied().unwrap_or((now, 0));
            if now < due {
                continue;
            }
            tracing::warn!(job.id = %job, times = times + 1, "a submit was lost: bringing it back");
            // An id of its own: under the job's id the broker would take it for the lost one and drop it.
            let id = format!("{job}.sweep.{}", now.as_second());
            self.ledger.bus().publish(message.with_id(id)).await?;
            let wait = self.settings.settle * 2u32.saturating_pow(times).min(SLOWEST);
            self.brought_back
                .insert(job, (now + wait, times.saturating_add(1)));
        }
        Ok(())
    }

    fn bring_back(
        &self,
        record: &CycleRecord,
        planned: &Planned,
        machine: &MachineName,
    ) -> Outgoing {
        let task = Submit {
            swept: true,
            ..submit_task(record, planned, machine)
        };
        ledger::outgoing(
            Subject::Submit {
                rack: record.rack.clone(),
                machine: machine.clone(),
            },
            &task,
        )
    }

    /// Cycles whose machines all have outcomes, and whose end nobody told.
    async fn ends(&self) -> Result<(), LedgerError> {
        for record in self
            .view
            .open
            .values()
            .filter(|record| record.is_complete())
        {
            self.ledger.close(&record.rack, record.cycle).await?;
        }
        Ok(())
    }

    /// Slots inside the catch-up window that never became a cycle.
    async fn slots(&self, now: Timestamp) -> Result<(), LedgerError> {
        let armed = self
            .ledger
            .bus()
            .subjects(stream::RACK, filter::ARMED)
            .await?;
        let ticks = self
            .ledger
            .bus()
            .subjects(stream::RACK, &Subject::Tick.to_string())
            .await?;
        if !ticks.is_empty() {
            // Ticks of all racks wait on one subject, so nobody can tell whose is missing.
            return Ok(());
        }
        for (rack, record) in arm::racks(&self.ledger).await? {
            for (slot, cycle) in self.due_slots(&rack, &record, now) {
                let retry = Subject::Retry {
                    rack: rack.clone(),
                    cycle,
                }
                .to_string();
                let waits = armed.contains_key(&retry)
                    || armed.contains_key(
                        &Subject::Slot {
                            rack: rack.clone(),
                            slot,
                        }
                        .to_string(),
                    );
                if !waits && self.ledger.cycle(&rack, cycle).await?.is_none() {
                    tracing::warn!(rack.name = %rack, %slot, "a slot never ticked: arming it again");
                    arm::arm(&self.ledger, rack.clone(), slot).await?;
                }
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
        let margin = signed(self.settings.settle * 2);
        for (machine, view) in &self.view.machines {
            let over: BTreeSet<JobId> = view
                .settled
                .iter()
                .filter(|(_, (_, cycle, deploy_by))| {
                    now.duration_since(*deploy_by) > margin && !self.view.open.contains_key(cycle)
                })
                .map(|(job, _)| *job)
                .collect();
            if over.is_empty() {
                continue;
            }
            let entry = self.ledger.machine(machine).await?;
            let forget = |record: &mut model::machine::MachineRecord| {
                record.forget(|job, _| over.contains(job));
                Ok(())
            };
            // The guard only grows truer with time, so a conflict may be tried again without another look.
            let _ = self.ledger.change_machine(machine, entry, forget).await?;
        }
        Ok(())
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
