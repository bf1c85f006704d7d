//! The surroundings of a run: a fresh lab, a fresh broker, one worker.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use broker::{Binary, Options, Port, Server};
use bus::topology::{Retention, Topology, setup};
use bus::{Bus, Connect};
use jiff::Timestamp;
use ledger::Ledger;
use model::name::RackName;
use model::policy::Policy;
use model::rack::RackRecord;
use model::schedule::Schedule;
use model::subject::key;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::arguments::Arguments;
use crate::child::Child;
use crate::roles::{LabOrders, WorkerOrders};

/// The rack whose cycle opens all connections before anything is measured.
pub(crate) const WARM: &str = "warm";
/// Limits that do not follow from the free space of the disk. How often the server syncs is left to its own default.
const SERVER: &str = "jetstream { max_file_store: 10GB, max_memory_store: 256MB }\n";

/// Where a lab is, and how to get in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LabAddress {
    pub(crate) control: String,
    pub(crate) maas: String,
    pub(crate) testflinger: String,
    pub(crate) api_key: String,
}

/// How many racks of how many machines, and when a job is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Shape {
    pub(crate) racks: u32,
    pub(crate) machines: u32,
    pub(crate) looks: u32,
}

impl Shape {
    pub(crate) fn jobs(self) -> usize {
        self.racks as usize * self.machines as usize
    }

    /// The names of the racks.
    pub(crate) fn racks(self) -> Vec<String> {
        (1..=self.racks)
            .map(|number| format!("r{number}"))
            .collect()
    }
}

/// A lab of its own.
pub(crate) async fn lab(shape: Shape, folder: &Path) -> anyhow::Result<(Child, LabAddress)> {
    let orders = LabOrders {
        racks: shape.racks,
        machines: shape.machines,
        looks: shape.looks,
    };
    let mut lab = Child::start("lab", &orders, folder)?;
    let address = lab.hear().await?;
    Ok((lab, address))
}

/// A lab, a broker that is set up and knows the racks, and a worker.
pub(crate) struct Stage {
    pub(crate) lab: Child,
    pub(crate) address: LabAddress,
    pub(crate) server: Server,
    pub(crate) ledger: Ledger,
    pub(crate) worker: Child,
    pub(crate) folder: TempDir,
}

impl Stage {
    pub(crate) async fn open(
        shape: Shape,
        policy: Policy,
        arguments: &Arguments,
        binary: Binary,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (lab, address) = lab(shape, folder.path()).await?;
        let config = folder.path().join("server.conf");
        std::fs::write(&config, SERVER)?;
        let options = Options {
            port: Port::Free,
            folder: folder.path().into(),
            config: Some(config),
            own_group: false,
        };
        let server = Server::start(binary, options).await?;
        let connect = Connect {
            wait: Duration::from_secs(10),
            ..Connect::to(server.url(), "bench")
        };
        let bus = Bus::connect(&connect).await?;
        setup(&bus, &Topology::declared(Retention::default())).await?;
        let ledger = Ledger::new(bus);
        // Without a splay, so that all slots are hours away or known.
        let schedule = Schedule::Every {
            every: Duration::from_secs(6 * 3600),
            splay: Some(Duration::ZERO),
        };
        for rack in shape.racks().into_iter().chain([WARM.to_owned()]) {
            let record = RackRecord::new(schedule.clone(), Timestamp::now());
            let key = key::rack(&RackName::new(rack)?);
            ledger.racks().create(&key, &record).await?;
        }
        let orders = WorkerOrders {
            nats: server.url(),
            lab: address.clone(),
            policy,
            concurrency: arguments.concurrency,
            threads: arguments.threads,
        };
        let mut worker = Child::start("worker", &orders, folder.path())?;
        let ready: String = worker.hear().await?;
        if ready != "ready" {
            bail!("the worker says `{ready}`\n{}", worker.log_end());
        }
        Ok(Self {
            lab,
            address,
            server,
            ledger,
            worker,
            folder,
        })
    }

    pub(crate) fn broker_id(&self) -> anyhow::Result<u32> {
        self.server.process().context("the broker has ended")
    }

    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.worker.end().await?;
        self.server.stop().await?;
        self.lab.end().await
    }
}
