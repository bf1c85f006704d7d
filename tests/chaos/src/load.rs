//! The work that goes on meanwhile: ticks by hand and by schedule.

use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use ledger::Ledger;
use model::cycle::Origin;
use model::id::CycleId;
use model::name::RackName;
use model::rack::RackRecord;
use model::subject::Subject;
use model::task::{Resume, Tick};
use plan::slots::Slots;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep, sleep_until};

use crate::facts::Owed;
use crate::journal::Journal;
use crate::plan::{self as drawn, SCHEDULED, SLOTS, TROUBLE};
use crate::stage::Stage;

/// From the scheduled rack's last wanted slot until it is paused: less than to the slot after it.
const PAUSE_AFTER: Duration = Duration::from_secs(4);

/// Between two tries of what the broker has to do.
const BETWEEN_TRIES: Duration = Duration::from_millis(500);

/// Publishes the ticks; each of them is owed a cycle once the broker has confirmed it.
pub(crate) async fn tick_by_hand(
    ledger: &Ledger,
    ticks: &[drawn::Tick],
    seed: u64,
    journal: &Journal,
) -> anyhow::Result<Vec<Owed>> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut owed = Vec::new();
    for tick in ticks {
        sleep_until(journal.began() + tick.at).await;
        let rack = rack(tick.rack)?;
        // Fresh ids from the seed.
        let id = format!("{:032x}", chance.random::<u128>());
        let (body, cycle) = if tick.plain {
            (rack.as_str().as_bytes().to_vec(), None)
        } else {
            let cycle: CycleId = id.parse()?;
            (serde_json::to_vec(&resumable(&rack, cycle))?, Some(cycle))
        };
        let message = bus::Outgoing::new(Subject::Tick, body).with_id(id);
        until_done(async || ledger.bus().publish(message.clone()).await).await?;
        journal.say(format!("tick {rack}"));
        owed.push(Owed { rack, cycle });
    }
    Ok(owed)
}

/// What `racktick tick` publishes.
fn resumable(rack: &RackName, cycle: CycleId) -> Tick {
    let origin = Origin::Manual {
        by: Some("chaos".into()),
        reason: None,
    };
    Tick {
        by: Some("chaos".into()),
        resume: Some(Resume {
            cycle,
            origin,
            ticked_at: Timestamp::now(),
            attempt: 1,
        }),
        ..Tick::of(rack.clone())
    }
}

/// Pauses the scheduled rack after its slots, as an operator would. Every slot from its first day to its pause is owed
/// a cycle.
pub(crate) async fn tick_by_schedule(
    stage: &Stage,
    journal: &Journal,
) -> anyhow::Result<Vec<Owed>> {
    let rack = rack(SCHEDULED)?;
    let added = record(&stage.ledger, &rack).await?;
    let slots = Slots::new(&added.schedule, &rack)?;
    let last = slots
        .iter_after(added.since)
        .nth(SLOTS - 1)
        .context("a schedule has slots")?;
    let wait = Duration::try_from(last.duration_since(Timestamp::now())).unwrap_or_default();
    // As late as it is, whatever has happened by then: a slot that nobody armed is owed a cycle, too.
    sleep(wait + PAUSE_AFTER).await;
    until_done(async || stage.run(&["rack", "pause", rack.as_str()], &[]).await).await?;
    journal.say(format!("rack {rack} is paused"));
    let paused = record(&stage.ledger, &rack).await?.paused;
    let paused = paused.context("the rack is paused")?.at;
    let owed = slots
        .iter_after(added.since)
        .take_while(|slot| *slot <= paused)
        .map(|slot| Owed {
            cycle: Some(CycleId::of_slot(&rack, slot)),
            rack: rack.clone(),
        });
    Ok(owed.collect())
}

fn rack(number: u32) -> anyhow::Result<RackName> {
    Ok(RackName::new(format!("r{number}"))?)
}

async fn record(ledger: &Ledger, rack: &RackName) -> anyhow::Result<RackRecord> {
    let record = until_done(async || ledger.rack(rack).await).await?;
    record.with_context(|| format!("rack {rack} has no record"))
}

/// Tries until it works, or for longer than any fault lasts.
async fn until_done<T, E>(mut work: impl AsyncFnMut() -> Result<T, E>) -> anyhow::Result<T>
where
    anyhow::Error: From<E>,
{
    let deadline = Instant::now() + TROUBLE;
    loop {
        match work().await {
            Ok(done) => return Ok(done),
            Err(error) if Instant::now() > deadline => return Err(anyhow::Error::from(error)),
            Err(_) => sleep(BETWEEN_TRIES).await,
        }
    }
}
