//! One delivery of one message: judge it, do it, settle it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use futures_util::FutureExt;
use jiff::Timestamp;
use model::subject::Subject;
use model::task::TaskKind;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::Instrument;

use super::observer::{End, Observed, Observer};
use super::{Delivery, Handle, TaskError, is_traced, settle};
use crate::connect::Bus;
use crate::dead;
use crate::stored::{Receipt, Stored};
use crate::wire::header;

/// The longest delay that a growing back-off reaches.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// What all messages of one consumer have in common.
pub(super) struct Post {
    pub(super) bus: Bus,
    pub(super) worker: String,
    pub(super) kind: TaskKind,
    pub(super) stream: &'static str,
    pub(super) stream_created: Timestamp,
    pub(super) ack_wait: Duration,
    /// After how many deliveries the broker gives up; `None` is never.
    pub(super) max_deliver: Option<u32>,
    pub(super) handler: Arc<dyn Handle>,
    pub(super) observers: Vec<Arc<dyn Observer>>,
}

/// What shall become of a message.
enum Verdict {
    Done,
    Again { after: Duration, why: String },
    Dead { why: String },
}

/// Handles one delivery to its end. Never panics because of the handler or the message.
pub(super) async fn attempt(post: Arc<Post>, message: Message) {
    let Some(reply) = message.reply.as_deref() else {
        return;
    };
    let Some(receipt) = Receipt::parse(reply) else {
        tracing::error!(subject = %message.subject, "a message that comes from no stream was left alone");
        return;
    };
    let span = tracing::info_span!(
        "task",
        kind = post.kind.as_str(),
        subject = message.subject.as_str(),
        sequence = receipt.stream_sequence,
        attempt = receipt.delivered,
        traceparent = tracing::field::Empty,
        outcome = tracing::field::Empty
    );
    let waited = (receipt.delivered == 1)
        .then(|| Timestamp::now().duration_since(receipt.stored_at))
        .map(|waited| waited.try_into().unwrap_or_default());
    let observed = Observed::begin(&post, receipt.delivered, waited);
    let work = async {
        let verdict = post.judge(&message, &receipt).await;
        let end = post
            .settle(&message, receipt.delivered, reply, verdict)
            .await;
        if is_traced() {
            tracing::Span::current().record("outcome", end.as_str());
        }
        observed.ended(end);
    };
    keeping(&post, reply, work).instrument(span).await;
}

/// Tells the broker that the message is being worked on while it is.
async fn keeping(post: &Post, reply: &str, work: impl Future<Output = ()>) {
    let period = (post.ack_wait / 3).max(Duration::from_millis(100));
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(work);
    loop {
        tokio::select! {
            () = &mut work => return,
            _ = ticks.tick() => settle::progress(&post.bus, reply).await,
        }
    }
}

/// Doubles from one second, up to a minute.
fn backoff(attempt: u32) -> Duration {
    let exponent = attempt.saturating_sub(1).min(6);
    (Duration::from_secs(1) * 2u32.pow(exponent)).min(LONGEST_BACKOFF)
}

impl Post {
    /// No delivery is left after this one, as far as retries go. One is kept for a failure of the last step.
    fn is_last(&self, attempt: u32) -> bool {
        self.max_deliver
            .is_some_and(|most| attempt >= most.saturating_sub(1))
    }

    /// A tick that comes a second time reads its cycle and sends all its submits again; a submit or a look that does
    /// finds its job running or settled, and repeats one or two messages.
    fn is_confirmed(&self) -> bool {
        self.kind == TaskKind::Tick
    }

    async fn judge(&self, message: &Message, receipt: &Receipt) -> Verdict {
        let attempt = receipt.delivered;
        let scheduler = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get(header::SCHEDULER));
        let scheduler = match scheduler.map(|value| value.as_str().parse()).transpose() {
            Ok(scheduler) => scheduler,
            Err(why) => {
                return Verdict::Dead {
                    why: format!("it was scheduled from a foreign subject: {why}"),
                };
            }
        };
        if !belongs(&message.subject, self.kind) {
            return Verdict::Dead {
                why: format!(
                    "`{}` is not the subject of a {} task",
                    message.subject,
                    self.kind.as_str()
                ),
            };
        }
        let delivery = Delivery {
            attempt,
            last: self.is_last(attempt),
            subject: message.subject.to_string(),
            stored_at: receipt.stored_at,
            sequence: receipt.stream_sequence,
            stream_created: self.stream_created,
            scheduler,
        };
        let work = async {
            match self.handler.handle(&message.payload, &delivery) {
                Ok(work) => Ok(work.await),
                Err(bad) => Err(bad),
            }
        };
        // The handler's state may be torn by a panic only within what it shares, which is its own concern.
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(Ok(()))) => Verdict::Done,
            Ok(Ok(Err(TaskError::Reject { why }))) => Verdict::Dead { why },
            Ok(Ok(Err(TaskError::Retry { after, why }))) => Verdict::Again { after, why },
            Ok(Err(bad)) => Verdict::Dead {
                why: bad.to_string(),
            },
            Err(panic) => Verdict::Again {
                after: backoff(attempt),
                why: format!("the handler panicked: {}", said(&*panic)),
            },
        }
    }

    async fn settle(&self, message: &Message, attempt: u32, reply: &str, verdict: Verdict) -> End {
        let why = match verdict {
            Verdict::Done => {
                settle::done(&self.bus, reply, self.is_confirmed()).await;
                return End::Done;
            }
            Verdict::Again { after, why } if !self.is_last(attempt) => {
                tracing::info!(why, ?after, "the task will be tried again");
                settle::again(&self.bus, reply, after).await;
                return End::Again;
            }
            Verdict::Again { why, .. } => {
                format!("given up after {attempt} attempts; the last one said: {why}")
            }
            Verdict::Dead { why } => why,
        };
        self.bury(message, attempt, reply, &why).await
    }

    /// Keeps the message as a dead letter, and only then lets the broker drop it.
    async fn bury(&self, message: &Message, attempt: u32, reply: &str, why: &str) -> End {
        let Some((stored, _)) = Stored::from_delivery(message) else {
            return End::Again;
        };
        let letter = dead::letter(self.stream, &stored, why, attempt, &self.worker);
        let mut tries = 0;
        while let Err(error) = dead::keep(&self.bus, self.stream_created, &letter).await {
            tries += 1;
            // There is no later delivery any more, so it is held here until the letter is stored.
            if self.max_deliver.is_some_and(|most| attempt >= most) {
                tracing::error!(why, %error, "the dead letter cannot be stored, trying on");
                tokio::time::sleep(backoff(tries)).await;
            } else {
                tracing::error!(why, %error, "the dead letter cannot be stored; the message will come again");
                settle::again(&self.bus, reply, backoff(attempt)).await;
                return End::Again;
            }
        }
        tracing::error!(why, "the task became a dead letter");
        settle::terminated(&self.bus, reply, why).await;
        End::Dead
    }
}

/// Whether messages on this subject are tasks of this kind.
fn belongs(subject: &str, kind: TaskKind) -> bool {
    matches!(
        (subject.parse(), kind),
        (Ok(Subject::Tick), TaskKind::Tick)
            | (Ok(Subject::Submit { .. }), TaskKind::Submit)
            | (Ok(Subject::Watch { .. }), TaskKind::Watch)
    )
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_a_minute() {
        let seconds: Vec<u64> = (0..=9).map(|attempt| backoff(attempt).as_secs()).collect();
        assert_eq!(seconds, [1, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_subject_belongs_to_one_kind() {
        assert!(belongs("rack.tick", TaskKind::Tick));
        assert!(belongs("task.submit.r1.m1", TaskKind::Submit));
        assert!(belongs("task.watch.r1.m1", TaskKind::Watch));
        assert!(!belongs("task.watch.r1.m1", TaskKind::Submit));
        assert!(!belongs("task.submit.r1", TaskKind::Submit));
        assert!(!belongs("task.submit.r1.=zz", TaskKind::Submit));
    }
}
