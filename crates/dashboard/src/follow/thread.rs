//! The thread that owns the writer: SQLite blocks, and a transaction is not to be torn.

use std::thread;

use jiff::Timestamp;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};

use super::{FollowError, Progress};
use crate::history::{Batch, HistoryError, Writer};

/// How many orders may wait: one is worked on while the next is gathered.
const WAITING: usize = 2;

/// What the writer is told.
pub(super) enum Order {
    /// Fold these events in. The stream held so many messages more.
    Write { batch: Batch, pending: u64 },
    /// Forget what happened before this time, while there is nothing to write.
    Forget { before: Timestamp },
}

pub(super) struct WriterThread {
    /// `None`: it was told to end.
    orders: Option<mpsc::Sender<Order>>,
    ended: Option<oneshot::Receiver<Result<(), HistoryError>>>,
}

impl WriterThread {
    pub(super) fn start(writer: Writer, progress: watch::Sender<Progress>) -> Self {
        let (orders, waiting) = mpsc::channel(WAITING);
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            let ended = work(writer, waiting, &progress);
            // Nobody may be left who wants to know.
            let _ = end.send(ended);
        });
        Self {
            orders: Some(orders),
            ended: Some(ended),
        }
    }

    /// Gives an order; waits while others wait.
    pub(super) async fn order(&mut self, order: Order) -> Result<(), FollowError> {
        let taken = match &self.orders {
            Some(orders) => orders.send(order).await.is_ok(),
            None => false,
        };
        if taken {
            return Ok(());
        }
        self.end().await.and(Err(FollowError::Writer))
    }

    /// Waits until everything is written. Why it ended is told once.
    pub(super) async fn end(&mut self) -> Result<(), FollowError> {
        self.orders = None;
        match self.ended.take() {
            Some(ended) => ended
                .await
                .map_err(|_| FollowError::Writer)?
                .map_err(Into::into),
            None => Ok(()),
        }
    }
}

fn work(
    mut writer: Writer,
    orders: mpsc::Receiver<Order>,
    progress: &watch::Sender<Progress>,
) -> Result<(), HistoryError> {
    let ended = carry_out(&mut writer, orders, progress);
    if let Err(HistoryError::Damaged { .. }) = &ended {
        let aside = writer.put_aside()?;
        tracing::error!(aside = %aside.display(), "the history file is damaged and was put aside");
    }
    ended
}

fn carry_out(
    writer: &mut Writer,
    mut orders: mpsc::Receiver<Order>,
    progress: &watch::Sender<Progress>,
) -> Result<(), HistoryError> {
    let mut is_whole = false;
    let mut to_forget = None;
    while let Some(order) = next(&mut orders, to_forget) {
        match order {
            Order::Write { batch, pending } => {
                let now = Timestamp::now();
                let learnt = writer.write(&batch, now)?;
                if pending == 0 && !is_whole {
                    writer.note_whole()?;
                    is_whole = true;
                }
                progress.send_modify(|progress| {
                    progress.position = Some(batch.position);
                    progress.pending = pending;
                    progress.at = Some(now);
                    progress.learnt += u64::try_from(learnt).unwrap_or(u64::MAX);
                });
            }
            Order::Forget { before } => {
                to_forget = (writer.forget(before)? > 0).then_some(before);
            }
        }
    }
    Ok(())
}

/// The next order; while none waits and there is more to forget, that. There may be much of it and it is not urgent:
/// neither what is learnt nor the end waits for it.
fn next(orders: &mut mpsc::Receiver<Order>, to_forget: Option<Timestamp>) -> Option<Order> {
    let Some(before) = to_forget else {
        return orders.blocking_recv();
    };
    match orders.try_recv() {
        Ok(order) => Some(order),
        Err(TryRecvError::Empty) => Some(Order::Forget { before }),
        Err(TryRecvError::Disconnected) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;
    use model::cycle::Origin;
    use model::event::{Event, Fact};
    use model::id::CycleId;
    use model::name::RackName;

    use super::*;
    use crate::history::{History, Position};

    /// More than are forgotten at once.
    const CYCLES: usize = 100;

    fn nothing() -> Batch {
        Batch {
            events: Vec::new(),
            actions: Vec::new(),
            ignored: 0,
            position: Position {
                stream_created: Timestamp::UNIX_EPOCH,
                sequence: 1,
                stored_at: None,
            },
        }
    }

    fn cycles() -> Vec<Event> {
        let rack = RackName::new("r1").unwrap();
        let slots = (0..CYCLES as i64).map(SignedDuration::from_hours);
        slots
            .map(|after| Timestamp::UNIX_EPOCH + after)
            .map(|slot| Event {
                time: slot,
                rack: rack.clone(),
                cycle: CycleId::of_slot(&rack, slot),
                fact: Fact::CycleStarted {
                    origin: Origin::Slot { slot },
                },
            })
            .collect()
    }

    fn left(history: &History) -> usize {
        let cycles = history.read(|reading| reading.cycles(None, None, CYCLES));
        cycles.unwrap().items.len()
    }

    #[test]
    fn neither_what_is_learnt_nor_the_end_waits_until_all_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
        writer.fold(&cycles(), &[]).unwrap();
        let (orders, waiting) = mpsc::channel(WAITING);
        let before = Timestamp::now();
        orders.try_send(Order::Forget { before }).unwrap();
        let write = Order::Write {
            batch: nothing(),
            pending: 0,
        };
        orders.try_send(write).unwrap();
        drop(orders);
        let (told, progress) = watch::channel(Progress::default());
        carry_out(&mut writer, waiting, &told).unwrap();
        assert!(progress.borrow().at.is_some(), "it is written");
        let left = left(&history);
        assert!((1..CYCLES).contains(&left), "{left}");
    }

    #[tokio::test]
    async fn all_is_forgotten_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
        writer.fold(&cycles(), &[]).unwrap();
        let mut thread = WriterThread::start(writer, watch::channel(Progress::default()).0);
        let before = Timestamp::now();
        thread.order(Order::Forget { before }).await.unwrap();
        testkit::until(Duration::from_secs(30), "all is forgotten", async || {
            left(&history) == 0
        })
        .await;
        thread.end().await.unwrap();
    }
}
