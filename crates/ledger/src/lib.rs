#![doc = include_str!("../README.md")]

mod accounts;
mod action;
mod adopt;
mod cancel;
mod dead;
mod decisions;
mod error;
mod observer;
mod recent;
mod report;
pub mod stored;
mod tasks;
mod tick;
mod unread;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bus::{Bucket, Bus, Entry, Outgoing, Published, Written};
use futures_util::TryStreamExt;
use model::cycle::CycleRecord;
use model::event::Event;
use model::id::CycleId;
use model::machine::{Claim, Forbidden, MachineRecord};
use model::name::{MachineName, RackName};
use model::rack::RackRecord;
use model::subject::{bucket, key};

pub use action::Acted;
pub use adopt::{Adoption, Recovery, RemoteJob};
pub use cancel::Cancelled;
pub use dead::{Person, Replayed};
pub use error::LedgerError;
pub use observer::Observer;
pub use tasks::{outgoing, submit_task};
pub use tick::TickRequest;
pub use unread::Unread;

/// How often a compare-and-set is tried again before the message is given back. Many more writers at one machine's
/// record than this would be a mistake elsewhere.
const TRIES: usize = 20;

/// Claims that the leader is asked about at a time.
const CONFIRMED_AT_A_TIME: usize = 32;

/// The records, and the events about them. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    bus: Bus,
    racks: Bucket<RackRecord>,
    machines: Bucket<MachineRecord>,
    cycles: Bucket<CycleRecord>,
    accounts: Arc<accounts::Accounts>,
    recent: Arc<recent::Recent>,
    observers: Arc<[Arc<dyn Observer>]>,
}

/// A machine record as it was read. A machine that was never written has a blank record and no revision.
#[derive(Debug, Clone)]
pub struct MachineEntry {
    /// The record.
    pub record: MachineRecord,
    /// The revision to compare with when writing; `None` while there is no record.
    pub revision: Option<u64>,
}

impl MachineEntry {
    fn of(stored: Option<Entry<MachineRecord>>) -> Self {
        match stored {
            Some(entry) => Self {
                record: entry.value,
                revision: Some(entry.revision),
            },
            None => Self {
                record: MachineRecord::default(),
                revision: None,
            },
        }
    }
}

impl Ledger {
    /// The ledger of a broker.
    pub fn new(bus: Bus) -> Self {
        Self {
            racks: bus.bucket(bucket::RACKS),
            machines: bus.bucket(bucket::MACHINES),
            cycles: bus.bucket(bucket::CYCLES),
            accounts: Arc::default(),
            recent: Arc::default(),
            observers: Arc::default(),
            bus,
        }
    }

    /// The same ledger, of which these see what becomes known.
    #[must_use]
    pub fn observed(self, observers: Vec<Arc<dyn Observer>>) -> Self {
        Self {
            observers: observers.into(),
            ..self
        }
    }

    /// Who sees what becomes known.
    pub fn observers(&self) -> impl Iterator<Item = &dyn Observer> {
        self.observers.iter().map(AsRef::as_ref)
    }

    /// The broker behind it.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The rack records.
    pub fn racks(&self) -> &Bucket<RackRecord> {
        &self.racks
    }

    /// The machine records. Change them with [`Ledger::change_machine`] or [`Ledger::write_machine`].
    pub fn machines(&self) -> &Bucket<MachineRecord> {
        &self.machines
    }

    /// The cycle records.
    pub fn cycles(&self) -> &Bucket<CycleRecord> {
        &self.cycles
    }

    /// A rack's record.
    pub async fn rack(&self, rack: &RackName) -> Result<Option<RackRecord>, LedgerError> {
        Ok(self
            .racks
            .get(&key::rack(rack))
            .await?
            .map(|entry| entry.value))
    }

    /// A cycle's record.
    pub async fn cycle(
        &self,
        rack: &RackName,
        cycle: CycleId,
    ) -> Result<Option<CycleRecord>, LedgerError> {
        Ok(self
            .cycles
            .get(&key::cycle(rack, cycle))
            .await?
            .map(|entry| entry.value))
    }

    /// A machine's record.
    pub async fn machine(&self, machine: &MachineName) -> Result<MachineEntry, LedgerError> {
        Ok(MachineEntry::of(
            self.machines.get(&key::machine(machine)).await?,
        ))
    }

    /// Machine records, read together. One that says that its machine is claimed is the leader's: a machine is left alone
    /// because of it, and nothing afterwards would find out that it came from a copy of the bucket that is behind. One
    /// that says idle may be old; it is remembered for [`Ledger::recall_machine`], as is that there is none.
    pub async fn machines_of(
        &self,
        machines: impl IntoIterator<Item = &MachineName>,
    ) -> Result<BTreeMap<MachineName, MachineEntry>, LedgerError> {
        let machines: BTreeSet<&MachineName> = machines.into_iter().collect();
        let keys = machines.iter().map(|machine| key::machine(machine));
        let mut records = self.machines.get_many(keys).await?;
        let mut entries: BTreeMap<MachineName, MachineEntry> = machines
            .into_iter()
            .map(|machine| {
                let entry = MachineEntry::of(records.remove(&key::machine(machine)));
                (machine.clone(), entry)
            })
            .collect();
        let claimed = entries
            .iter_mut()
            .filter(|(_, entry)| entry.record.claim != Claim::Idle);
        futures_util::stream::iter(claimed.map(Ok))
            .try_for_each_concurrent(CONFIRMED_AT_A_TIME, async |(machine, entry)| {
                *entry = self.machine(machine).await?;
                Ok::<_, LedgerError>(())
            })
            .await?;
        for (machine, entry) in &entries {
            // Only an idle machine is about to be claimed.
            if entry.record.claim == Claim::Idle {
                self.recent.put(machine, entry);
            }
        }
        Ok(entries)
    }

    /// Remembers a machine's record as it was just written, for [`Ledger::recall_machine`].
    pub fn remember_machine(&self, machine: &MachineName, entry: &MachineEntry) {
        self.recent.put(machine, entry);
    }

    /// A machine's record as this process last saw it in a list or remembered it, once. It may be stale: use it only
    /// for a step that ends in a compare-and-set on it, and read the record for everything else.
    pub fn recall_machine(&self, machine: &MachineName) -> Option<MachineEntry> {
        self.recent.take(machine)
    }

    /// Writes a machine's record if nobody wrote it since it was read.
    pub async fn write_machine(
        &self,
        machine: &MachineName,
        entry: &MachineEntry,
    ) -> Result<Written, LedgerError> {
        let key = key::machine(machine);
        Ok(match entry.revision {
            Some(revision) => self.machines.update(&key, &entry.record, revision).await?,
            None => self.machines.create(&key, &entry.record).await?,
        })
    }

    /// Makes one transition of a machine's record. On a conflict the record is read again and the transition tried
    /// on what it says now; the guard decides each time. Returns the record as written, or why the guard objected.
    pub async fn change_machine(
        &self,
        machine: &MachineName,
        mut entry: MachineEntry,
        transition: impl Fn(&mut MachineRecord) -> Result<(), Forbidden>,
    ) -> Result<Result<MachineEntry, Forbidden>, LedgerError> {
        for _ in 0..TRIES {
            if let Err(forbidden) = transition(&mut entry.record) {
                return Ok(Err(forbidden));
            }
            match self.write_machine(machine, &entry).await? {
                Written::Done(revision) => {
                    return Ok(Ok(MachineEntry {
                        revision: Some(revision),
                        ..entry
                    }));
                }
                Written::Conflict => entry = self.machine(machine).await?,
            }
        }
        Err(LedgerError::Busy {
            key: key::machine(machine),
        })
    }

    /// Changes what workers keep in a rack's record; what people change, they [act](Ledger::act) on. On a conflict the record is read again and the change made to what it says now. A
    /// rack that is gone stays gone.
    pub async fn change_rack(
        &self,
        rack: &RackName,
        change: impl Fn(&mut RackRecord),
    ) -> Result<bool, LedgerError> {
        let key = key::rack(rack);
        for _ in 0..TRIES {
            let Some(mut entry) = self.racks.get(&key).await? else {
                return Ok(false);
            };
            change(&mut entry.value);
            if let Written::Done(_) = self
                .racks
                .update(&key, &entry.value, entry.revision)
                .await?
            {
                return Ok(true);
            }
        }
        Err(LedgerError::Busy { key })
    }

    /// Publishes an event under its own id and waits until it is stored.
    pub async fn publish(&self, event: &Event) -> Result<(), LedgerError> {
        let message = Outgoing::new(event.subject(), event.to_json()).with_id(event.id());
        let published = self.bus.publish(message).await?;
        if let Published::Stored(_) = published {
            for observer in self.observers() {
                observer.told(event);
            }
        }
        Ok(())
    }
}
