//! What is run, in which order.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use broker::Binary;
use model::policy::Policy;
use model::subject::{filter, stream};
use tokio::time::{Instant, sleep};

use crate::arguments::{Arguments, Output};
use crate::cases;
use crate::child::Child;
use crate::figures::{Cycles, Figures, Idle, Pair, Run, Waiting};
use crate::jobs::Witness;
use crate::life::{self, Ages};
use crate::plain::{Measured, Orders};
use crate::process::cpu;
use crate::racktick::{self, seconds, tick};
use crate::report;
use crate::roles::{SETTLE, SchedulerOrders};
use crate::stage::{self, Shape, Stage, Surroundings};
use crate::sync::SyncPolicy;
use crate::table::Table;

/// Racks of the idle system.
const IDLE_RACKS: u32 = 100;
/// How long the idle system may take to become idle.
const CALM: Duration = Duration::from_secs(10);
/// What memory and an idle system are measured with.
const ONE_WORKER: Surroundings = Surroundings {
    sync: SyncPolicy::Default,
    workers: 1,
    ages: Ages::REAL,
};
/// How long anything else may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs what was asked for and reports. Returns whether everything was done exactly once.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let binary = binary(arguments).await?;
    if let Some(days) = arguments.days {
        return long_life(days, arguments, &binary).await;
    }
    let own_shape = arguments.racks.is_some() || arguments.machines.is_some();
    if own_shape || arguments.memory || arguments.idle {
        some(arguments, own_shape, &binary).await
    } else {
        table(arguments, &binary).await
    }
}

/// What disk and memory do over weeks. Returns whether all was flat, too.
async fn long_life(days: u32, arguments: &Arguments, binary: &Binary) -> anyhow::Result<bool> {
    let life = life::run(days, arguments, binary).await?;
    let json = serde_json::to_string_pretty(&life)?;
    match arguments.output {
        Output::Json => println!("{json}"),
        Output::Text => println!("{}", life::text(&life)),
    }
    if let Some(path) = &arguments.json {
        std::fs::write(path, json)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(life.is_right())
}

/// The table of policies and sizes.
async fn table(arguments: &Arguments, binary: &Binary) -> anyhow::Result<bool> {
    let chosen = match arguments.full {
        true => cases::full(),
        false => cases::short(),
    };
    let rounds = cases::run(
        &chosen,
        &arguments.sync,
        arguments.rounds(),
        arguments,
        binary,
    )
    .await?;
    let table = Table::of(&rounds);
    let json = serde_json::to_string_pretty(&table)?;
    match arguments.output {
        Output::Json => println!("{json}"),
        Output::Text => println!("{}", table.text()),
    }
    if let Some(path) = &arguments.json {
        std::fs::write(path, json)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let wrong: Vec<&String> = rounds
        .values()
        .flatten()
        .flat_map(|round| round.wrong())
        .collect();
    report::progress(&report::exactly_once(&wrong));
    Ok(wrong.is_empty())
}

/// One shape, memory, or an idle system.
async fn some(arguments: &Arguments, own_shape: bool, binary: &Binary) -> anyhow::Result<bool> {
    let shape = |racks, machines| Shape {
        racks,
        machines,
        looks: arguments.looks,
    };
    let surroundings = Surroundings {
        sync: arguments
            .sync
            .first()
            .copied()
            .unwrap_or(SyncPolicy::Default),
        workers: 1,
        ages: Ages::REAL,
    };
    let mut figures = Figures::default();
    if own_shape {
        let shape = shape(
            arguments.racks.unwrap_or(1),
            arguments.machines.unwrap_or(100),
        );
        let mut pairs = Vec::new();
        for round in 1..=arguments.rounds() {
            report::progress(&format!(
                "{} racks of {} machines, round {round} of {}",
                shape.racks,
                shape.machines,
                arguments.rounds()
            ));
            pairs.push(Pair {
                plain: plain(shape, arguments.loop_threads).await?,
                racktick: racktick::run(shape, surroundings, arguments, binary).await?,
            });
        }
        figures.cycles.push(Cycles { shape, pairs });
    }
    if arguments.memory {
        report::progress("memory");
        figures.waiting = Some(waiting(shape(100, 100), arguments, binary).await?);
    }
    if arguments.idle {
        report::progress(&format!("idle for {:?}", arguments.idle_time()));
        figures.idle = Some(idle(shape(IDLE_RACKS, 10), arguments, binary).await?);
    }
    let json = serde_json::to_string_pretty(&figures)?;
    match arguments.output {
        Output::Json => println!("{json}"),
        Output::Text => report::print(&figures),
    }
    if let Some(path) = &arguments.json {
        std::fs::write(path, json)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(figures.wrong().is_empty())
}

/// The server that was named, or the pinned one, which is fetched when it is not there.
async fn binary(arguments: &Arguments) -> anyhow::Result<Binary> {
    if let Some(path) = &arguments.nats_server {
        return Ok(Binary::at(path));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("this crate is two folders below the root")?;
    let cache = root.join(".cache");
    Ok(tokio::task::spawn_blocking(move || Binary::find(&cache)).await??)
}

/// One run of the plain loop against a lab of its own.
pub(crate) async fn plain(shape: Shape, threads: u8) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir()?;
    let (lab, address) = stage::lab(shape, folder.path()).await?;
    let orders = Orders {
        lab: address.clone(),
        racks: shape.racks(),
        looks: shape.looks,
        threads,
    };
    let mut plain = Child::start("plain", &orders, folder.path())?;
    let _: String = plain.hear().await?;
    let witness = Witness::new(&address.control).await?;
    let lab_before = cpu(lab.id()?)?;
    plain.go().await?;
    let measured: Measured = plain.hear().await?;
    let lab_cpu = cpu(lab.id()?)? - lab_before;
    let testimony = witness.testify(&shape.racks(), true).await?;
    plain.end().await?;
    lab.end().await?;
    Ok(Run {
        jobs: shape.jobs(),
        dispatch: seconds(measured.begun, testimony.last_submit),
        completion: seconds(measured.begun, measured.ended),
        own_cpu: measured.cpu.as_secs_f64(),
        broker_cpu: 0.0,
        broker: None,
        lab_cpu: lab_cpu.as_secs_f64(),
        requests: testimony.requests,
        wrong: testimony.wrong,
    })
}

/// The worker's memory while all jobs run and wait for their first look.
pub(crate) async fn waiting(
    shape: Shape,
    arguments: &Arguments,
    binary: &Binary,
) -> anyhow::Result<Waiting> {
    let policy = Policy {
        spread: Duration::ZERO,
        first_look: Duration::from_secs(3600),
        look_every: Duration::from_secs(3600),
        ..Policy::default()
    };
    let stage = Stage::open(shape, policy, ONE_WORKER, arguments, binary).await?;
    let witness = Witness::new(&stage.address.control).await?;
    let racks = shape.racks();
    // The first half also brings what a worker and a broker need for such cycles at all, for instance to read the list
    // of all agents. What the second half adds is the jobs' own.
    let (first, second) = racks.split_at(racks.len() / 2);
    let first_jobs = first.len() * shape.machines as usize;
    tick(&stage, first).await?;
    wait_for_looks(&stage, first_jobs).await?;
    sleep(CALM).await;
    let (worker_before, _) = stage.worker_memory()?;
    let broker_before = stage.brokers.memory()?;
    tick(&stage, second).await?;
    wait_for_looks(&stage, shape.jobs()).await?;
    sleep(CALM).await;
    let (worker_now, worker_peak) = stage.worker_memory()?;
    let broker_now = stage.brokers.memory()?;
    let testimony = witness.testify(&shape.racks(), false).await?;
    stage.close().await?;
    Ok(Waiting {
        shape,
        added: shape.jobs() - first_jobs,
        worker_before,
        broker_before,
        worker_now,
        worker_peak,
        broker_now,
        wrong: testimony.wrong,
    })
}

/// Waits until so many jobs run and wait, and nothing else is to be done.
async fn wait_for_looks(stage: &Stage, jobs: usize) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let bus = stage.ledger.bus();
        let waits = bus.subjects(stream::TASK, filter::WAITING_LOOKS).await?;
        let other = bus.subjects(stream::TASK, filter::SUBMITS).await?;
        if waits.len() == jobs && other.is_empty() {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "only {} of {jobs} jobs wait\n{}",
            waits.len(),
            stage.log_end()
        );
        sleep(Duration::from_millis(200)).await;
    }
}

/// A system with racks whose slots are armed, and nothing to do.
async fn idle(shape: Shape, arguments: &Arguments, binary: &Binary) -> anyhow::Result<Idle> {
    let stage = Stage::open(shape, Policy::default(), ONE_WORKER, arguments, binary).await?;
    let orders = SchedulerOrders {
        nats: stage.brokers.url(),
        settle: SETTLE,
    };
    let mut scheduler = Child::start("scheduler", &orders, stage.folder.path())?;
    let _: String = scheduler.hear().await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let bus = stage.ledger.bus();
        let armed = bus.subjects(stream::RACK, filter::ARMED).await?;
        if armed.len() >= 2 * shape.racks as usize {
            break;
        }
        ensure!(
            Instant::now() < deadline,
            "only {} slots are armed\n{}",
            armed.len(),
            scheduler.log_end()
        );
        sleep(Duration::from_millis(200)).await;
    }
    sleep(CALM).await;
    let witness = Witness::new(&stage.address.control).await?;
    let spent = || -> anyhow::Result<[f64; 3]> {
        Ok([
            stage.worker_cpu()?,
            cpu(scheduler.id()?)?.as_secs_f64(),
            stage.brokers.cpu()?,
        ])
    };
    let before = spent()?;
    let begun = Instant::now();
    sleep(arguments.idle_time()).await;
    let after = spent()?;
    let watched = begun.elapsed();
    let requests = witness.requests().await?.values().sum();
    scheduler.end().await?;
    stage.close().await?;
    let [worker, scheduler, broker] = std::array::from_fn(|part| after[part] - before[part]);
    Ok(Idle {
        racks: shape.racks,
        watched,
        worker,
        scheduler,
        broker,
        requests,
    })
}
