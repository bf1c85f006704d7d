//! The work that goes on meanwhile: ticks by hand and by schedule.

use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use ledger::Ledger;
use model::id::CycleId;
use model::name::RackName;
use model::rack::RackRecord;
use model::subject::Subject;
use model::task::Tick;
use plan::slots::Slots;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{sleep, sleep_until};
use uuid::Uuid;

use crate::facts::Owed;
use crate::journal::Journal;
use crate::plan::{self as drawn, SCHEDULED, SLOTS};
use crate::stage::Stage;

/// From the scheduled rack's last wanted slot until it is paused: less than to the slot after it.
const PAUSE_AFTER: Duration = Duration::from_secs(4);

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
            let nonce: Uuid = id.parse()?;
            let cycle = CycleId::of_request(&rack, nonce);
            (serde_json::to_vec(&named(&rack, nonce))?, Some(cycle))
        };
        let message = bus::Outgoing::new(Subject::Tick, body).with_id(id);
        until_done(async || ledger.bus().publish(message.clone()).await).await?;
        journal.say(format!("tick {rack}"));
        owed.push(Owed { rack, cycle });
    }
    Ok(owed)
}

/// What `racktick tick` publishes.
fn named(rack: &RackName, nonce: Uuid) -> Tick {
    Tick {
        by: Some("chaos".into()),
        nonce: Some(nonce),
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

/// Tries until it works: the broker is away for a while only.
async fn until_done<T, E>(mut work: impl AsyncFnMut() -> Result<T, E>) -> anyhow::Result<T>
where
    anyhow::Error: From<E>,
{
    const TRIES: usize = 60;
    for _ in 0..TRIES {
        if let Ok(done) = work().await {
            return Ok(done);
        }
        sleep(Duration::from_millis(500)).await;
    }
    Ok(work().await?)
}
