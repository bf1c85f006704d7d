//! Publishing with a known outcome.

use async_nats::HeaderMap;
use async_nats::client::PublishErrorKind;
use bytes::Bytes;
use jiff::Timestamp;
use model::id::CycleId;
use model::subject::Subject;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::connect::Bus;
use crate::denied::{Inbox, Watch};
use crate::error::BusError;
use crate::runtime::is_traced;
use crate::storing::Word;
use crate::wire::{ApiError, NoAnswer, ONE_TRY, PATIENCE, code, header, pause};

/// How many messages fit into one atomic batch: the server's default limit.
pub const LARGEST_BATCH: usize = 1000;

/// A message to publish.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Where to. With `at`: where the message waits, which replaces what waits there.
    pub subject: Subject,
    /// What.
    pub body: Bytes,
    /// `Nats-Msg-Id`: a second message with it is not stored within the stream's window.
    pub id: Option<String>,
    /// Held back by the broker until a time.
    pub at: Option<At>,
    /// Store it only if this is the number of the newest message on the subject; 0 if there is none.
    pub last: Option<u64>,
    /// The W3C `traceparent` of what it is a part of, for whoever takes it.
    pub traceparent: Option<String>,
}

/// When and where a message that waits comes out. A time that is over means at once.
#[derive(Debug, Clone)]
pub struct At {
    /// When.
    pub time: Timestamp,
    /// On which subject of the same stream.
    pub target: Subject,
}

impl Outgoing {
    /// A message with nothing special about it.
    pub fn new(subject: Subject, body: impl Into<Bytes>) -> Self {
        Self {
            subject,
            body: body.into(),
            id: None,
            at: None,
            last: None,
            traceparent: None,
        }
    }

    /// The same with a message id.
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self {
            id: Some(id.into()),
            ..self
        }
    }

    /// The same, held back until a time.
    #[must_use]
    pub fn at(self, time: Timestamp, target: Subject) -> Self {
        Self {
            at: Some(At { time, target }),
            ..self
        }
    }

    /// The same, stored only if nothing is stored on its subject.
    #[must_use]
    pub fn first_only(self) -> Self {
        self.replacing(0)
    }

    /// The same, stored only if the newest message on its subject has this number.
    #[must_use]
    pub fn replacing(self, sequence: u64) -> Self {
        Self {
            last: Some(sequence),
            ..self
        }
    }

    /// The same as a part of a cycle's trace.
    #[must_use]
    pub fn of_cycle(self, cycle: CycleId) -> Self {
        Self {
            traceparent: Some(cycle.traceparent()),
            ..self
        }
    }

    /// Where somebody traces, what publishing it is in its trace. What the broker holds back has none: it would begin
    /// the trace a day before anything is done.
    fn span(&self) -> Option<Span> {
        let traceparent = self.traceparent.as_deref().filter(|_| is_traced())?;
        let is_due = self
            .at
            .as_ref()
            .is_none_or(|at| at.time <= Timestamp::now());
        is_due.then(|| {
            tracing::info_span!(
                "publish",
                subject = %self.subject,
                traceparent,
                outcome = tracing::field::Empty
            )
        })
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(id) = &self.id {
            headers.insert(header::MESSAGE_ID, id.as_str());
        }
        if let Some(at) = &self.at {
            headers.insert(header::SCHEDULE, format!("@at {}", at.time));
            headers.insert(header::SCHEDULE_TARGET, at.target.to_string());
        }
        if let Some(last) = self.last {
            headers.insert(header::EXPECTED_SUBJECT_SEQUENCE, last.to_string());
        }
        if let Some(traceparent) = &self.traceparent {
            headers.insert(header::TRACEPARENT, traceparent.as_str());
        }
        headers
    }

    /// Publishing it a second time changes nothing: the id is known by then, or it replaces itself.
    fn repeatable(&self) -> bool {
        self.id.is_some() || self.at.is_some()
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// Stored under this sequence.
    Stored(u64),
    /// A message with its id was stored before, under this sequence.
    Duplicate(u64),
    /// Not stored, because another message is the newest on its subject (`first_only`, `replacing`).
    Exists,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// All of it was stored.
    Stored,
    /// At least one of its ids is known, so nothing was stored: the same batch went out before.
    AlreadyStored,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Ack {
    pub(crate) error: Option<ApiError>,
    pub(crate) seq: u64,
    pub(crate) duplicate: bool,
}

impl Ack {
    /// Reads the answer to what was being done.
    fn read(answer: &[u8], what: impl FnOnce() -> String) -> Result<Self, BusError> {
        serde_json::from_slice(answer).map_err(|source| BusError::Answer {
            what: what(),
            source: source.into(),
        })
    }

    fn word(&self) -> Word {
        match self.error.as_ref().is_some_and(ApiError::is_no_room) {
            true => Word::NoRoom,
            false => Word::Given,
        }
    }
}

impl Bus {
    /// Publishes and waits until the message is stored. Repeats where that cannot store it twice: when it has an id,
    /// when it waits on its own subject, or when the broker said that it was not stored.
    ///
    /// # Errors
    /// `Unknown` when no answer came, `Nobody`, `Denied`, `Refused`, `TooLarge`.
    pub async fn publish(&self, message: Outgoing) -> Result<Published, BusError> {
        let Some(span) = message.span() else {
            return self.publish_one(message).await;
        };
        let published = self.publish_one(message).instrument(span.clone()).await;
        span.record(
            "outcome",
            match &published {
                Ok(Published::Stored(_)) => "stored",
                Ok(Published::Duplicate(_)) => "duplicate",
                Ok(Published::Exists) => "exists",
                Err(_) => "failed",
            },
        );
        published
    }

    async fn publish_one(&self, message: Outgoing) -> Result<Published, BusError> {
        let subject = message.subject.to_string();
        let ack = self
            .store(
                &subject,
                || message.headers(),
                &message.body,
                message.repeatable(),
            )
            .await?;
        match ack.error {
            None if ack.duplicate => Ok(Published::Duplicate(ack.seq)),
            None => Ok(Published::Stored(ack.seq)),
            Some(error) if message.last.is_some() && error.is_conflict() => Ok(Published::Exists),
            Some(error) => Err(error.into_error(&format!("publishing on {subject}"))),
        }
    }

    /// Stores one message; the answer can be a refusal. `headers` makes them for each try. `repeatable`: an unknown
    /// outcome may be tried again.
    pub(crate) async fn store(
        &self,
        subject: &str,
        headers: impl Fn() -> HeaderMap,
        body: &Bytes,
        repeatable: bool,
    ) -> Result<Ack, BusError> {
        let what = || format!("publishing on {subject}");
        let since = Instant::now();
        let mut attempt = 0;
        loop {
            let (to, with, payload) = (subject.to_owned(), Some(headers()), body.clone());
            let answer = match repeatable {
                true => self.ask_repeatable(to, with, payload).await,
                false => self.ask(to, with, payload).await,
            };
            if matches!(answer, Err(NoAnswer::Late)) {
                self.note_word(Word::None);
            }
            let again = since.elapsed() < PATIENCE;
            let mut wait = pause(attempt);
            match answer {
                Ok(message) => {
                    let ack = Ack::read(&message.payload, what)?;
                    self.note_word(ack.word());
                    match &ack.error {
                        Some(error) if error.is_transient() && again => wait = error.pause(attempt),
                        Some(error) if error.err_code == code::ID_IN_PROCESS => {
                            return Err(BusError::Unknown {
                                what: what(),
                                waited: since.elapsed(),
                            });
                        }
                        _ => return Ok(ack),
                    }
                }
                Err(NoAnswer::Nobody) if again => {}
                Err(NoAnswer::Late) if again && repeatable => {}
                Err(none) => {
                    return Err(none.into_error(
                        &what(),
                        body.len(),
                        self.client.max_payload(),
                        since,
                    ));
                }
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// Stores all messages or none. They must belong to one stream, and be at most [`LARGEST_BATCH`]. Repeats an
    /// unknown outcome when every message has an id.
    ///
    /// Small batches cost the broker about a millisecond each: use them for the fan-out only.
    ///
    /// # Errors
    /// `Unknown` when no answer came, `Nobody`, `Denied`, `Refused`, `TooLarge`.
    pub async fn publish_batch(&self, messages: Vec<Outgoing>) -> Result<Batch, BusError> {
        let Some((last, first)) = messages.split_last() else {
            return Ok(Batch::Stored);
        };
        let what = format!(
            "publishing a batch of {} up to {}",
            messages.len(),
            last.subject
        );
        if messages.len() > LARGEST_BATCH {
            return Err(BusError::TooLarge {
                what,
                size: messages.len(),
                limit: LARGEST_BATCH,
            });
        }
        let repeatable = messages.iter().all(|message| message.id.is_some());
        let since = Instant::now();
        let mut attempt = 0;
        loop {
            let subjects = messages.iter().map(|message| message.subject.to_string());
            let mut watch = self.denials.watch(subjects.collect(), Inbox::Shared);
            let answer = self.send_batch(&mut watch, first, last).await;
            if matches!(answer, Err(NoAnswer::Late)) {
                self.note_word(Word::None);
            }
            let again = since.elapsed() < PATIENCE;
            let mut wait = pause(attempt);
            match answer {
                Ok(message) => {
                    let ack = Ack::read(&message.payload, || what.clone())?;
                    self.note_word(ack.word());
                    let is_odd = |error: &ApiError| {
                        error.err_code != code::BATCH_DUPLICATE && !error.is_transient()
                    };
                    if ack.error.as_ref().is_some_and(is_odd)
                        && let Some(denial) = watch.denied_before().await
                    {
                        return Err(denial.into_error(&what));
                    }
                    match ack.error {
                        None => return Ok(Batch::Stored),
                        Some(error) if error.err_code == code::BATCH_DUPLICATE => {
                            return Ok(Batch::AlreadyStored);
                        }
                        // The connection was lost in the middle, so the broker has seen only the end.
                        Some(error) if error.err_code == code::BATCH_INCOMPLETE && again => {}
                        Some(error) if error.is_transient() && again => wait = error.pause(attempt),
                        Some(error) if error.err_code == code::ID_IN_PROCESS => {
                            return Err(BusError::Unknown {
                                what,
                                waited: since.elapsed(),
                            });
                        }
                        Some(error) => return Err(error.into_error(&what)),
                    }
                }
                Err(NoAnswer::Nobody) if again => {}
                Err(NoAnswer::Late) if again && repeatable => {}
                Err(none) => {
                    let size = messages
                        .iter()
                        .map(|message| message.body.len())
                        .max()
                        .unwrap_or(0);
                    return Err(none.into_error(&what, size, self.client.max_payload(), since));
                }
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// All but the last message go out unanswered; the last one commits.
    async fn send_batch(
        &self,
        watch: &mut Watch,
        first: &[Outgoing],
        last: &Outgoing,
    ) -> Result<async_nats::Message, NoAnswer> {
        let batch = Uuid::new_v4().to_string();
        let headers = |message: &Outgoing, position: usize| {
            let mut headers = message.headers();
            headers.insert(header::BATCH_ID, batch.as_str());
            headers.insert(header::BATCH_SEQUENCE, position.to_string());
            headers
        };
        for (position, message) in (1..).zip(first) {
            self.client
                .publish_with_headers(
                    message.subject.to_string(),
                    headers(message, position),
                    message.body.clone(),
                )
                .await
                .map_err(|error| match error.kind() {
                    PublishErrorKind::MaxPayloadExceeded => NoAnswer::TooLarge,
                    _ => NoAnswer::Unsendable(error.into()),
                })?;
        }
        let mut headers = headers(last, first.len() + 1);
        headers.insert(header::BATCH_COMMIT, "1");
        self.ask_watching(
            watch,
            ONE_TRY,
            last.subject.to_string(),
            Some(headers),
            last.body.clone(),
        )
        .await
    }
}
