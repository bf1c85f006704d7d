//! What a history file knows, as lines of text: to be kept where no stream reaches back to any more, and to be folded
//! into any other history file.

use std::io::{self, BufRead, Seek, Write};

use jiff::Timestamp;
use model::action::RackEvent;
use model::event::Event;
use serde::{Deserialize, Serialize};

use crate::history::{HistoryError, Reading, Writer, is_ours};

/// The version of the form that is written.
const VERSION: u32 = 1;

/// How many events are folded in at once: a dashboard that is at work on the same file waits for so long.
const AT_ONCE: usize = 4096;

/// The first line. After it comes a line per event: its CloudEvent.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    racktick_history: u32,
    exported_at: Timestamp,
    /// How many lines follow.
    events: u64,
}

/// An export cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The history cannot be read.
    #[error("the history cannot be read")]
    Read(#[from] rusqlite::Error),
    /// The lines cannot be written.
    #[error("the export cannot be written")]
    Write(#[from] io::Error),
}

/// An export cannot be folded in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It cannot be read.
    #[error("line {line} cannot be read")]
    Read {
        /// Which line, from 1.
        line: u64,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("this is no export of a history: line 1 would begin with {{\"racktick_history\":")]
    Foreign,
    /// A later racktick wrote it.
    #[error(
        "line 1: a later racktick wrote this export (version {0}), and this one reads version {VERSION}: use the later one"
    )]
    Later(u32),
    /// A line is no event.
    #[error("line {line} is no event: nothing was imported")]
    Line {
        /// Which line, from 1.
        line: u64,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// An event that racktick cannot have published.
    #[error(
        "line {line} is no event of racktick's: its job is not that of its cycle and machine; nothing was imported"
    )]
    NotOurs {
        /// Which line, from 1.
        line: u64,
    },
    /// Lines are missing, or there are more.
    #[error(
        "line 1 says that {expected} events follow, and there are {found}: the export is not whole, and nothing was imported"
    )]
    NotWhole {
        /// How many there should be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// The history file cannot be written.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// How many events the export holds.
    pub events: u64,
    /// How many of them the history did not know, or only with a later time.
    pub learnt: u64,
}

/// Writes everything that a reading knows. Says how many events that are.
///
/// # Errors
/// When the file cannot be read, or the lines cannot be written.
pub fn export(reading: &Reading, to: &mut impl Write) -> Result<u64, ExportError> {
    let header = Header {
        racktick_history: VERSION,
        exported_at: reading.now,
        events: reading.count_events()?,
    };
    serde_json::to_writer(&mut *to, &header).map_err(io::Error::from)?;
    to.write_all(b"\n")?;
    reading.each_event(|body| {
        to.write_all(body)?;
        to.write_all(b"\n")?;
        Ok::<_, ExportError>(())
    })?;
    to.flush()?;
    Ok(header.events)
}

/// Folds an export into a history file: what that knows already stays as it is, and how far it has followed the stream,
/// too. An export that is not whole changes nothing. Importing again changes nothing, either, so that an import that
/// was ended in its middle is just begun again.
///
/// # Errors
/// When the export is none, is damaged, or is of a later version; when the history file cannot be written.
pub fn import(
    from: &mut (impl BufRead + Seek),
    writer: &mut Writer,
) -> Result<Imported, ImportError> {
    let mut events = 0;
    read(from, |_| {
        events += 1;
        Ok(())
    })?;
    let rewound = from.rewind();
    rewound.map_err(|source| ImportError::Read { line: 1, source })?;
    let (mut gathered, mut actions, mut learnt) = (Vec::new(), Vec::new(), 0);
    read(from, |line| {
        match line {
            Line::Event(event) => gathered.push(*event),
            Line::Action(event) => actions.push(*event),
        }
        if gathered.len() + actions.len() >= AT_ONCE {
            learnt += writer.fold(
                &std::mem::take(&mut gathered),
                &std::mem::take(&mut actions),
            )?;
        }
        Ok(())
    })?;
    learnt += writer.fold(&gathered, &actions)?;
    Ok(Imported {
        events,
        learnt: learnt as u64,
    })
}

/// What a line holds.
enum Line {
    /// An event of a cycle.
    Event(Box<Event>),
    /// What somebody did to a rack.
    Action(Box<RackEvent>),
}

impl Line {
    fn read(text: &[u8], line: u64) -> Result<Self, ImportError> {
        let event = match Event::from_json(text) {
            Ok(event) => event,
            Err(source) => {
                return match RackEvent::from_json(text) {
                    Ok(event) => Ok(Self::Action(Box::new(event))),
                    Err(_) => Err(ImportError::Line { line, source }),
                };
            }
        };
        if !is_ours(&event) {
            return Err(ImportError::NotOurs { line });
        }
        Ok(Self::Event(Box::new(event)))
    }
}

/// Reads all of an export.
fn read(
    from: &mut impl BufRead,
    mut each: impl FnMut(Line) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let mut lines = from.split(b'\n').zip(1..);
    let header = match lines.next() {
        Some((text, line)) => text.map_err(|source| ImportError::Read { line, source })?,
        None => Vec::new(),
    };
    let expected = expected(&header)?;
    let mut found = 0;
    for (text, line) in lines {
        let text = text.map_err(|source| ImportError::Read { line, source })?;
        found += 1;
        each(Line::read(&text, line)?)?;
    }
    if found != expected {
        return Err(ImportError::NotWhole { expected, found });
    }
    Ok(())
}

/// How many events follow the first line.
fn expected(header: &[u8]) -> Result<u64, ImportError> {
    #[derive(Deserialize)]
    struct Version {
        racktick_history: u32,
    }
    let version: Version = serde_json::from_slice(header).map_err(|_| ImportError::Foreign)?;
    if version.racktick_history > VERSION {
        return Err(ImportError::Later(version.racktick_history));
    }
    let header: Header =
        serde_json::from_slice(header).map_err(|source| ImportError::Line { line: 1, source })?;
    Ok(header.events)
}
