//! Messages as the broker delivers them: again and again until a handler is done, or has died in the middle.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bus::runtime::{Delivery, Handler, TaskError};
use jiff::Timestamp;
use model::id::CycleId;
use model::name::RackName;
use model::subject::Subject;
use model::task::{Submit, Task, Tick, Watch};
use tokio::task::JoinSet;

use super::Rack;

/// More deliveries than any test needs; the broker's own budget is about the same.
const MOST: u32 = 15;

/// A task in a message.
#[derive(Debug, Clone)]
pub(crate) struct Letter<T> {
    pub(crate) task: T,
    pub(crate) delivery: Delivery,
}

impl<T> Letter<T> {
    pub(crate) fn new(task: T, subject: &Subject) -> Self {
        let now = Timestamp::now();
        let delivery = Delivery {
            attempt: 1,
            last: false,
            subject: subject.to_string(),
            stored_at: now,
            sequence: 1,
            stream_created: now,
            scheduler: None,
        };
        Self { task, delivery }
    }

    /// The next delivery of the same message.
    pub(crate) fn again(mut self) -> Self {
        self.delivery.attempt += 1;
        self
    }

    /// The same message, delivered because one on this subject became due.
    pub(crate) fn scheduled_by(mut self, subject: Subject) -> Self {
        self.delivery.scheduler = Some(subject);
        self
    }
}

impl Letter<Tick> {
    pub(crate) fn tick(rack: &RackName) -> Self {
        Self::new(Tick::of(rack.clone()), &Subject::Tick)
    }

    /// The cycle that this tick becomes.
    pub(crate) fn cycle(&self) -> CycleId {
        if let Some(resume) = &self.task.resume {
            return resume.cycle;
        }
        if let Some(Subject::Slot { rack, slot }) = &self.delivery.scheduler {
            return CycleId::of_slot(rack, *slot);
        }
        if let Some(nonce) = self.task.nonce {
            return CycleId::of_request(&self.task.rack, nonce);
        }
        let Delivery {
            stream_created,
            sequence,
            stored_at,
            ..
        } = self.delivery;
        CycleId::of_message(&self.task.rack, stream_created, sequence, stored_at)
    }
}

impl Letter<Submit> {
    pub(crate) fn submit(task: &Submit) -> Self {
        let subject = Subject::Submit {
            rack: task.rack.clone(),
            machine: task.machine.clone(),
        };
        Self::new(task.clone(), &subject)
    }
}

impl Letter<Watch> {
    pub(crate) fn watch(task: &Watch) -> Self {
        let subject = Subject::Watch {
            rack: task.rack.clone(),
            machine: task.machine.clone(),
        };
        Self::new(task.clone(), &subject)
    }
}

/// Delivers a message to a fresh handler each time, as late as the last one wanted. Returns after how many deliveries
/// it was done, or why it was rejected.
async fn deliver<T: Task + Clone, H: Handler<T>>(
    letter: &Letter<T>,
    handler: impl Fn() -> H,
) -> Result<u32, String> {
    let mut delivery = letter.delivery.clone();
    loop {
        match handler().handle(letter.task.clone(), &delivery).await {
            Ok(()) => return Ok(delivery.attempt),
            Err(TaskError::Reject { why }) => return Err(why),
            Err(TaskError::Retry { after, why, .. }) => {
                assert!(delivery.attempt < MOST, "still not done: {why}");
                // This is the broker's delay, which handlers count on.
                tokio::time::sleep(after).await;
                delivery.attempt += 1;
            }
        }
    }
}

impl Rack {
    pub(crate) async fn deliver_tick(&self, letter: &Letter<Tick>) -> Result<u32, String> {
        deliver(letter, || self.ticker()).await
    }

    pub(crate) async fn deliver_submit(&self, letter: &Letter<Submit>) -> Result<u32, String> {
        deliver(letter, || self.submitter()).await
    }

    pub(crate) async fn deliver_watch(&self, letter: &Letter<Watch>) -> Result<u32, String> {
        deliver(letter, || self.watcher()).await
    }

    /// One delivery of a submit.
    pub(crate) async fn submit_once(&self, letter: &Letter<Submit>) -> Result<(), TaskError> {
        self.submitter()
            .handle(letter.task.clone(), &letter.delivery)
            .await
    }

    /// One delivery of a look.
    pub(crate) async fn watch_once(&self, letter: &Letter<Watch>) -> Result<(), TaskError> {
        self.watcher()
            .handle(letter.task.clone(), &letter.delivery)
            .await
    }

    /// One delivery of a tick.
    pub(crate) async fn tick_once(&self, letter: &Letter<Tick>) -> Result<(), TaskError> {
        self.ticker()
            .handle(letter.task.clone(), &letter.delivery)
            .await
    }
}

/// Drops a future when it suspends for the n-th time: a process that dies there, with its last request already on the
/// way. `None` when it died; otherwise what it came to before.
pub(crate) async fn killed_at<F: Future>(n: usize, future: F) -> Option<F::Output> {
    let mut left = n;
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            left = left.saturating_sub(1);
            if left == 0 {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        }
    })
    .await
}

/// Does the same for each case at the same time, each in a task of its own, and returns the results in no order.
pub(crate) async fn each<C, R: Send + 'static, F: Future<Output = R> + Send + 'static>(
    rack: &Arc<Rack>,
    cases: impl IntoIterator<Item = C>,
    work: impl Fn(Arc<Rack>, C) -> F,
) -> Vec<R> {
    let mut tasks = JoinSet::new();
    for case in cases {
        tasks.spawn(work(Arc::clone(rack), case));
    }
    tasks.join_all().await
}
