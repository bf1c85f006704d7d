//! Telling the broker what became of a message.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::connect::Bus;
use crate::wire::{PATIENCE, pause};

/// The longest reason in a termination: the advisory that repeats it has to stay small.
const LONGEST_REASON: usize = 200;

/// It is done. Confirmed, because an unconfirmed one can be lost with the broker.
pub(super) async fn done(bus: &Bus, reply: &str) {
    confirm(bus, reply, Bytes::from_static(b"+ACK")).await;
}

/// It will never be done, and is kept as a dead letter.
pub(super) async fn terminated(bus: &Bus, reply: &str, reason: &str) {
    let reason: String = reason
        .chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_REASON)
        .collect();
    confirm(bus, reply, format!("+TERM {reason}").into()).await;
}

/// It shall come again, after this long. When that is lost on the way, it comes again after `ack_wait`.
pub(super) async fn again(bus: &Bus, reply: &str, after: Duration) {
    let payload = match after.as_nanos() {
        0 => Bytes::from_static(b"-NAK"),
        nanoseconds => format!("-NAK {{\"delay\": {nanoseconds}}}").into(),
    };
    say(bus, reply, payload).await;
}

/// It is still being worked on.
pub(super) async fn progress(bus: &Bus, reply: &str) {
    say(bus, reply, Bytes::from_static(b"+WPI")).await;
}

async fn say(bus: &Bus, reply: &str, payload: Bytes) {
    if let Err(error) = bus.client.publish(reply.to_owned(), payload).await {
        tracing::debug!(%error, "a word about a message could not be sent");
    }
}

async fn confirm(bus: &Bus, reply: &str, payload: Bytes) {
    let since = Instant::now();
    let mut attempt = 0;
    while let Err(none) = bus.ask(reply.to_owned(), None, payload.clone()).await {
        if since.elapsed() > PATIENCE {
            tracing::warn!(
                ?none,
                "the broker did not confirm an acknowledgement; the task may be done a second time"
            );
            return;
        }
        tokio::time::sleep(pause(attempt)).await;
        attempt += 1;
    }
}
