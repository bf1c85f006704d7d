//! What the sweep knows of machines and cycles. The buckets keep one value per key, so reading what was stored since
//! the last time brings every change; what is settled and closed is forgotten, which keeps this small.

use std::collections::BTreeMap;

use bus::{BusError, Change, Changes, Start};
use jiff::{SignedDuration, Timestamp};
use ledger::{Ledger, LedgerError};
use model::cycle::{CycleRecord, Fate};
use model::id::{CycleId, JobId};
use model::machine::{Claim, MachineRecord};
use model::name::{MachineName, RackName};
use model::record::Record;
use model::subject::key;

/// Reads overlap by this much, because the broker's clock and ours differ. Reading a change twice costs little; one
/// that is left out would be missing until the next start.
const OVERLAP: SignedDuration = SignedDuration::from_mins(15);

/// A machine, as far as the sweep cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MachineView {
    pub(crate) claim: Claim,
    /// Settled jobs.
    pub(crate) settled: BTreeMap<JobId, Kept>,
}

/// A settled job, and until when its fate may matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) cycle_key: String,
    pub(crate) deploy_by: Timestamp,
}

/// What is not settled, and what settled fates are still kept.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) machines: BTreeMap<MachineName, MachineView>,
    /// Cycles that are not closed.
    pub(crate) open: BTreeMap<(RackName, CycleId), CycleRecord>,
    read_at: Option<Timestamp>,
}

impl View {
    /// Reads what was written since the last call; everything, the first time.
    pub(crate) async fn refresh(
        &mut self,
        ledger: &Ledger,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let start = match self.read_at {
            Some(read_at) => Start::Since(read_at - OVERLAP),
            None => Start::All,
        };
        let mut machines = ledger.machines().changes(start).await?;
        while let Some(change) = next_readable(&mut machines).await? {
            let Some(machine) = key::parse_machine(&change.key) else {
                continue;
            };
            match change.entry {
                Some(entry) => self.see_machine(machine, entry.value),
                None => drop(self.machines.remove(&machine)),
            }
        }
        let mut cycles = ledger.cycles().changes(start).await?;
        while let Some(change) = next_readable(&mut cycles).await? {
            match (change.entry, key::parse_cycle(&change.key)) {
                (Some(entry), _) => self.see_cycle(entry.value),
                (None, Some(of)) => drop(self.open.remove(&of)),
                (None, None) => {}
            }
        }
        self.read_at = Some(now);
        Ok(())
    }

    fn see_machine(&mut self, machine: MachineName, record: MachineRecord) {
        let settled = record
            .settled
            .into_iter()
            .map(|(job, settled)| {
                let cycle_key = key::cycle(&settled.rack, settled.cycle);
                let deploy_by = settled.deploy_by;
                (
                    job,
                    Kept {
                        cycle_key,
                        deploy_by,
                    },
                )
            })
            .collect::<BTreeMap<_, _>>();
        if record.claim == Claim::Idle && settled.is_empty() {
            self.machines.remove(&machine);
        } else {
            self.machines.insert(
                machine,
                MachineView {
                    claim: record.claim,
                    settled,
                },
            );
        }
    }

    fn see_cycle(&mut self, record: CycleRecord) {
        let of = (record.rack.clone(), record.cycle);
        if record.closed {
            self.open.remove(&of);
        } else {
            self.open.insert(of, record);
        }
    }

    /// Whether the job is in Testflinger.
    pub(crate) fn is_running(&self, machine: &MachineName, job: JobId) -> bool {
        self.machines
            .get(machine)
            .is_some_and(|view| matches!(&view.claim, Claim::Running(claim) if claim.job == job))
    }

    /// Whether the job is in Testflinger and somebody wants it to end.
    pub(crate) fn is_cancelling(&self, machine: &MachineName, job: JobId) -> bool {
        self.is_running(machine, job)
            && self
                .machines
                .get(machine)
                .is_some_and(|view| view.claim.cancel().is_some())
    }

    /// Open cycles with decisions.
    pub(crate) fn planned(&self) -> impl Iterator<Item = (&CycleRecord, &model::cycle::Planned)> {
        self.open.values().filter_map(|record| match &record.fate {
            Fate::Planned(planned) => Some((record, planned)),
            Fate::Missed { .. } | Fate::Failed { .. } => None,
        })
    }
}

/// The next change. A value that cannot be read does not keep the rest from being looked after.
async fn next_readable<V: Record>(changes: &mut Changes<V>) -> Result<Option<Change<V>>, BusError> {
    loop {
        match changes.next_stored().await {
            Err(error @ BusError::Malformed { .. }) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "a record is left out of the sweep");
            }
            other => return other,
        }
    }
}
