//! What is run, in which order.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use broker::Binary;
use model::policy::Policy;
use model::subject::{filter, stream};
use tokio::time::{Instant, sleep};

use crate::arguments::Arguments;
use crate::child::Child;
use crate::figures::{Cycles, Figures, Idle, Pair, Run, Waiting};
use crate::jobs::Witness;
use crate::plain::{Measured, Orders};
use crate::process::{cpu, memory};
use crate::racktick::{self, seconds, tick};
use crate::report;
use crate::roles::SchedulerOrders;
use crate::stage::{self, Shape, Stage};

/// Racks of the idle system.
const IDLE_RACKS: u32 = 100;
/// How long the idle system may take to become idle.
const CALM: Duration = Duration::from_secs(10);
/// How long anything else may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs what was asked for and reports. Returns whether everything was done exactly once.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let binary = binary(arguments).await?;
    let shape = |racks, machines| Shape {
        racks,
        machines,
        looks: arguments.looks,
    };
    let own_shape = arguments.racks.is_some() || arguments.machines.is_some();
    let only_some = arguments.memory || arguments.idle;
    let shapes = if own_shape {
        vec![shape(
            arguments.racks.unwrap_or(1),
            arguments.machines.unwrap_or(100),
        )]
    } else if only_some {
        vec![]
    } else {
        vec![shape(1, 1000), shape(100, 100)]
    };
    let mut figures = Figures::default();
    for shape in shapes {
        let mut pairs = Vec::new();
        for round in 1..=arguments.rounds {
            report::progress(&format!(
                "{} racks of {} machines, round {round} of {}",
                shape.racks, shape.machines, arguments.rounds
            ));
            pairs.push(Pair {
                plain: plain(shape).await?,
                racktick: racktick::run(shape, arguments, binary.clone()).await?,
            });
        }
        figures.cycles.push(Cycles { shape, pairs });
    }
    if arguments.memory || !(own_shape || only_some) {
        report::progress("memory");
        figures.waiting = Some(waiting(shape(100, 100), arguments, binary.clone()).await?);
    }
    if arguments.idle {
        report::progress(&format!("idle for {:?}", arguments.idle_time()));
        figures.idle = Some(idle(shape(IDLE_RACKS, 10), arguments, binary).await?);
    }
    report::print(&figures);
    if let Some(path) = &arguments.json {
        let json = serde_json::to_vec_pretty(&figures)?;
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
async fn plain(shape: Shape) -> anyhow::Result<Run> {
    let folder = tempfile::tempdir()?;
    let (lab, address) = stage::lab(shape, folder.path()).await?;
    let orders = Orders {
        lab: address.clone(),
        racks: shape.racks(),
        looks: shape.looks,
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
        lab_cpu: lab_cpu.as_secs_f64(),
        requests: testimony.requests,
        wrong: testimony.wrong,
    })
}

/// The worker's memory while all jobs run and wait for their first look.
async fn waiting(shape: Shape, arguments: &Arguments, binary: Binary) -> anyhow::Result<Waiting> {
    let policy = Policy {
        spread: Duration::ZERO,
        first_look: Duration::from_secs(3600),
        look_every: Duration::from_secs(3600),
        ..Policy::default()
    };
    let stage = Stage::open(shape, policy, arguments, binary).await?;
    let witness = Witness::new(&stage.address.control).await?;
    tick(&stage, &shape.racks()).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let bus = stage.ledger.bus();
        let waits = bus.subjects(stream::TASK, filter::WAITING_LOOKS).await?;
        let other = bus.subjects(stream::TASK, filter::SUBMITS).await?;
        if waits.len() == shape.jobs() && other.is_empty() {
            break;
        }
        ensure!(
            Instant::now() < deadline,
            "only {} of {} jobs wait\n{}",
            waits.len(),
            shape.jobs(),
            stage.worker.log_end()
        );
        sleep(Duration::from_millis(200)).await;
    }
    let worker = memory(stage.worker.id()?)?;
    let broker = memory(stage.broker_id()?)?;
    let testimony = witness.testify(&shape.racks(), false).await?;
    stage.close().await?;
    Ok(Waiting {
        shape,
        worker_now: worker.now,
        worker_peak: worker.peak,
        broker_now: broker.now,
        wrong: testimony.wrong,
    })
}

/// A system with racks whose slots are armed, and nothing to do.
async fn idle(shape: Shape, arguments: &Arguments, binary: Binary) -> anyhow::Result<Idle> {
    let stage = Stage::open(shape, Policy::default(), arguments, binary).await?;
    let orders = SchedulerOrders {
        nats: stage.server.url(),
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
    let ids = [stage.worker.id()?, scheduler.id()?, stage.broker_id()?];
    let before = ids.map(cpu);
    let begun = Instant::now();
    sleep(arguments.idle_time()).await;
    let after = ids.map(cpu);
    let watched = begun.elapsed();
    let mut spent = [0.0; 3];
    for (spent, (before, after)) in spent.iter_mut().zip(before.into_iter().zip(after)) {
        *spent = (after? - before?).as_secs_f64();
    }
    let requests = witness.requests().await?.values().sum();
    scheduler.end().await?;
    stage.close().await?;
    let [worker, scheduler, broker] = spent;
    Ok(Idle {
        racks: shape.racks,
        watched,
        worker,
        scheduler,
        broker,
        requests,
    })
}
