//! A broker with one open cycle on it.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{Bus, Start, Stored};
use jiff::Timestamp;
use ledger::Ledger;
use model::cycle::{CycleRecord, Fate, Origin, Planned};
use model::id::{CycleId, JobId};
use model::machine::{MachineRecord, Settled};
use model::name::{MachineName, RackName};
use model::outcome::Outcome;
use model::subject::{filter, key, stream};
use model::task::Pace;
use serde_json::json;
use testkit::Broker;

pub(crate) struct Desk {
    _broker: Broker,
    pub(crate) bus: Bus,
    pub(crate) record: CycleRecord,
}

impl Desk {
    /// With so many machines to deploy until so long from now.
    pub(crate) async fn open(machines: usize, minutes: i64) -> Self {
        let broker = Broker::start().await;
        let bus = broker.bus().await;
        let rack = RackName::new("r1").unwrap();
        let now = Timestamp::now();
        let names = (1..=machines).map(|n| MachineName::new(format!("m{n:03}")).unwrap());
        let hour = Duration::from_secs(3600);
        let record = CycleRecord {
            v: CycleRecord::VERSION,
            cycle: CycleId::of_slot(&rack, now),
            rack,
            origin: Origin::Slot { slot: now },
            ticked_at: now,
            fate: Fate::Planned(Planned {
                at: now,
                deploy_by: now + jiff::SignedDuration::from_mins(minutes),
                spread: Duration::ZERO,
                deploy: names.map(|name| (name, now)).collect(),
                skip: BTreeMap::new(),
                pace: Pace {
                    first_look: hour,
                    look_every: hour,
                    deadline: hour,
                },
                job: json!({}),
            }),
            outcomes: BTreeMap::new(),
            settled_at: None,
            closed: false,
        };
        let desk = Self {
            _broker: broker,
            bus,
            record,
        };
        let key = key::cycle(&desk.record.rack, desk.record.cycle);
        let created = desk.ledger().cycles().create(&key, &desk.record).await;
        assert!(matches!(created.unwrap(), bus::Written::Done(_)));
        desk
    }

    /// As another process has one.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(self.bus.clone())
    }

    pub(crate) fn machines(&self) -> Vec<MachineName> {
        self.record.open().cloned().collect()
    }

    pub(crate) fn job(&self, machine: &MachineName) -> JobId {
        JobId::of(self.record.cycle, machine)
    }

    /// The cycle's record as it is now.
    pub(crate) async fn now(&self) -> CycleRecord {
        let (rack, cycle) = (&self.record.rack, self.record.cycle);
        self.ledger().cycle(rack, cycle).await.unwrap().unwrap()
    }

    pub(crate) async fn machine(&self, machine: &MachineName) -> MachineRecord {
        self.ledger().machine(machine).await.unwrap().record
    }

    /// Changes a machine's record by force.
    pub(crate) async fn change(&self, machine: &MachineName, change: impl Fn(&mut MachineRecord)) {
        let ledger = self.ledger();
        let entry = ledger.machine(machine).await.unwrap();
        let transition = |record: &mut MachineRecord| {
            change(record);
            Ok(())
        };
        let written = ledger.change_machine(machine, entry, transition).await;
        written.unwrap().unwrap();
    }

    /// Events with this last word, in order.
    pub(crate) async fn events(&self, what: &str) -> Vec<Stored> {
        let reader = self.bus.read(stream::EVENTS, filter::EVENTS, Start::All);
        let mut events = reader.await.unwrap().to_end().await.unwrap();
        events.retain(|stored| stored.subject.ends_with(&format!(".{what}")));
        events
    }

    pub(crate) fn settled(&self, outcome: Outcome, at: Timestamp) -> Settled {
        Settled {
            cycle: self.record.cycle,
            rack: self.record.rack.clone(),
            outcome,
            at,
            deploy_by: at,
            submitted_at: None,
            statuses: BTreeMap::new(),
            device: None,
            evidence: None,
            doubled: None,
            cancel: None,
        }
    }
}
