//! The fleet and its racks as the records in the buckets hold them, without any of the events before.
//!
//! The views are those of the history. What events alone tell is not in them: the phase of a job, and what became of a
//! machine's jobs before the last 30 that its record keeps, so that a streak is never longer than that. Of each rack the
//! latest cycles alone are read, and those that are not over: its machines are those that they decided about.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bus::{BusError, Start};
use jiff::Timestamp;
use ledger::{Ledger, Unread, stored};
use model::cycle::{CycleRecord, Fate};
use model::event::{Event, Fact};
use model::id::{CycleId, JobId};
use model::machine::{Claim, MachineRecord, Settled};
use model::name::{MachineName, RackName};
use model::outcome::{Outcome, SkipReason};
use model::subject::{filter, key, stream};

use crate::history::standing::{Health, Standing, proof};
use crate::views::{
    AsOf, CYCLES, Cell, CurrentJob, CycleState, CycleSummary, Fleet, LastDecision, Page, RackCard,
    RackMachine, RackView, STRIP, Verdict, totals, worst_first,
};

/// How many cycles of each rack are read at first, besides those that are shown: what was written last need not be the
/// latest.
const SPARE: usize = 3;

/// What the buckets hold of cycles and machines.
#[derive(Debug, Clone, Default)]
pub struct Records {
    racks: BTreeMap<RackName, OfRack>,
    machines: HashMap<MachineName, MachineRecord>,
    /// The state of jobs that are under way, and since when, where a look saw any.
    states: HashMap<JobId, (String, Timestamp)>,
    unreadable_cycles: BTreeSet<String>,
    unreadable_machines: BTreeSet<String>,
}

#[derive(Debug, Clone, Default)]
struct OfRack {
    /// Its machines, each with the latest decision about it.
    members: BTreeMap<MachineName, LastDecision>,
    cycles: BTreeMap<CycleId, CycleSummary>,
}

impl Records {
    /// Reads of all racks the latest cycles, those that are not over, and all machines.
    ///
    /// # Errors
    /// When the broker cannot be asked.
    pub async fn read(ledger: &Ledger) -> Result<Self, BusError> {
        let (mut records, mut of_machines) = (Self::default(), Self::default());
        let machines = stored::each(ledger.machines(), |key, machine| {
            of_machines.add_machine(key, machine);
        });
        tokio::try_join!(machines, records.read_cycles(ledger, ">", 1))?;
        Ok(Self {
            machines: of_machines.machines,
            unreadable_machines: of_machines.unreadable_machines,
            ..records
        })
    }

    /// Reads of one rack the latest cycles, as many as are listed, those that are not over, and its machines; and from the
    /// events the states of its jobs that are under way.
    ///
    /// # Errors
    /// When the broker cannot be asked.
    pub async fn read_rack(ledger: &Ledger, rack: &RackName) -> Result<Self, BusError> {
        let mut records = Self::default();
        let filter = key::cycles_of(rack);
        records.read_cycles(ledger, &filter, CYCLES).await?;
        let members = records
            .racks
            .get(rack)
            .into_iter()
            .flat_map(|rack| rack.members.keys());
        let keys: Vec<String> = members.map(key::machine).collect();
        match ledger.machines().get_many(keys.iter().cloned()).await {
            Ok(found) => {
                for (key, entry) in found {
                    records.add_machine(&key, Ok(entry.value));
                }
            }
            // One at a time they hide none.
            Err(BusError::Malformed { .. }) => {
                stored::some(ledger.machines(), keys, |key, machine| {
                    records.add_machine(key, machine);
                })
                .await?;
            }
            Err(error) => return Err(error),
        }
        records.read_states(ledger, rack).await?;
        Ok(records)
    }

    /// Reads of the cycles whose key matches the filter those that are not over, and those that were written last, until
    /// every rack's latest decisions are known and its latest `least` cycles.
    async fn read_cycles(
        &mut self,
        ledger: &Ledger,
        filter: &str,
        least: usize,
    ) -> Result<(), BusError> {
        let mut unread = Unread::list(ledger, filter).await?;
        let mut keys = unread.take_open();
        // Most often no more is needed. Who needs more, as after a long pause, may need much more.
        let mut batch = least + SPARE;
        loop {
            keys.extend(unread.take_latest(batch, |rack, at| {
                let known = self.racks.get(rack);
                !known.is_some_and(|known| known.is_known(least, at))
            }));
            if keys.is_empty() {
                return Ok(());
            }
            let read = std::mem::take(&mut keys);
            stored::some(ledger.cycles(), read, |key, cycle| {
                self.add_cycle(key, cycle)
            })
            .await?;
            batch *= 2;
        }
    }

    async fn read_states(&mut self, ledger: &Ledger, rack: &RackName) -> Result<(), BusError> {
        let claims = self.machines.values().map(|record| &record.claim);
        let submitted = claims.filter_map(|claim| match claim {
            Claim::Running(running) if running.rack == *rack => Some(running.submitted_at),
            _ => None,
        });
        let Some(oldest) = submitted.min() else {
            return Ok(());
        };
        let (bus, looks) = (ledger.bus(), filter::looks_of(rack));
        let mut reader = bus
            .read(stream::EVENTS, &looks, Start::Since(oldest))
            .await?;
        while let Some(stored) = reader.next_stored().await? {
            let Ok(event) = Event::from_json(&stored.body) else {
                continue;
            };
            self.add_event(&event);
        }
        Ok(())
    }

    /// Takes in what an event alone tells: the state that a look saw a job in.
    pub fn add_event(&mut self, event: &Event) {
        match &event.fact {
            Fact::JobProgressed { job, state } => {
                let known = self.states.get(&job.job);
                if known.is_none_or(|(_, at)| *at <= event.time) {
                    self.states.insert(job.job, (state.clone(), event.time));
                }
            }
            Fact::JobFinished { job, .. } => {
                self.states.remove(&job.job);
            }
            _ => {}
        }
    }

    /// The keys of the cycles whose record cannot be read.
    pub fn unreadable_cycles(&self) -> &BTreeSet<String> {
        &self.unreadable_cycles
    }

    /// The keys of the machines whose record cannot be read. In the views they are as if nothing was ever proved.
    pub fn unreadable_machines(&self) -> &BTreeSet<String> {
        &self.unreadable_machines
    }

    /// All racks that have cycles, with their machines.
    pub fn fleet(&self, now: Timestamp) -> Fleet {
        let racks: Vec<RackCard> = self
            .racks
            .iter()
            .map(|(rack, records)| RackCard {
                rack: rack.clone(),
                running: records.running(),
                last: records
                    .cycles
                    .values()
                    .max_by_key(|cycle| age(cycle))
                    .cloned(),
                cells: self.cells(records, now),
            })
            .collect();
        Fleet {
            as_of: as_of(now),
            totals: totals(&racks),
            racks,
        }
    }

    /// One rack; `None` when it has no cycle.
    pub fn rack(&self, rack: &RackName, now: Timestamp) -> Option<RackView> {
        let records = self.racks.get(rack)?;
        let machines = self.cells(records, now).into_iter().map(|cell| {
            let verdicts = match self.machines.get(&cell.machine) {
                Some(record) => verdicts(record, &cell.machine),
                None => Vec::new(),
            };
            RackMachine { cell, verdicts }
        });
        let mut cycles: Vec<_> = records.cycles.values().cloned().collect();
        cycles.sort_by_key(|cycle| std::cmp::Reverse(age(cycle)));
        cycles.truncate(CYCLES);
        Some(RackView {
            as_of: as_of(now),
            rack: rack.clone(),
            machines: machines.collect(),
            running: records.running(),
            // Of these the records keep no history.
            actions: Vec::new(),
            cycles: Page {
                items: cycles,
                next: None,
            },
        })
    }

    /// Takes a cycle's record in, in place of what was known of it.
    pub fn add_cycle(&mut self, key: &str, cycle: stored::Read<CycleRecord>) {
        let Ok(cycle) = cycle else {
            self.unreadable_cycles.insert(key.to_owned());
            return;
        };
        let rack = self.racks.entry(cycle.rack.clone()).or_default();
        rack.cycles.insert(cycle.cycle, summary(&cycle));
        let Fate::Planned(planned) = &cycle.fate else {
            return;
        };
        let to_deploy = planned.deploy.keys().map(|machine| {
            let skip = match cycle.outcomes.get(machine) {
                Some(Outcome::Skipped(skip)) => Some(skip),
                _ => None,
            };
            (machine, skip)
        });
        let left_alone = planned
            .skip
            .iter()
            .map(|(machine, skip)| (machine, Some(skip)));
        for (machine, skip) in to_deploy.chain(left_alone) {
            let this = (planned.at, cycle.cycle);
            let known = rack.members.get(machine);
            if known.is_none_or(|known| (known.at, known.cycle) <= this) {
                let decision = LastDecision {
                    cycle: cycle.cycle,
                    at: planned.at,
                    skip: skip.cloned(),
                };
                rack.members.insert(machine.clone(), decision);
            }
        }
    }

    /// Takes a machine's record in, in place of what was known of it.
    pub fn add_machine(&mut self, key: &str, record: stored::Read<MachineRecord>) {
        match (key::parse_machine(key), record) {
            (Some(machine), Ok(record)) => {
                self.machines.insert(machine, record);
            }
            _ => {
                self.unreadable_machines.insert(key.to_owned());
            }
        }
    }

    fn cells(&self, records: &OfRack, now: Timestamp) -> Vec<Cell> {
        let mut cells = records
            .members
            .iter()
            .map(|(machine, decision)| {
                let mut cell = cell(machine, decision.clone(), self.machines.get(machine), now);
                if let Some(job) = &mut cell.job
                    && let Some((state, at)) = self.states.get(&job.job)
                {
                    (job.state, job.at) = (Some(state.clone()), Some(*at));
                }
                cell
            })
            .collect::<Vec<_>>();
        worst_first(&mut cells);
        cells
    }
}

impl OfRack {
    /// Whether a cycle that was last written at that time can neither be among the latest `least` nor hold later decisions
    /// than those that are known: it was written after its tick came and after it was decided.
    fn is_known(&self, least: usize, written: Timestamp) -> bool {
        let later = self.cycles.values().filter(|cycle| cycle.at >= written);
        let decided = self.cycles.values().filter_map(|cycle| cycle.planned_at);
        later.count() >= least && decided.max().is_some_and(|at| at >= written)
    }

    /// Its cycles that have machines without an outcome, the oldest first.
    fn running(&self) -> Vec<CycleSummary> {
        let running = |cycle: &&CycleSummary| cycle.state == CycleState::Running;
        let mut running: Vec<_> = self.cycles.values().filter(running).cloned().collect();
        running.sort_by_key(age);
        running
    }
}

fn age(cycle: &CycleSummary) -> (Timestamp, CycleId) {
    (cycle.at, cycle.cycle)
}

fn as_of(now: Timestamp) -> AsOf {
    AsOf {
        at: Some(now),
        ..AsOf::default()
    }
}

/// A cycle in a line.
pub fn summary(cycle: &CycleRecord) -> CycleSummary {
    let planned = match &cycle.fate {
        Fate::Planned(planned) => Some(planned),
        Fate::Missed { .. } | Fate::Failed { .. } => None,
    };
    CycleSummary {
        cycle: cycle.cycle,
        rack: cycle.rack.clone(),
        at: cycle.ticked_at,
        origin: Some(cycle.origin.clone()),
        state: state(cycle),
        planned_at: planned.map(|planned| planned.at),
        deploy: planned.map(|planned| planned.deploy.len()),
        open: cycle.open().count(),
        deploy_by: planned.map(|planned| planned.deploy_by),
        counts: cycle.counts(),
    }
}

fn state(cycle: &CycleRecord) -> CycleState {
    match &cycle.fate {
        Fate::Planned(_) if !cycle.is_complete() => CycleState::Running,
        Fate::Planned(planned) => {
            let at = cycle.settled_at.unwrap_or(planned.at);
            let duration = at.duration_since(cycle.ticked_at);
            CycleState::Finished {
                at,
                duration: duration.try_into().unwrap_or_default(),
            }
        }
        Fate::Missed { cause } => CycleState::Missed {
            at: cycle.ticked_at,
            cause: *cause,
        },
        Fate::Failed {
            cause,
            message,
            attempts,
            at,
        } => CycleState::Failed {
            at: *at,
            attempts: *attempts,
            cause: cause.clone(),
            message: message.clone(),
        },
    }
}

fn cell(
    machine: &MachineName,
    decision: LastDecision,
    record: Option<&MachineRecord>,
    now: Timestamp,
) -> Cell {
    let verdicts = record.map_or(Vec::new(), |record| verdicts(record, machine));
    let standing = verdicts
        .iter()
        .fold(Standing::default(), |standing, verdict| {
            standing.after(proof(verdict.outcome.word()), verdict.at)
        });
    let skip = decision.skip.as_ref();
    let quarantined = skip.is_some_and(|skip| skip.reason == SkipReason::FailStreak);
    let job = match record.map(|record| &record.claim) {
        Some(Claim::Running(running)) => Some(CurrentJob {
            job: running.job,
            cycle: running.cycle,
            state: None,
            at: Some(running.submitted_at),
            overdue: running.deadline < now,
        }),
        _ => None,
    };
    Cell {
        machine: machine.clone(),
        health: Health::of(&standing, quarantined, now),
        since: standing.since,
        streak: standing.streak,
        passed_at: standing.passed_at,
        last: verdicts.into_iter().next_back(),
        job,
        decision,
    }
}

/// The last outcomes of a machine's jobs, the oldest first. Refusals are no verdicts and are kept for a while only.
fn verdicts(record: &MachineRecord, machine: &MachineName) -> Vec<Verdict> {
    let past = record.verdicts.iter().map(|past| Verdict {
        job: past.job,
        cycle: past.cycle,
        outcome: past.outcome.clone(),
        at: past.at,
    });
    let is_refusal = |settled: &&Settled| matches!(settled.outcome, Outcome::Rejected { .. });
    let refused = record.settled.values().filter(is_refusal);
    let refused = refused.map(|settled| Verdict {
        job: JobId::of(settled.cycle, machine),
        cycle: settled.cycle,
        outcome: settled.outcome.clone(),
        at: settled.at,
    });
    let mut all: Vec<Verdict> = past.chain(refused).collect();
    all.sort_by_key(|verdict| (verdict.at, verdict.cycle));
    let extra = all.len().saturating_sub(STRIP);
    all.drain(..extra);
    all
}
