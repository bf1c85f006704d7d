//! What the broker tells: records as they are and as they change, events, schedules, and that it is there.

use std::time::Duration;

use bus::{BusError, Changes, Start};
use dashboard::records::Records;
use jiff::{SignedDuration, Timestamp};
use ledger::Ledger;
use ledger::stored::{self, Read};
use model::event::Event;
use model::record::Record;
use model::subject::{filter, stream};
use tokio::sync::mpsc::Sender;
use tokio::time::{MissedTickBehavior, interval};

use super::state::Input;

/// How often the schedules are read, which also shows whether the broker is there.
const EVERY: Duration = Duration::from_secs(3);
/// From how long ago on events are read: the states of jobs that are at work come from them.
const BEFORE: SignedDuration = SignedDuration::from_hours(6);

/// Begins to tell. What the broker does not permit is said at once.
pub(super) async fn start(ledger: &Ledger, sender: &Sender<Input>) -> Result<(), BusError> {
    // What is written while the records are read comes after them.
    let cycles = ledger.cycles().changes(Start::New).await?;
    let machines = ledger.machines().changes(Start::New).await?;
    let records = Box::new(Records::read(ledger).await?);
    // Nobody listens any more: there is nobody to tell.
    let _ = sender.send(Input::Records(records)).await;
    follow(cycles, sender, Input::Cycle);
    follow(machines, sender, Input::Machine);
    let since = Timestamp::now()
        .checked_sub(BEFORE)
        .unwrap_or(Timestamp::MIN);
    let bus = ledger.bus();
    let mut events = bus
        .read(stream::EVENTS, filter::EVENTS, Start::Since(since))
        .await?;
    let to = sender.clone();
    tokio::spawn(async move {
        loop {
            let input = match events.next().await {
                Ok(stored) => match Event::from_json(&stored.body) {
                    Ok(event) => Input::Event(Box::new(event)),
                    Err(_) => continue,
                },
                Err(error) => Input::Failed(error),
            };
            if to.send(input).await.is_err() {
                return;
            }
        }
    });
    let (ledger, to) = (ledger.clone(), sender.clone());
    tokio::spawn(async move {
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            // A broker that does not answer is shown by how long ago it was heard of.
            let Ok(racks) = stored::racks(&ledger).await else {
                continue;
            };
            let readable = racks
                .into_iter()
                .filter_map(|(rack, record)| Some((rack, record.ok()?)));
            if to
                .send(Input::Racks(readable.collect(), Timestamp::now()))
                .await
                .is_err()
            {
                return;
            }
        }
    });
    Ok(())
}

/// A bucket's records as they change.
fn follow<V: Record + Send + Sync + 'static>(
    mut changes: Changes<V>,
    sender: &Sender<Input>,
    input: fn(String, Box<Read<V>>) -> Input,
) {
    let to = sender.clone();
    tokio::spawn(async move {
        loop {
            let input = match changes.next().await {
                Ok(change) => match change.entry {
                    Some(entry) => input(change.key, Box::new(Ok(entry.value))),
                    None => continue,
                },
                Err(error) => match &error {
                    BusError::Malformed { key, .. } => input(key.clone(), Box::new(Err(error))),
                    _ => Input::Failed(error),
                },
            };
            if to.send(input).await.is_err() {
                return;
            }
        }
    });
}
