//! What can go wrong with the file.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// The history file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// Neither opened nor made.
    #[error(
        "the history file {path} cannot be opened: is its folder there, and may it be written?"
    )]
    Open {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// Another dashboard follows the events into it.
    #[error(
        "another process writes the history file {path}: give this dashboard a file of its own with --history"
    )]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// Whether another dashboard has it cannot be told.
    #[error(
        "the history file {path} cannot be locked: is its folder there, and may it be written?"
    )]
    Lock {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Just made, and yet it cannot be read.
    #[error("the history file {path} was made and cannot be read back: {why}")]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What it holds is damaged.
    #[error(
        "the history file {path} is damaged: start again, and it is made anew from the event stream; what is there of it \
         is kept beside it"
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// There is none.
    #[error("there is no history file {path}")]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// It is not to be put aside here, and it cannot be used as it is.
    #[error(
        "the history file {path} cannot be used as it is: {why}; `racktick dashboard` brings it up or makes it anew"
    )]
    NotAsItIs {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file that could not be read was in the way and could not be moved.
    #[error("the history file {path} cannot be read, nor be put aside as {aside}")]
    InTheWay {
        /// Where.
        path: PathBuf,
        /// Where to.
        aside: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Read or written in vain.
    #[error("the history file {path} cannot be read or written: is the disk full?")]
    Use {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

impl HistoryError {
    /// What an error while using the file means.
    pub(crate) fn using(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        if is_damage(&source) {
            Self::Damaged { path, source }
        } else {
            Self::Use { path, source }
        }
    }
}

/// Whether the file itself is broken, or none of SQLite's.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}
