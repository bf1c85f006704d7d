//! Dead letters, and messages that no worker survived.

mod stuck;

use jiff::Timestamp;
use model::body;
use model::dead::{Body, DeadLetter};
use model::subject::{Subject, filter, stream};

use crate::connect::Bus;
use crate::error::BusError;
use crate::publish::Outgoing;
use crate::read::Start;
use crate::stored::Stored;
use crate::wire::header;

pub use stuck::{Reports, Stuck, bury, stuck};

/// How many bytes of headers a dead letter keeps: with the body it stays below the broker's limit of 1 MB.
const LARGEST_HEADERS: usize = 32 * 1024;

/// How many bytes of its reason it keeps. A reason can quote the whole message.
const LONGEST_REASON: usize = 2048;

/// The longest subject under which a dead letter is kept, in bytes. racktick's own are shorter, and the broker closes
/// the connection of whoever publishes on one that does not fit into its protocol line, where the message's did.
const LONGEST_SUBJECT: usize = 2048;

/// A dead letter with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its number in the stream of dead letters: what a person names it by.
    pub sequence: u64,
    /// The letter.
    pub letter: DeadLetter,
    /// When the stream that held the message was created: with the letter's own fields, the message's place for ever.
    pub stream_created: Option<Timestamp>,
}

/// All dead letters, oldest first. One that is none is left out with a warning.
///
/// # Errors
/// When the broker cannot be asked.
pub async fn list(bus: &Bus) -> Result<Vec<Kept>, BusError> {
    from(bus, Start::All).await
}

/// The dead letters with a larger number than this, oldest first.
///
/// # Errors
/// As [`list`].
pub async fn after(bus: &Bus, sequence: u64) -> Result<Vec<Kept>, BusError> {
    from(bus, Start::AfterSequence(sequence)).await
}

async fn from(bus: &Bus, start: Start) -> Result<Vec<Kept>, BusError> {
    let letters = bus.read(stream::DLQ, filter::DEAD, start).await?;
    let letters = letters.to_end().await?;
    Ok(letters.iter().filter_map(read).collect())
}

/// One dead letter; `None` when there is none with this number.
///
/// # Errors
/// When the broker cannot be asked.
pub async fn get(bus: &Bus, sequence: u64) -> Result<Option<Kept>, BusError> {
    Ok(bus
        .message(stream::DLQ, sequence)
        .await?
        .as_ref()
        .and_then(read))
}

/// Drops a dead letter for good. False when there is none with this number.
///
/// # Errors
/// When the broker cannot be asked.
pub async fn drop(bus: &Bus, sequence: u64) -> Result<bool, BusError> {
    match get(bus, sequence).await? {
        Some(_) => bus.delete(stream::DLQ, sequence).await,
        None => Ok(false),
    }
}

fn read(stored: &Stored) -> Option<Kept> {
    match body::read::<DeadLetter>(&stored.body) {
        Ok(letter) => Some(Kept {
            sequence: stored.sequence,
            stream_created: stored
                .header(header::MESSAGE_ID)
                .and_then(|id| stream_created(id, &letter)),
            letter,
        }),
        Err(error) => {
            tracing::warn!(sequence = stored.sequence, %error, "what is stored as a dead letter is none");
            None
        }
    }
}

/// The id that a letter was stored under: its message's place.
fn place(stream_created: Timestamp, letter: &DeadLetter) -> String {
    format!("{}:{stream_created}:{}", letter.stream, letter.sequence)
}

/// Reads back the middle of what [`place`] wrote.
fn stream_created(id: &str, letter: &DeadLetter) -> Option<Timestamp> {
    id.strip_prefix(&format!("{}:", letter.stream))?
        .strip_suffix(&format!(":{}", letter.sequence))?
        .parse()
        .ok()
}

pub(crate) fn letter(
    stream: &str,
    stored: &Stored,
    reason: &str,
    attempts: u32,
    by: &str,
) -> DeadLetter {
    let mut left = LARGEST_HEADERS;
    let mut headers = stored.headers.clone();
    headers.retain(|name, values| {
        let size = name.len() + values.iter().map(String::len).sum::<usize>();
        let fits = size <= left;
        left -= if fits { size } else { 0 };
        fits
    });
    DeadLetter {
        v: DeadLetter::VERSION,
        subject: stored.subject.clone(),
        stream: stream.into(),
        sequence: stored.sequence,
        stored_at: stored.time,
        headers,
        body: Body::of(&stored.body),
        reason: start_of(reason, LONGEST_REASON),
        attempts,
        at: Timestamp::now(),
        by: by.into(),
    }
}

/// The text, or its beginning.
fn start_of(text: &str, longest: usize) -> String {
    match text.len() <= longest {
        true => text.to_owned(),
        false => format!("{}…", &text[..text.floor_char_boundary(longest)]),
    }
}

/// Where the letter of a message on this subject is kept.
fn dead_subject(subject: &str) -> Subject {
    match subject.len() <= LONGEST_SUBJECT {
        true => Subject::Dead(subject.to_owned()),
        false => Subject::Dead("too_long".into()),
    }
}

/// Stores a dead letter. A message becomes one letter, however often it is tried.
pub(crate) async fn keep(
    bus: &Bus,
    stream_created: Timestamp,
    letter: &DeadLetter,
) -> Result<(), BusError> {
    let body = serde_json::to_vec(letter).map_err(|source| BusError::Answer {
        what: "writing a dead letter".into(),
        source: source.into(),
    })?;
    let id = place(stream_created, letter);
    bus.publish(Outgoing::new(dead_subject(&letter.subject), body).with_id(id))
        .await?;
    Ok(())
}
