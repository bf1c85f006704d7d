//! The thread that owns the writer: SQLite blocks, and a transaction is not to be torn.

use std::thread;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::{FollowError, Progress};
use crate::history::{Batch, HistoryError, Writer};

/// How many orders may wait: one is worked on while the next is gathered.
const WAITING: usize = 2;

/// What the writer is told.
pub(super) enum Order {
    /// Fold these events in. The stream held so many messages more.
    Write { batch: Batch, pending: u64 },
    /// Forget what happened before this time.
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

    /// Waits until all orders are carried out. Why it ended is told once.
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
    while let Some(order) = orders.blocking_recv() {
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
            Order::Forget { before } => while writer.forget(before)? > 0 {},
        }
    }
    Ok(())
}
