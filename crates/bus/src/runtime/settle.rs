//! Telling the broker what became of a message.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::connect::Bus;
use crate::wire::{NoAnswer, PATIENCE, pause};

/// The longest reason in a termination: the advisory that repeats it has to stay small.
const LONGEST_REASON: usize = 200;

/// It is done. A confirmed acknowledgement costs the broker a message more and the handler's place a round trip more. One
/// that is not confirmed can be lost with the connection: then the message comes again after `ack_wait`, which for a
/// handler is the same as a crash right before its acknowledgement, and every handler is written to be run twice.
pub(super) async fn done(bus: &Bus, reply: &str, confirmed: bool) {
    let payload = Bytes::from_static(b"+ACK");
    if confirmed {
        confirm(bus, reply, payload).await;
    } else {
        say(bus, reply, payload).await;
    }
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

/// Repeats until the broker confirms. A broker that came back from a crash may not remember that it gave the message
/// out: then it says nothing, and gives it out again.
async fn confirm(bus: &Bus, reply: &str, payload: Bytes) {
    let connections = bus.connections();
    let first = *connections.borrow();
    let since = Instant::now();
    let mut attempt = 0;
    let mut ignored = 0;
    loop {
        let before = *connections.borrow();
        match bus
            .ask_repeatable(reply.to_owned(), None, payload.clone())
            .await
        {
            Ok(_) => return,
            Err(NoAnswer::Late) if bus.is_connected() && before == *connections.borrow() => {
                ignored += 1
            }
            Err(NoAnswer::Denied(denial)) => {
                let error = denial.into_error("acknowledging a task");
                tracing::error!(%error, "the task will come again");
                return;
            }
            Err(none) => {
                tracing::debug!(?none, "an acknowledgement was not confirmed, trying again")
            }
        }
        let enough = if before == first { 2 } else { 1 };
        if ignored >= enough || since.elapsed() > PATIENCE {
            tracing::info!(
                "the broker did not confirm an acknowledgement, so the task may come a second time"
            );
            return;
        }
        tokio::time::sleep(pause(attempt)).await;
        attempt += 1;
    }
}
