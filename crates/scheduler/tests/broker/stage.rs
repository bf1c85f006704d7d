//! A broker, its records, and schedulers on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::{Bus, BusError, Stored};
use jiff::Timestamp;
use ledger::{Ledger, LedgerError};
use model::cycle::CycleRecord;
use model::id::CycleId;
use model::machine::MachineRecord;
use model::name::{MachineName, RackName};
use model::policy::Policy;
use model::rack::RackRecord;
use model::schedule::Schedule;
use model::speed::Speed;
use model::subject::{Subject, filter, key, stream};
use testkit::{Broker, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes, on a machine with other things to do.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Stage {
    pub(crate) broker: Broker,
    pub(crate) bus: Bus,
    pub(crate) ledger: Ledger,
}

/// A running scheduler.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), BusError>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap().unwrap();
    }
}

pub(crate) fn rack(name: &str) -> RackName {
    RackName::new(name).unwrap()
}

pub(crate) fn machine(name: &str) -> MachineName {
    MachineName::new(name).unwrap()
}

pub(crate) fn ago(seconds: u64) -> Timestamp {
    Timestamp::now() - Duration::from_secs(seconds)
}

pub(crate) fn ahead(seconds: u64) -> Timestamp {
    Timestamp::now() + Duration::from_secs(seconds)
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let broker = Broker::start().await;
        let bus = broker.bus().await;
        Self {
            broker,
            ledger: Ledger::new(bus.clone()),
            bus,
        }
    }

    /// Starts a scheduler with a connection of its own, which sweeps as often as `settle` says.
    pub(crate) async fn scheduler(&self, settle: Duration) -> Running {
        let settings = scheduler::Settings {
            policy: Policy::default(),
            speed: Speed::REAL,
            settle,
        };
        let (stop, stopped) = oneshot::channel();
        let bus = self.broker.connect().await;
        let shutdown = async { drop(stopped.await) };
        let task = tokio::spawn(scheduler::run(
            settings,
            Ledger::new(bus),
            Vec::new(),
            shutdown,
        ));
        Running { stop, task }
    }

    pub(crate) async fn add_rack(&self, name: &str, schedule: Schedule, since: Timestamp) {
        let record = RackRecord::new(schedule, since);
        self.ledger
            .racks()
            .create(&key::rack(&rack(name)), &record)
            .await
            .unwrap();
    }

    pub(crate) async fn change_rack(&self, name: &str, change: impl Fn(&mut RackRecord)) {
        assert!(self.ledger.change_rack(&rack(name), change).await.unwrap());
    }

    /// The armed slots of a rack, and how many messages each has.
    pub(crate) async fn armed(&self, name: &str) -> BTreeMap<Timestamp, u64> {
        let stored = self
            .bus
            .subjects(stream::RACK, &filter::slots_of(&rack(name)))
            .await
            .unwrap();
        stored
            .into_iter()
            .map(|(subject, count)| match subject.parse() {
                Ok(Subject::Slot { slot, .. }) => (slot, count),
                other => panic!("{subject}: {other:?}"),
            })
            .collect()
    }

    pub(crate) async fn until_armed(&self, name: &str, wanted: &[Timestamp]) {
        let wanted: BTreeSet<Timestamp> = wanted.iter().copied().collect();
        until(SOON, "the slots of the schedule are armed", async || {
            self.armed(name).await.into_keys().collect::<BTreeSet<_>>() == wanted
        })
        .await;
    }

    pub(crate) async fn write_cycle(&self, record: &CycleRecord) {
        let key = key::cycle(&record.rack, record.cycle);
        self.ledger.cycles().create(&key, record).await.unwrap();
    }

    pub(crate) async fn write_machine(&self, name: &str, record: &MachineRecord) {
        let key = key::machine(&machine(name));
        self.ledger.machines().create(&key, record).await.unwrap();
    }

    pub(crate) async fn is_closed(&self, name: &RackName, cycle: CycleId) -> bool {
        let record: Result<_, LedgerError> = self.ledger.cycle(name, cycle).await;
        record.unwrap().unwrap().closed
    }

    /// The newest message on a subject, as soon as there is one.
    pub(crate) async fn message_on(&self, stream: &str, subject: &Subject) -> Stored {
        let subject = subject.to_string();
        until(SOON, &format!("a message on {subject}"), async || {
            self.bus.last_on(stream, &subject).await.unwrap().is_some()
        })
        .await;
        self.bus.last_on(stream, &subject).await.unwrap().unwrap()
    }

    /// Publishes on a subject that racktick itself never uses.
    pub(crate) async fn publish_raw(&self, subject: &str, body: &[u8]) {
        let url = self.broker.url();
        let mut socket = TcpStream::connect(url.trim_start_matches("nats://"))
            .await
            .unwrap();
        let head = format!(
            "CONNECT {{\"verbose\":false}}\r\nPUB {subject} {}\r\n",
            body.len()
        );
        for part in [head.as_bytes(), body, b"\r\n"] {
            socket.write_all(part).await.unwrap();
        }
        socket.flush().await.unwrap();
        let subject = subject.to_owned();
        until(SOON, "the message is stored", async || {
            self.bus
                .last_on(stream::DLQ, &subject)
                .await
                .unwrap()
                .is_some()
        })
        .await;
    }
}
