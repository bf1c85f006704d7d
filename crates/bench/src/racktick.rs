//! One run of racktick: all racks are ticked at once, and every machine gets its job and its verdict.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use broker::Binary;
use bus::{Outgoing, Reader, Start};
use jiff::Timestamp;
use model::policy::Policy;
use model::subject::{Subject, stream};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use crate::arguments::Arguments;
use crate::figures::{Operations, Run};
use crate::jobs::Witness;
use crate::process::cpu;
use crate::stage::{Shape, Stage, Surroundings, WARM};

/// How long all cycles together may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Everything is due at once, and still goes through the broker's schedules.
pub(crate) fn at_once() -> Policy {
    Policy {
        spread: Duration::ZERO,
        first_look: Duration::ZERO,
        look_every: Duration::ZERO,
        ..Policy::default()
    }
}

#[derive(Deserialize)]
struct CycleEvent {
    data: serde_json::Value,
}

/// Runs one cycle per rack.
pub(crate) async fn run(
    shape: Shape,
    surroundings: Surroundings,
    arguments: &Arguments,
    binary: &Binary,
) -> anyhow::Result<Run> {
    let stage = Stage::open(shape, at_once(), surroundings, arguments, binary).await?;
    let run = measure(&stage, shape).await;
    let run = run.with_context(|| format!("the worker's log ends:\n{}", stage.log_end()));
    stage.close().await?;
    run
}

async fn measure(stage: &Stage, shape: Shape) -> anyhow::Result<Run> {
    let mut events = cycle_events(stage).await?;
    warm_up(stage, &mut events).await?;
    let witness = Witness::new(&stage.address.control).await?;
    let lab = stage.lab.id()?;
    let traffic_before = stage.brokers.traffic().await?;
    let before = (stage.worker_cpu()?, stage.brokers.cpu()?, cpu(lab)?);

    let begun = Timestamp::now();
    tick(stage, &shape.racks()).await?;
    let end = ended(&mut events, shape.racks as usize).await?;
    // The last acknowledgements belong to the work, too.
    settled(stage).await?;
    let after = (stage.worker_cpu()?, stage.brokers.cpu()?, cpu(lab)?);
    let traffic = stage.brokers.traffic().await?;

    let testimony = witness.testify(&shape.racks(), true).await?;
    let mut wrong = testimony.wrong;
    if end.passed != shape.jobs() {
        wrong.push(format!(
            "{} of {} jobs passed, by the ends of the cycles",
            end.passed,
            shape.jobs()
        ));
    }
    let stored = traffic.stored - traffic_before.stored;
    Ok(Run {
        jobs: shape.jobs(),
        dispatch: seconds(begun, testimony.last_submit),
        completion: seconds(begun, end.at),
        own_cpu: after.0 - before.0,
        broker_cpu: after.1 - before.1,
        lab_cpu: (after.2 - before.2).as_secs_f64(),
        requests: testimony.requests,
        broker: Some(Operations {
            received: traffic.received - traffic_before.received,
            sent: traffic.sent - traffic_before.sent,
            stored,
            removed: (traffic_before.held + stored).saturating_sub(traffic.held),
        }),
        wrong,
    })
}

/// A small cycle that opens all connections.
pub(crate) async fn warm_up(stage: &Stage, events: &mut Reader) -> anyhow::Result<()> {
    tick(stage, &[WARM.to_owned()]).await?;
    let warm = ended(events, 1).await?;
    ensure!(warm.passed > 0, "the first cycle had no job");
    settled(stage).await
}

pub(crate) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// Everything that is said of cycles from now on.
pub(crate) async fn cycle_events(stage: &Stage) -> anyhow::Result<Reader> {
    let bus = stage.ledger.bus();
    Ok(bus
        .read(stream::EVENTS, "event.cycle.>", Start::New)
        .await?)
}

/// Ticks racks as a person would.
pub(crate) async fn tick(stage: &Stage, racks: &[String]) -> anyhow::Result<()> {
    for rack in racks {
        let message = Outgoing::new(Subject::Tick, rack.clone());
        stage.ledger.bus().publish(message).await?;
    }
    Ok(())
}

struct End {
    /// When the last cycle ended, by the broker's clock, which is this machine's.
    at: Timestamp,
    passed: usize,
}

/// Waits until so many cycles have ended.
async fn ended(events: &mut Reader, cycles: usize) -> anyhow::Result<End> {
    let mut end = End {
        at: Timestamp::MIN,
        passed: 0,
    };
    let deadline = Instant::now() + PATIENCE;
    let mut open = cycles;
    while open > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        let event = timeout(left, events.next())
            .await
            .with_context(|| format!("{open} cycles have not ended within {PATIENCE:?}"))??;
        match event.subject.rsplit('.').next() {
            Some("finished") => {
                let body: CycleEvent = serde_json::from_slice(&event.body)?;
                let passed = body.data["outcomes"]["passed"].as_u64().unwrap_or(0);
                end.passed += usize::try_from(passed)?;
                end.at = event.time;
                open -= 1;
            }
            Some("started" | "planned") => {}
            _ => bail!(
                "{}: {}",
                event.subject,
                String::from_utf8_lossy(&event.body)
            ),
        }
    }
    Ok(end)
}

/// Waits until no task is left.
pub(crate) async fn settled(stage: &Stage) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = stage.ledger.bus().subjects(stream::TASK, ">").await?;
        if left.is_empty() {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} tasks are left when all cycles have ended",
            left.len()
        );
        sleep(Duration::from_millis(20)).await;
    }
}
