//! The history file: a projection of the event stream in SQLite.
//!
//! One [`Writer`] folds events into it, each batch in one transaction that also stores how far the stream was followed.
//! Any number of readers ask it through [`History`], each on a connection of its own that sees one moment.

mod error;
mod file;
mod fold;
pub(crate) mod lengths;
mod outcomes;
mod retention;
pub mod standing;
pub(crate) mod tally;
pub(crate) mod time;
mod writer;

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rusqlite::Connection;

pub use error::HistoryError;
pub(crate) use fold::is_ours;
pub(crate) use outcomes::standing_at;
pub use retention::Retention;
pub use writer::{Batch, Position, Writer};

/// How many connections are kept for readers to come.
const KEPT: usize = 4;

/// The file, for reading.
#[derive(Debug, Clone)]
pub struct History {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// One moment of the file: all queries on it see the same rows.
pub struct Reading<'c> {
    pub(crate) connection: &'c Connection,
    /// The reader's clock, for what depends on it, such as what is stale.
    pub now: Timestamp,
}

/// A file that no other process takes as long as this is held.
#[derive(Debug)]
#[must_use = "the file is given back with it"]
pub struct Alone(#[expect(dead_code, reason = "it is the lock")] File);

impl History {
    /// Takes the file for this process, as the one that follows the events into it. What locks it is a file beside it,
    /// as SQLite's own locks end with whatever closes the file.
    ///
    /// # Errors
    /// When another process has it, or its folder must not be written.
    pub fn alone(path: &Path) -> Result<Alone, HistoryError> {
        let mut beside = OsString::from(path);
        beside.push(".lock");
        let path = || path.to_owned();
        let lock = |source| HistoryError::Lock {
            path: path(),
            source,
        };
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(beside);
        let file = file.map_err(lock)?;
        match file.try_lock() {
            Ok(()) => Ok(Alone(file)),
            Err(TryLockError::WouldBlock) => Err(HistoryError::Taken { path: path() }),
            Err(TryLockError::Error(source)) => Err(lock(source)),
        }
    }

    /// Opens the file, and makes it when it is not there. A file that is damaged, of a later version or of another
    /// program is put aside (`<name>.aside-1`) and a new one takes its place.
    ///
    /// # Errors
    /// When there is no such folder, or it must not be written.
    pub fn open(path: &Path) -> Result<(Self, Writer), HistoryError> {
        let writer = Writer::new(path.to_owned(), file::open(path)?);
        let inner = Inner {
            path: path.to_owned(),
            idle: Mutex::default(),
        };
        Ok((
            Self {
                inner: Arc::new(inner),
            },
            writer,
        ))
    }

    /// Opens a file that is there, as it is, for reading alone. A dashboard may be at work on it.
    ///
    /// # Errors
    /// When there is none, or it is damaged, of another version or of another program.
    pub fn existing(path: &Path) -> Result<Self, HistoryError> {
        file::usable(path)?;
        let inner = Inner {
            path: path.to_owned(),
            idle: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Opens a file as it is to fold into it what is not from the stream, and makes it when it is not there. A dashboard
    /// may be at work on it.
    ///
    /// # Errors
    /// When it is damaged, of another version or of another program; when it must not be written.
    pub fn beside(path: &Path) -> Result<Writer, HistoryError> {
        match file::usable(path) {
            Ok(()) | Err(HistoryError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(Writer::new(path.to_owned(), file::open(path)?))
    }

    /// Asks the file, as of now. Blocks: from asynchronous code use [`History::ask`].
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read<T>(
        &self,
        question: impl FnOnce(&Reading) -> rusqlite::Result<T>,
    ) -> Result<T, HistoryError> {
        self.read_at(Timestamp::now(), question)
    }

    /// The same with a clock of the caller's.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_at<T>(
        &self,
        now: Timestamp,
        question: impl FnOnce(&Reading) -> rusqlite::Result<T>,
    ) -> Result<T, HistoryError> {
        let answer = self.answer(now, question);
        answer.map_err(|error| HistoryError::using(&self.inner.path, error))
    }

    /// Asks the file on a thread that may block.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reading) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let history = self.clone();
        match tokio::task::spawn_blocking(move || history.read(question)).await {
            Ok(answer) => answer,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    fn answer<T>(
        &self,
        now: Timestamp,
        question: impl FnOnce(&Reading) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = || {
            self.inner
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let kept = idle().pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => file::open_to_read(&self.inner.path)?,
        };
        let transaction = connection.transaction()?;
        let answer = question(&Reading {
            connection: &transaction,
            now,
        })?;
        drop(transaction);
        let mut idle = idle();
        if idle.len() < KEPT {
            idle.push(connection);
        }
        Ok(answer)
    }
}
