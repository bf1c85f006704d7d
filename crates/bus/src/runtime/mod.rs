//! The task runtime: takes work from the durable consumers, hands it to handlers, and settles every message.
//!
//! | a handler | its message |
//! | --- | --- |
//! | returns | is acknowledged; a tick's acknowledgement is confirmed by the broker |
//! | wants a retry | comes back after the delay it named |
//! | panics | comes back, later each time |
//! | rejects, or wants a retry when the delivery budget ends | becomes a dead letter, then is terminated |
//! | is never called, because subject or body are no task | the same |
//! | runs long | is kept by progress every third of the consumer's `ack_wait` |
//!
//! There are never more messages in the process than handlers may run, so none waits unattended.

mod attempt;
mod line;
mod observer;
mod settle;

use std::future::Future;
use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use model::subject::Subject;
use model::task::{BadTask, Task};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::connect::Bus;
use crate::wire::ONE_TRY;
use line::Line;

pub use observer::{End, Observer};

/// Does the work of one kind of task. Deliveries repeat, so it is written to be run twice.
pub trait Handler<T: Task>: Send + Sync + 'static {
    /// Does what the task says.
    fn handle(
        &self,
        task: T,
        delivery: &Delivery,
    ) -> impl Future<Output = Result<(), TaskError>> + Send;
}

/// What is known of a task's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// How often the message was delivered, this time included.
    pub attempt: u32,
    /// A retry asked for now makes the message a dead letter.
    pub last: bool,
    /// Where it was published.
    pub subject: String,
    /// When it was stored, by the broker's clock.
    pub stored_at: Timestamp,
    /// Its number in the stream. Unique only together with `stream_created` and `stored_at`.
    pub sequence: u64,
    /// When the stream was created.
    pub stream_created: Timestamp,
    /// The subject on which it had waited, when it was held back until a time.
    pub scheduler: Option<Subject>,
}

/// Why a handler did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// May succeed later.
    #[error("{why}")]
    Retry {
        /// How much later.
        after: Duration,
        /// What is in the way.
        why: String,
    },
    /// Cannot succeed.
    #[error("{why}")]
    Reject {
        /// Why not; the dead letter's reason.
        why: String,
    },
}

impl TaskError {
    /// To be tried again after a while.
    pub fn retry(after: Duration, why: impl Into<String>) -> Self {
        Self::Retry {
            after,
            why: why.into(),
        }
    }

    /// Never to be tried again.
    pub fn reject(why: impl Into<String>) -> Self {
        Self::Reject { why: why.into() }
    }
}

type Work<'a> = Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send + 'a>>;

/// A handler whose task type is forgotten.
trait Handle: Send + Sync {
    fn handle<'a>(&'a self, body: &[u8], delivery: &'a Delivery) -> Result<Work<'a>, BadTask>;
}

struct Typed<T, H> {
    handler: H,
    task: PhantomData<fn(T)>,
}

impl<T: Task, H: Handler<T>> Handle for Typed<T, H> {
    fn handle<'a>(&'a self, body: &[u8], delivery: &'a Delivery) -> Result<Work<'a>, BadTask> {
        let task = T::parse(body)?;
        if let Some(traceparent) = task.traceparent() {
            part_of(traceparent);
        }
        Ok(Box::pin(self.handler.handle(task, delivery)))
    }
}

/// Says of which trace the task is a part that is being handled, where somebody traces.
pub fn part_of(traceparent: &str) {
    if is_traced() {
        tracing::Span::current().record("traceparent", traceparent);
    }
}

/// Whether anybody wants to know. Without, nothing is written into spans.
pub(crate) fn is_traced() -> bool {
    tracing::enabled!(target: "trace", tracing::Level::TRACE)
}

/// A worker's kinds of work.
pub struct Runtime {
    bus: Bus,
    name: String,
    observers: Vec<Arc<dyn Observer>>,
    lines: Vec<Line>,
}

/// How a runtime ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// Tasks that were under way and came to their end within the grace.
    pub finished: usize,
    /// Tasks that were delivered, not begun, and handed back at once.
    pub returned: usize,
    /// Tasks that were cut off; they will be delivered again.
    pub aborted: usize,
}

impl Runtime {
    /// A runtime without work. The name stands in dead letters.
    pub fn new(bus: Bus, name: impl Into<String>) -> Self {
        Self {
            bus,
            name: name.into(),
            observers: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Lets these see the work that is added from now on.
    #[must_use]
    pub fn observed(self, observers: Vec<Arc<dyn Observer>>) -> Self {
        Self { observers, ..self }
    }

    /// Adds a kind of work, of which up to `concurrency` (at least one) are done at the same time.
    #[must_use]
    pub fn register<T: Task, H: Handler<T>>(mut self, handler: H, concurrency: usize) -> Self {
        let handler = Arc::new(Typed {
            handler,
            task: PhantomData,
        });
        self.lines.push(Line::new(
            self.bus.clone(),
            &self.name,
            T::KIND,
            concurrency.max(1),
            handler,
            self.observers.clone(),
        ));
        self
    }

    /// Works until `shutdown`, then takes nothing more, hands back what was not begun, and gives what was begun the
    /// grace to finish. Trouble with the broker is waited out, and logged once.
    pub async fn run(self, shutdown: impl Future<Output = ()>, grace: Duration) -> Drained {
        let (stop, stopped) = watch::channel(false);
        let mut lines = JoinSet::new();
        for line in self.lines {
            lines.spawn(line.run(stopped.clone(), grace));
        }
        tokio::pin!(shutdown);
        let mut total = Drained::default();
        loop {
            let ended = tokio::select! {
                () = &mut shutdown, if !*stop.borrow() => {
                    stop.send_replace(true);
                    continue;
                }
                // Without any kind of work, only the shutdown ends it.
                ended = lines.join_next(), if !lines.is_empty() || *stop.borrow() => ended,
            };
            match ended {
                None => break,
                Some(Ok(drained)) => {
                    total.finished += drained.finished;
                    total.returned += drained.returned;
                    total.aborted += drained.aborted;
                }
                // A line never ends by itself: this is a mistake in this module, and no state to go on from.
                Some(Err(error)) => match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    Err(_) => break,
                },
            }
        }
        // What was handed back has to leave before the process does.
        if tokio::time::timeout(ONE_TRY, self.bus.client.flush())
            .await
            .is_err()
        {
            tracing::debug!("the broker did not confirm the last words");
        }
        total
    }
}
