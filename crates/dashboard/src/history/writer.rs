//! The one that writes.

use std::path::PathBuf;

use jiff::Timestamp;
use model::action::RackEvent;
use model::event::Event;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::error::HistoryError;
use super::file;
use super::fold::{Fold, NO_CYCLE};
use super::tally::Tally;
use super::time::{nanos, time};

/// How many cycles are forgotten in one transaction: each may have thousands of rows, and the writer is wanted.
const FORGET_AT_ONCE: usize = 20;

/// How far a stream was followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// When the stream was created.
    pub stream_created: Timestamp,
    /// The last message that was followed; 0: none.
    pub sequence: u64,
    /// When the broker stored that message.
    pub stored_at: Option<Timestamp>,
}

/// Events that follow each other in the stream, and where they end.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The events, in any order.
    pub events: Vec<Event>,
    /// The events about racks, in any order.
    pub actions: Vec<RackEvent>,
    /// How many messages were no event that this program knows.
    pub ignored: u64,
    /// The position after them.
    pub position: Position,
}

/// Writes the file. There is to be one.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    connection: Connection,
}

impl Writer {
    pub(crate) fn new(path: PathBuf, connection: Connection) -> Self {
        Self { path, connection }
    }

    /// How far the file has followed the stream; `None` when it is new.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn position(&self) -> Result<Option<Position>, HistoryError> {
        let read = self.connection.query_row(
            "SELECT stream_created, sequence, stored_at FROM position",
            [],
            |row| {
                Ok(Position {
                    stream_created: time(row.get(0)?),
                    sequence: row.get(1)?,
                    stored_at: row.get::<_, Option<i64>>(2)?.map(time),
                })
            },
        );
        read.optional()
            .map_err(|error| HistoryError::using(&self.path, error))
    }

    /// Folds events in, and stores the position, as one. Says how many of the events were not known before.
    ///
    /// # Errors
    /// When the file cannot be written; then nothing of the batch is in it.
    pub fn write(&mut self, batch: &Batch, now: Timestamp) -> Result<usize, HistoryError> {
        self.try_write(batch, now)
            .map_err(|error| HistoryError::using(&self.path, error))
    }

    /// Notes, once, that all that the stream held is known: what is learnt from now on is news.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note_whole(&mut self) -> Result<(), HistoryError> {
        self.connection
            .execute(
                "UPDATE file SET whole = (SELECT coalesce(max(number), 0) FROM events) WHERE whole IS NULL",
                [],
            )
            .map(drop)
            .map_err(|error| HistoryError::using(&self.path, error))
    }

    /// Folds events in that are not from the stream: how far that was followed stays what it is. Says how many of them
    /// were not known before.
    ///
    /// # Errors
    /// When the file cannot be written; then none of them is in it.
    pub fn fold(&mut self, events: &[Event], actions: &[RackEvent]) -> Result<usize, HistoryError> {
        self.try_fold(events, actions)
            .map_err(|error| HistoryError::using(&self.path, error))
    }

    fn try_fold(&mut self, events: &[Event], actions: &[RackEvent]) -> rusqlite::Result<usize> {
        let transaction = self.begin()?;
        let fresh = fold(&transaction, events, actions)?;
        if let Some(newest) = newest(events, actions) {
            transaction.execute(
                "UPDATE position SET newest = ?1 WHERE newest IS NULL OR newest < ?1",
                [newest],
            )?;
        }
        transaction.commit()?;
        Ok(fresh)
    }

    /// Waits for others that write, so that what is read here is still true when it is written upon.
    fn begin(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
    }

    /// Puts the file aside, so that the next one to open it makes it anew. For a file that turned out to be damaged.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn put_aside(self) -> Result<PathBuf, HistoryError> {
        drop(self.connection);
        file::put_aside(&self.path)
    }

    fn try_write(&mut self, batch: &Batch, now: Timestamp) -> rusqlite::Result<usize> {
        let transaction = self.begin()?;
        let fresh = fold(&transaction, &batch.events, &batch.actions)?;
        let newest = newest(&batch.events, &batch.actions);
        transaction.execute(
            "INSERT INTO position (one, stream_created, sequence, stored_at, newest, ignored, at)
             VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (one) DO UPDATE SET
                 stream_created = excluded.stream_created, sequence = excluded.sequence,
                 stored_at = excluded.stored_at, newest = coalesce(max(newest, excluded.newest), newest, excluded.newest),
                 ignored = ignored + excluded.ignored, at = excluded.at",
            params![
                nanos(batch.position.stream_created),
                batch.position.sequence,
                batch.position.stored_at.map(nanos),
                newest,
                batch.ignored,
                nanos(now),
            ],
        )?;
        transaction.commit()?;
        Ok(fresh)
    }

    /// Forgets what people did to racks before this time, and the cycles that began before it, with everything about them,
    /// and the machines that no cycle is left of. Says how many cycles there were to forget; call it again until that is 0.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn forget(&mut self, before: Timestamp) -> Result<usize, HistoryError> {
        self.try_forget(before)
            .map_err(|error| HistoryError::using(&self.path, error))
    }

    fn try_forget(&mut self, before: Timestamp) -> rusqlite::Result<usize> {
        let transaction = self.begin()?;
        let old = transaction
            .prepare("SELECT cycle FROM cycles WHERE at < ?1 ORDER BY at LIMIT ?2")?
            .query_map(params![nanos(before), FORGET_AT_ONCE], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<[u8; 16]>>>()?;
        let mut tally = Tally::new(&transaction)?;
        for cycle in &old {
            tally.cycle(cycle, -1)?;
            for table in ["events", "retries", "decisions", "jobs", "cycles"] {
                transaction.execute(&format!("DELETE FROM {table} WHERE cycle = ?1"), [cycle])?;
            }
        }
        tally.write()?;
        drop(tally);
        let before = nanos(before);
        transaction.execute("DELETE FROM actions WHERE at < ?1", [before])?;
        transaction.execute(
            "DELETE FROM events WHERE cycle = ?1 AND at < ?2",
            params![NO_CYCLE, before],
        )?;
        if !old.is_empty() {
            transaction.execute(
                "DELETE FROM members WHERE at < ?1 AND NOT EXISTS (
                     SELECT 1 FROM decisions d WHERE d.cycle = members.cycle AND d.machine = members.machine)",
                [before],
            )?;
            transaction.execute(
                "DELETE FROM machines WHERE NOT EXISTS (
                     SELECT 1 FROM decisions d WHERE d.machine = machines.machine)",
                [],
            )?;
            // What was known of a machine stays in its standing; the job itself is not there any more.
            transaction.execute(
                "UPDATE machines SET cycle = NULL, outcome = NULL, outcome_at = NULL, cause = NULL, phase = NULL,
                     exit_code = NULL, http_status = NULL, message = NULL
                 WHERE cycle IS NOT NULL AND NOT EXISTS (
                     SELECT 1 FROM jobs j WHERE j.cycle = machines.cycle AND j.machine = machines.machine)",
                [],
            )?;
        }
        transaction.commit()?;
        Ok(old.len())
    }
}

fn fold(
    connection: &Connection,
    events: &[Event],
    actions: &[RackEvent],
) -> rusqlite::Result<usize> {
    let mut fold = Fold::new(connection)?;
    let mut fresh = 0;
    for event in events {
        fresh += usize::from(fold.apply(event)?);
    }
    for event in actions {
        fresh += usize::from(fold.apply_action(event)?);
    }
    fold.finish()?;
    Ok(fresh)
}

fn newest(events: &[Event], actions: &[RackEvent]) -> Option<i64> {
    let times = events.iter().map(|event| event.time);
    times
        .chain(actions.iter().map(|event| event.action.at))
        .map(nanos)
        .max()
}
