//! The surroundings of a run: a fresh lab, a fresh broker, one worker.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use broker::Binary;
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
use crate::brokers::Brokers;
use crate::child::Child;
use crate::life::Ages;
use crate::process::{cpu, memory};
use crate::roles::{LabOrders, WorkerOrders};
use crate::sync::SyncPolicy;

/// The rack whose cycle opens all connections before anything is measured.
pub(crate) const WARM: &str = "warm";
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

/// What a run has besides its shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    pub(crate) sync: SyncPolicy,
    /// How many workers.
    pub(crate) workers: usize,
    /// How long the broker keeps things.
    pub(crate) ages: Ages,
}

/// A lab, a broker that is set up and knows the racks, and workers.
pub(crate) struct Stage {
    pub(crate) lab: Child,
    pub(crate) address: LabAddress,
    pub(crate) brokers: Brokers,
    pub(crate) ledger: Ledger,
    pub(crate) workers: Vec<Child>,
    pub(crate) folder: TempDir,
}

impl Stage {
    pub(crate) async fn open(
        shape: Shape,
        policy: Policy,
        surroundings: Surroundings,
        arguments: &Arguments,
        binary: &Binary,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (lab, address) = lab(shape, folder.path()).await?;
        let brokers = Brokers::start(surroundings.sync, binary, folder.path()).await?;
        let connect = Connect {
            wait: Duration::from_secs(10),
            ..Connect::to(brokers.url(), "bench")
        };
        let bus = Bus::connect(&connect).await?;
        let topology = Topology::declared(Retention::default());
        setup(&bus, &surroundings.ages.divide(topology)).await?;
        brokers.replicate().await?;
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
        let mut workers = Vec::new();
        for number in 0..surroundings.workers {
            let orders = WorkerOrders {
                nats: brokers.url(),
                lab: address.clone(),
                policy: policy.clone(),
                concurrency: arguments.concurrency,
                threads: arguments.threads,
            };
            let folder = folder.path().join(format!("worker{number}"));
            std::fs::create_dir(&folder)?;
            let mut worker = Child::start("worker", &orders, &folder)?;
            let ready: String = worker.hear().await?;
            if ready != "ready" {
                bail!("the worker says `{ready}`\n{}", worker.log_end());
            }
            workers.push(worker);
        }
        Ok(Self {
            lab,
            address,
            brokers,
            ledger,
            workers,
            folder,
        })
    }

    /// User and system time of all workers, in seconds.
    pub(crate) fn worker_cpu(&self) -> anyhow::Result<f64> {
        let mut sum = 0.0;
        for worker in &self.workers {
            sum += cpu(worker.id()?)?.as_secs_f64();
        }
        Ok(sum)
    }

    /// What all workers have in memory, and the most they ever had, in bytes.
    pub(crate) fn worker_memory(&self) -> anyhow::Result<(u64, u64)> {
        let mut sum = (0, 0);
        for worker in &self.workers {
            let memory = memory(worker.id()?)?;
            sum = (sum.0 + memory.now, sum.1 + memory.peak);
        }
        Ok(sum)
    }

    /// The ends of the workers' logs.
    pub(crate) fn log_end(&self) -> String {
        let ends: Vec<String> = self.workers.iter().map(Child::log_end).collect();
        ends.join("\n")
    }

    pub(crate) async fn close(self) -> anyhow::Result<()> {
        for worker in self.workers {
            worker.end().await?;
        }
        self.brokers.stop().await?;
        self.lab.end().await
    }
}
