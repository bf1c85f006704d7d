//! A broker, and racks that each have a lab of their own on it. Handlers are made fresh for each delivery, as a worker
//! that was started again would; nothing but the broker and the lab remembers anything.

mod check;
mod deliver;
mod look;
mod slots;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use bus::topology::{Retention, Topology, setup};
use jiff::Timestamp;
use lab::{AgentChange, Lab, LabConfig};
use ledger::{Cancelled, Ledger, submit_task};
use maas::{ApiKey, Maas, MaasUrl};
use model::cycle::{CycleRecord, Fate, Planned};
use model::id::CycleId;
use model::machine::{CancelCause, CancelRequest, MachineRecord, Submitting};
use model::name::{MachineName, RackName};
use model::outcome::{Outcome, Skip};
use model::policy::Policy;
use model::rack::RackRecord;
use model::speed::Speed;
use model::subject::key;
use model::task::{Submit, TaskKind};
use testflinger::{JobDocument, Limits, Root, Testflinger};
use testkit::{Broker, LateLine};
use uuid::Uuid;
use worker::inputs::Sources;
use worker::{Settings, Timing};

pub(crate) use deliver::{Letter, each, killed_at};
pub(crate) use look::phases;
pub(crate) use slots::{last_slot, paused, six_hourly};

/// Long enough for an answer on a busy machine, short enough to be waited for.
const POST_LIMIT: Duration = Duration::from_millis(400);
/// For lists, of which many are read at once here.
const LIST_LIMIT: Duration = Duration::from_secs(4);
/// For looks, which have time.
const LOOK_LIMIT: Duration = Duration::from_secs(1);
/// What nothing that was sent outlives.
pub(crate) const TIMING: Timing = Timing {
    post_limit: POST_LIMIT,
    settle: Duration::from_millis(1300),
    margin: Duration::from_millis(50),
};
const HOUR: Duration = Duration::from_secs(3600);

/// The broker of a test.
pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) bus: Bus,
}

impl World {
    /// A broker that folds no repeats: what is published twice is seen twice, so the handlers' own care is what counts.
    pub(crate) async fn start() -> Self {
        Self::with_window(Duration::from_millis(100)).await
    }

    /// A broker that folds repeats of a message id within the window.
    pub(crate) async fn with_window(window: Duration) -> Self {
        let broker = Broker::start().await;
        let bus = broker.connect().await;
        let mut topology = Topology::declared(Retention::default());
        let nanos = u64::try_from(window.as_nanos()).unwrap();
        for config in topology.streams.values_mut() {
            config.insert("duplicate_window".into(), nanos.into());
        }
        setup(&bus, &topology).await.unwrap();
        Self { broker, bus }
    }

    /// A rack whose jobs are complete at their first look.
    pub(crate) async fn rack(&self, name: &str, machines: usize) -> Arc<Rack> {
        Arc::new(self.rack_as(name, machines, |_| {}).await)
    }

    /// A rack whose agents do nothing by themselves: the test reports for them.
    pub(crate) async fn rack_by_hand(&self, name: &str, machines: usize) -> Rack {
        let rack = self.rack_as(name, machines, |lab| lab.instant = None).await;
        for machine in &rack.machines {
            let by_hand = AgentChange {
                simulated: Some(false),
                ..AgentChange::default()
            };
            rack.lab.change_agent(machine.as_str(), by_hand).unwrap();
        }
        rack
    }

    /// A rack of one machine with a job in Testflinger, for which the test reports.
    pub(crate) async fn running(&self, name: &str) -> (Arc<Rack>, Submit) {
        let rack = self.rack_by_hand(name, 1).await;
        let record = rack.cycle().await;
        let task = submits(&record)[0].clone();
        rack.run(&task).await;
        (Arc::new(rack), task)
    }

    /// A rack with something else about its lab.
    pub(crate) async fn rack_as(
        &self,
        name: &str,
        machines: usize,
        change: impl FnOnce(&mut LabConfig),
    ) -> Rack {
        let mut config = LabConfig {
            racks: 0,
            instant: Some(1),
            ..LabConfig::default()
        };
        change(&mut config);
        let lab = Lab::start_on_free_port(config).await.unwrap();
        let machines: Vec<MachineName> = (1..=machines)
            .map(|n| MachineName::new(format!("{name}-m{n:02}")).unwrap())
            .collect();
        for machine in &machines {
            lab.add_machine(name, machine.as_str()).unwrap();
        }
        let patient = limits(LIST_LIMIT);
        let maas = Maas::new(maas::Settings {
            url: MaasUrl::parse(&lab.maas_url()).unwrap(),
            key: ApiKey::parse(&lab.api_key()).unwrap(),
            limits: patient,
            ca: None,
        });
        let settings = Settings {
            name: "w1".into(),
            policy: Policy {
                spread: Duration::ZERO,
                // The tests deliver the looks themselves.
                first_look: HOUR,
                look_every: HOUR,
                ..Policy::default()
            },
            speed: Speed::REAL,
            adhoc_racks: true,
            timing: TIMING,
            concurrency: 8,
            only: vec![TaskKind::Tick, TaskKind::Submit, TaskKind::Watch],
            grace: Duration::from_secs(1),
        };
        Rack {
            name: RackName::new(name).unwrap(),
            machines,
            bus: self.bus.clone(),
            testflinger: testflinger_at(&lab.testflinger_url(), limits(POST_LIMIT)),
            maas: maas.unwrap(),
            lists: testflinger_at(&lab.testflinger_url(), patient),
            looks: testflinger_at(&lab.testflinger_url(), limits(LOOK_LIMIT)),
            lab,
            settings,
        }
    }
}

/// Every time the same, and no body longer than a megabyte, so that an endless one ends soon.
fn limits(time: Duration) -> Limits {
    let limits = Limits {
        body_bytes: 1 << 20,
        list_bytes: 1 << 20,
        result_bytes: 1 << 20,
        ..Limits::default()
    };
    limits.with_times(|_| time)
}

fn testflinger_at(url: &str, limits: Limits) -> Testflinger {
    Testflinger::new(testflinger::Settings {
        server: Root::parse(url).unwrap(),
        credentials: None,
        limits,
        ca: None,
        secrets: Vec::new(),
    })
    .unwrap()
}

/// A rack, its lab, and what a worker is told.
pub(crate) struct Rack {
    pub(crate) name: RackName,
    pub(crate) machines: Vec<MachineName>,
    pub(crate) lab: Lab,
    pub(crate) bus: Bus,
    pub(crate) settings: Settings,
    testflinger: Testflinger,
    maas: Maas,
    /// Testflinger for ticks, who read longer.
    lists: Testflinger,
    /// And for looks.
    looks: Testflinger,
}

impl Rack {
    /// Limits every call to Testflinger differently.
    pub(crate) fn limit_testflinger(&mut self, limit: Duration) {
        self.testflinger = testflinger_at(&self.lab.testflinger_url(), limits(limit));
    }

    /// Sends everything for Testflinger over another line.
    pub(crate) fn reach_testflinger_by(&mut self, line: &LateLine) {
        self.reach_testflinger_within(line, POST_LIMIT);
    }

    /// The same, with another limit for every call.
    pub(crate) fn reach_testflinger_within(&mut self, line: &LateLine, limit: Duration) {
        self.testflinger = testflinger_at(&line.url(), limits(limit));
    }

    /// Without anything remembered.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::new(self.bus.clone())
    }

    pub(crate) fn submitter(&self) -> worker::submit::Handler {
        self.submitter_on(self.ledger())
    }

    /// In the process that this ledger belongs to.
    pub(crate) fn submitter_on(&self, ledger: Ledger) -> worker::submit::Handler {
        let settings = Arc::new(self.settings.clone());
        worker::submit::Handler::new(ledger, self.testflinger.clone(), settings)
    }

    pub(crate) fn watcher(&self) -> worker::watch::Handler {
        self.watcher_on(self.ledger())
    }

    /// In the process that this ledger belongs to.
    pub(crate) fn watcher_on(&self, ledger: Ledger) -> worker::watch::Handler {
        worker::watch::Handler::new(ledger, self.looks.clone())
    }

    /// Posts the task's job as a worker would.
    pub(crate) async fn post(&self, task: &Submit) {
        let cycle = format!("racktick-cycle:{}", task.cycle);
        let document = JobDocument {
            job_id: &task.job.to_string(),
            job_queue: task.machine.as_str(),
            name: "",
            tags: &[cycle],
            template: &serde_json::Map::new(),
        };
        self.lists.submit(&document).await.unwrap();
    }

    pub(crate) fn ticker(&self) -> worker::tick::Handler {
        self.ticker_on(self.ledger())
    }

    /// In the process that this ledger belongs to.
    pub(crate) fn ticker_on(&self, ledger: Ledger) -> worker::tick::Handler {
        let sources = Sources::new(self.maas.clone(), self.lists.clone(), ledger.clone());
        let settings = Arc::new(self.settings.clone());
        worker::tick::Handler::new(ledger, Arc::new(sources), settings)
    }

    /// Runs a manual tick and returns the cycle's record.
    pub(crate) async fn cycle(&self) -> CycleRecord {
        let letter = Letter::tick(&self.name);
        self.deliver_tick(&letter).await.unwrap();
        loop {
            if let Some(record) = self.record(letter.cycle()).await {
                return record;
            }
            // The machine was so busy that a list came too late.
            let retry = self.waiting_retry(letter.cycle()).await.unwrap();
            self.deliver_tick(&retry).await.unwrap();
        }
    }

    /// The cycle's record as it is now.
    pub(crate) async fn record(&self, cycle: CycleId) -> Option<CycleRecord> {
        self.ledger().cycle(&self.name, cycle).await.unwrap()
    }

    /// Stores the rack's own record.
    pub(crate) async fn add(&self, record: &RackRecord) {
        let key = key::rack(&self.name);
        self.ledger().racks().create(&key, record).await.unwrap();
    }

    /// A machine's record as it is now.
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
        ledger
            .change_machine(machine, entry, transition)
            .await
            .unwrap()
            .unwrap();
    }

    /// Somebody asks to cancel a job.
    pub(crate) async fn cancel(&self, record: &CycleRecord, task: &Submit) -> Cancelled {
        let request = CancelRequest {
            cause: CancelCause::Asked,
            by: "ada".into(),
            why: "wrong image".into(),
            at: Timestamp::now(),
        };
        let asked = self.ledger().cancel(record, &task.machine, &request).await;
        asked.unwrap()
    }

    /// How often a job was posted.
    pub(crate) fn posts(&self) -> u64 {
        self.requests("POST /v1/job")
    }

    /// How many requests of this kind the lab got.
    pub(crate) fn requests(&self, endpoint: &str) -> u64 {
        let requests: BTreeMap<String, u64> = self.lab.stats().requests;
        requests.get(endpoint).copied().unwrap_or(0)
    }
}

/// The decisions of a cycle.
pub(crate) fn planned(record: &CycleRecord) -> &Planned {
    match &record.fate {
        Fate::Planned(planned) => planned,
        other => panic!("not planned: {other:?}"),
    }
}

/// The submit tasks of a cycle, as its tick sent them.
pub(crate) fn submits(record: &CycleRecord) -> Vec<Submit> {
    let planned = planned(record);
    planned
        .deploy
        .keys()
        .map(|machine| submit_task(record, planned, machine))
        .collect()
}

/// The claim that an attempt of the task's own leaves behind.
pub(crate) fn claim_of(task: &Submit, until: Timestamp) -> Submitting {
    Submitting {
        job: task.job,
        cycle: task.cycle,
        rack: task.rack.clone(),
        by: "w2".into(),
        attempt: Uuid::from_u128(7),
        until,
        deploy_by: task.deploy_by,
        renewed: false,
        cancel: None,
    }
}

/// Why a machine was left alone.
pub(crate) fn skipped(outcome: &Outcome) -> &Skip {
    match outcome {
        Outcome::Skipped(skip) => skip,
        other => panic!("not skipped: {other:?}"),
    }
}

/// So long ago.
pub(crate) fn ago(seconds: i64) -> Timestamp {
    Timestamp::now() - jiff::SignedDuration::from_secs(seconds)
}
