//! What a service manager is told: systemd with `Type=notify`. Without one, nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// A role at work. Ends the signs of life when it is dropped.
#[must_use = "the signs of life end with it"]
pub(crate) struct AtWork {
    signs: Option<JoinHandle<()>>,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let Some(signs) = &self.signs {
            signs.abort();
        }
    }
}

/// Says that the role is ready, and from then on that it is alive, as often as the service manager's watchdog wants.
///
/// The signs of life come from the runtime that does the work: they stop when it is stuck, not when the broker is away,
/// which a restart would not mend.
pub(crate) fn at_work() -> AtWork {
    say(&[NotifyState::Ready]);
    let signs = sd_notify::watchdog_enabled().map(|limit| tokio::spawn(give_signs(limit / 2)));
    AtWork { signs }
}

/// Says that the role was told to end and finishes what it began.
pub(crate) fn stopping() {
    say(&[NotifyState::Stopping]);
}

async fn give_signs(period: Duration) {
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        say(&[NotifyState::Watchdog]);
    }
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
