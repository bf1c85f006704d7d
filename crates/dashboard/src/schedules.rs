//! What is not in events: the racks' schedules, pauses and next slots, from the bucket `racks`.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use bus::BusError;
use jiff::Timestamp;
use ledger::{Ledger, stored};
use model::name::RackName;
use model::rack::RackRecord;
use plan::slots::Slots;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// How often the bucket is read: a person who pauses a rack looks at once whether it is paused.
const EVERY: Duration = Duration::from_secs(3);

/// The records of all racks that were added, and when they were read.
#[derive(Debug, Clone, Default)]
pub struct Schedules {
    /// By rack. A record that cannot be read is left out.
    pub racks: BTreeMap<RackName, RackRecord>,
    /// When that was so; `None`: nothing was read yet.
    pub at: Option<Timestamp>,
}

impl Schedules {
    /// When the rack ticks next, unless it is paused, was never added, or has no slot any more.
    pub fn next_slot(&self, rack: &RackName, now: Timestamp) -> Option<Timestamp> {
        let record = self.racks.get(rack)?;
        match record.paused {
            Some(_) => None,
            None => Slots::new(&record.schedule, rack).ok()?.after(now),
        }
    }
}

/// Keeps the schedules up with the bucket until `shutdown` resolves. While the broker is away, the last ones stay.
pub async fn follow(
    ledger: &Ledger,
    schedules: &watch::Sender<Schedules>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reading = async {
        let mut told = false;
        loop {
            ticks.tick().await;
            match read(ledger).await {
                Ok(read) => {
                    told = false;
                    schedules.send_replace(read);
                }
                Err(error) if !told => {
                    told = true;
                    tracing::warn!(%error, "the racks' schedules cannot be read, trying again");
                }
                Err(_) => {}
            }
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = reading => {}
    }
}

async fn read(ledger: &Ledger) -> Result<Schedules, BusError> {
    let at = Timestamp::now();
    let racks = stored::racks(ledger).await?;
    Ok(Schedules {
        racks: racks
            .into_iter()
            .filter_map(|(rack, record)| Some((rack, record.ok()?)))
            .collect(),
        at: Some(at),
    })
}
