#![doc = include_str!("../README.md")]

mod arm;
mod observer;
mod rouse;
mod sweep;
mod view;
mod waiting;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bus::{BusError, Changes, Start};
use jiff::Timestamp;
use ledger::{Ledger, LedgerError};
use model::policy::Policy;
use model::rack::RackRecord;
use model::speed::Speed;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::sweep::Sweep;

pub use observer::{Lost, Observer, Pass};

/// How often the armed slots are compared with what the racks want, when nobody changes a rack. At least two slots of
/// each rack are armed, and no schedule ticks twice as often as this.
const ARM_EVERY: Duration = Duration::from_secs(20);

/// No pass comes more often than this, whatever is asked for.
const SHORTEST: Duration = Duration::from_millis(100);

/// Nor less often, so that no instant is out of reach.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// What a scheduler is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The policy of racks that set nothing else, in real time.
    pub policy: Policy,
    /// By how much waits are divided.
    pub speed: Speed,
    /// The settle time of submits, at the speed in force. The sweep leaves alone what is younger, and comes round as
    /// often.
    pub settle: Duration,
}

/// Keeps slots armed and sweeps until `shutdown` resolves.
///
/// # Errors
/// When the broker cannot be watched for good. A pass that fails is logged and made again.
pub async fn run(
    settings: Settings,
    ledger: Ledger,
    observers: Vec<Arc<dyn Observer>>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), BusError> {
    let changes = ledger.racks().changes(Start::New).await?;
    tokio::select! {
        // A pass may be cut off anywhere: whoever comes next finds what is missing.
        () = shutdown => Ok(()),
        result = work(&settings, &ledger, &observers, changes) => result,
    }
}

async fn work(
    settings: &Settings,
    ledger: &Ledger,
    observers: &[Arc<dyn Observer>],
    mut changes: Changes<RackRecord>,
) -> Result<(), BusError> {
    let mut sweep = Sweep::new(ledger.clone(), settings.clone(), observers);
    let mut arming = every(settings.speed.shorten(ARM_EVERY), Duration::ZERO);
    // The first sweep waits: what is under way right after a start is not lost.
    let mut sweeping = every(settings.settle, settings.settle);
    loop {
        tokio::select! {
            // A change only wakes the pass up: what to do follows from reading everything.
            change = changes.next() => match change {
                Ok(_) | Err(BusError::Malformed { .. }) => arming.reset_immediately(),
                Err(error) => return Err(error),
            },
            _ = arming.tick() => {
                let pass = arm::pass(ledger, Timestamp::now());
                if let Some(armed) = watched(observers, Pass::Arm, pass).await {
                    for observer in observers {
                        observer.armed(armed);
                    }
                }
            }
            _ = sweeping.tick() => {
                watched(observers, Pass::Sweep, sweep.pass(Timestamp::now())).await;
            }
        }
    }
}

fn every(period: Duration, first: Duration) -> tokio::time::Interval {
    let first = Instant::now() + first.min(LONGEST);
    let mut interval = interval_at(first, period.clamp(SHORTEST, LONGEST));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Makes a pass and tells how it went. What it brought; nothing when it failed.
async fn watched<T>(
    observers: &[Arc<dyn Observer>],
    pass: Pass,
    work: impl Future<Output = Result<T, LedgerError>>,
) -> Option<T> {
    let begun = Instant::now();
    let result = work.await;
    for observer in observers {
        observer.passed(pass, result.is_ok(), begun.elapsed());
    }
    let what = match pass {
        Pass::Arm => "arming slots",
        Pass::Sweep => "sweeping",
    };
    result
        .inspect_err(|error| tracing::warn!("{what} failed and will be tried again: {error}"))
        .ok()
}
