//! What is not in events, read from the broker again and again.

use std::convert::Infallible;
use std::time::Duration;

use bus::BusError;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// Reads again and again, and tells what was read. While the broker is away, the last of it stays.
pub(crate) async fn poll<T>(
    what: &str,
    every: Duration,
    into: &watch::Sender<T>,
    read: impl AsyncFn(&T) -> Result<T, BusError>,
) -> Infallible
where
    T: Clone + PartialEq,
{
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        ticks.tick().await;
        let last = into.borrow().clone();
        match read(&last).await {
            Ok(read) => {
                told = false;
                into.send_if_modified(|known| {
                    let changed = *known != read;
                    *known = read;
                    changed
                });
            }
            // Of trouble that lasts, the first is enough.
            Err(error) => {
                if !told {
                    tracing::warn!(%error, "{what} cannot be read, trying again");
                }
                told = true;
            }
        }
    }
}
