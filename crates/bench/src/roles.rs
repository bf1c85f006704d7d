//! What the bench's own processes do.

use std::time::Duration;

use anyhow::Context;
use bus::{Bus, Connect};
use lab::{Lab, LabConfig};
use maas::{ApiKey, Maas, MaasUrl};
use model::policy::Policy;
use model::speed::Speed;
use model::task::TaskKind;
use serde::{Deserialize, Serialize};
use testflinger::{Limits, Root, Testflinger};
use tokio::io::{AsyncBufReadExt, BufReader, Stdin, stdin};
use tokio::runtime::Builder;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;
use worker::{Settings, Timing};

use crate::arguments::Role;
use crate::plain::{self, Loop};
use crate::raw;
use crate::stage::{LabAddress, WARM};

/// Machines of the rack that warms everything up.
const WARM_MACHINES: u32 = 20;
/// `racktick`'s own default.
pub(crate) const SETTLE: Duration = Duration::from_secs(300);

/// What the lab is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LabOrders {
    pub(crate) racks: u32,
    pub(crate) machines: u32,
    pub(crate) looks: u32,
}

/// What a worker is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WorkerOrders {
    pub(crate) nats: String,
    pub(crate) lab: LabAddress,
    pub(crate) policy: Policy,
    pub(crate) concurrency: usize,
    pub(crate) threads: u8,
}

/// What a scheduler is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SchedulerOrders {
    pub(crate) nats: String,
    /// How often it sweeps.
    pub(crate) settle: Duration,
}

pub(crate) async fn run(role: Role) -> anyhow::Result<()> {
    match role {
        Role::Lab { orders } => lab(serde_json::from_str(&orders)?).await,
        Role::Plain { orders } => {
            let orders: plain::Orders = serde_json::from_str(&orders)?;
            on_threads(orders.threads, plain(orders)).await
        }
        Role::Raw { orders } => raw(serde_json::from_str(&orders)?).await,
        Role::Worker { orders } => {
            let orders: WorkerOrders = serde_json::from_str(&orders)?;
            on_threads(orders.threads, worker(orders)).await
        }
        Role::Scheduler { orders } => scheduler(serde_json::from_str(&orders)?).await,
    }
}

/// Runs on this thread, or on so many others.
async fn on_threads(
    threads: u8,
    work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> anyhow::Result<()> {
    if threads == 1 {
        return work.await;
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads.into())
        .enable_all()
        .build()?;
    let worked = runtime.spawn(work).await;
    // A runtime cannot be dropped inside another.
    runtime.shutdown_background();
    worked?
}

async fn lab(orders: LabOrders) -> anyhow::Result<()> {
    let config = LabConfig {
        racks: orders.racks,
        machines: orders.machines,
        instant: Some(orders.looks),
        ..LabConfig::default()
    };
    let lab = Lab::start_on_free_port(config).await?;
    for number in 1..=WARM_MACHINES {
        lab.add_machine(WARM, &format!("{WARM}-m{number:02}"))?;
    }
    say(&LabAddress {
        control: lab.url(),
        maas: lab.maas_url(),
        testflinger: lab.testflinger_url(),
        api_key: lab.api_key(),
    })?;
    input_ended().await;
    lab.stop().await;
    Ok(())
}

async fn plain(orders: plain::Orders) -> anyhow::Result<()> {
    let mut input = BufReader::new(stdin());
    let racks = orders.racks.clone();
    let plain = Loop::new(orders)?;
    plain.run(&[WARM.to_owned()]).await?;
    say(&"ready")?;
    told(&mut input).await?;
    say(&plain.run(&racks).await?)
}

async fn raw(orders: raw::Orders) -> anyhow::Result<()> {
    let mut input = BufReader::new(stdin());
    let program = raw::Program::new(orders).await?;
    say(&"ready")?;
    told(&mut input).await?;
    say(&program.run().await?)
}

async fn worker(orders: WorkerOrders) -> anyhow::Result<()> {
    log();
    let limits = Limits::default();
    let maas = Maas::new(maas::Settings {
        url: MaasUrl::parse(&orders.lab.maas)?,
        key: ApiKey::parse(&orders.lab.api_key)?,
        limits,
        ca: None,
    })?;
    let testflinger = Testflinger::new(testflinger::Settings {
        server: Root::parse(&orders.lab.testflinger)?,
        credentials: None,
        limits,
        ca: None,
        secrets: Vec::new(),
    })?;
    let settings = Settings {
        name: "bench".into(),
        policy: orders.policy,
        speed: Speed::REAL,
        adhoc_racks: true,
        timing: Timing::new(SETTLE, limits.total, Speed::REAL),
        concurrency: orders.concurrency,
        only: vec![TaskKind::Tick, TaskKind::Submit, TaskKind::Watch],
        grace: Duration::from_secs(10),
    };
    let bus = Bus::connect(&Connect::to(orders.nats, "worker")).await?;
    say(&"ready")?;
    let observers = worker::Observers::default();
    worker::run(settings, bus, maas, testflinger, observers, input_ended()).await;
    Ok(())
}

async fn scheduler(orders: SchedulerOrders) -> anyhow::Result<()> {
    log();
    let settings = scheduler::Settings {
        policy: Policy::default(),
        speed: Speed::REAL,
        settle: orders.settle,
    };
    let bus = Bus::connect(&Connect::to(orders.nats, "scheduler")).await?;
    say(&"ready")?;
    scheduler::run(
        settings,
        ledger::Ledger::new(bus),
        Vec::new(),
        input_ended(),
    )
    .await
    .context("the scheduler ended")
}

/// As a role of `racktick` logs when nobody looks: JSON lines, from `info` up.
fn log() {
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .json()
        .flatten_event(true)
        .with_filter(Targets::new().with_default(tracing::Level::INFO));
    tracing_subscriber::registry().with(layer).init();
}

fn say(what: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(what)?);
    Ok(())
}

async fn told(input: &mut BufReader<Stdin>) -> anyhow::Result<()> {
    let mut line = String::new();
    input.read_line(&mut line).await?;
    Ok(())
}

/// Resolves when the bench has ended, or wants this process to.
async fn input_ended() {
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(_)) = lines.next_line().await {}
}
