//! The work that goes on meanwhile: ticks by hand and by schedule, and cancels.

use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use ledger::Ledger;
use model::cycle::CycleRecord;
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::rack::RackRecord;
use model::subject::Subject;
use model::task::Tick;
use plan::slots::Slots;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

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

/// Cancels what is under way, as an operator would. Nobody is owed anything by a cancel that is not done.
pub(crate) async fn cancel_by_hand(
    stage: &Stage,
    cancels: &[drawn::Cancel],
    seed: u64,
    journal: &Journal,
) -> anyhow::Result<()> {
    let mut chance = StdRng::seed_from_u64(seed);
    for cancel in cancels {
        sleep_until(journal.began() + cancel.at).await;
        // While the broker is away there is nothing to choose from.
        let Ok(Some(target)) = something_open(&stage.ledger, cancel, &mut chance).await else {
            continue;
        };
        let command = ["cancel", target.as_str(), "--yes", "--reason", "chaos"];
        // Giving it up kills it.
        match timeout(cancel.limit, stage.run(&command, &[])).await {
            Ok(Ok(())) => journal.say(format!("cancelled {target}")),
            Ok(Err(error)) => journal.say(format!("cancelling {target}: {error:#}")),
            Err(_) => {
                journal.say(format!("canceller_killed, of {target}"));
                journal.count("canceller_killed");
            }
        }
    }
    Ok(())
}

/// A cycle that is not over, or a job of one without an outcome.
async fn something_open(
    ledger: &Ledger,
    cancel: &drawn::Cancel,
    chance: &mut StdRng,
) -> anyhow::Result<Option<String>> {
    let cycles = ledger.cycles().entries(">").await?;
    let open: Vec<CycleRecord> = cycles
        .into_values()
        .map(|entry| entry.value)
        .filter(|record| record.open().next().is_some())
        .collect();
    let Some(record) = open.choose(chance) else {
        return Ok(None);
    };
    if cancel.whole_cycle {
        return Ok(Some(record.cycle.to_string()));
    }
    let machines: Vec<&MachineName> = record.open().collect();
    Ok(machines
        .choose(chance)
        .map(|machine| JobId::of(record.cycle, machine).to_string()))
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
