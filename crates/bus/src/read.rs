//! Reading a stream in order, to its end or for ever.

use std::time::Duration;

use futures_util::Stream;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::connect::Bus;
use crate::error::BusError;
use crate::pull::{Pull, Pulled};
use crate::stored::Stored;
use crate::wire::{PATIENCE, pause};

/// How many messages are asked for at a time.
const AHEAD: usize = 512;
/// The broker forgets a reader that is gone after this long.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest message.
    All,
    /// With the first that was stored at this time or later.
    Since(Timestamp),
    /// With the next that is stored from now on.
    New,
    /// After the one with this sequence.
    AfterSequence(u64),
    /// With the newest of each subject.
    LastOfEach,
}

/// A stream's messages in order. A lost connection or a restarted broker is no end: it goes on after the last message
/// it gave.
pub struct Reader {
    bus: Bus,
    stream: String,
    filters: Vec<String>,
    start: Start,
    bodies: bool,
    open: Option<Open>,
    pending: u64,
    /// No copy of the stream that ends before this message is whole.
    newest: Option<u64>,
    /// Since when only copies were found that are not.
    behind_since: Option<Instant>,
}

struct Open {
    pull: Pull,
    consumer: String,
    given: u64,
}

#[derive(Deserialize)]
struct Created {
    #[serde(default)]
    num_pending: u64,
}

/// Which stream it is, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamState {
    /// When it was created. A stream that was deleted and made anew has another.
    pub created: Timestamp,
    /// The number of its oldest message; one more than the newest when it holds none.
    pub first: u64,
    /// The number of the newest message it ever held.
    pub last: u64,
}

#[derive(Deserialize)]
struct StreamInfo {
    created: Timestamp,
    state: Sequences,
}

#[derive(Deserialize)]
struct Sequences {
    first_seq: u64,
    last_seq: u64,
}

impl Bus {
    /// Which stream it is, and what it holds.
    ///
    /// # Errors
    /// When the broker cannot be asked, or has no such stream.
    pub async fn stream_state(&self, stream: &str) -> Result<StreamState, BusError> {
        let what = format!("reading the state of {stream}");
        let info: StreamInfo = self
            .api(&what, &format!("STREAM.INFO.{stream}"), &json!({}))
            .await?;
        Ok(StreamState {
            created: info.created,
            first: info.state.first_seq,
            last: info.state.last_seq,
        })
    }

    /// Reads the messages of a stream whose subject matches the filter, without taking them away. Works on streams
    /// with limits and on buckets; a work queue refuses it.
    ///
    /// # Errors
    /// When the broker cannot be asked, or has no such stream.
    pub async fn read(&self, stream: &str, filter: &str, start: Start) -> Result<Reader, BusError> {
        self.read_each(stream, vec![filter.into()], start).await
    }

    /// The same, with or without the messages' bodies, from a copy of the stream that is whole: the reader comes to no
    /// end before it gave the newest message that was stored when it was opened, as the stream's leader says. With
    /// replicas a reader is put on any of them, and one that was away is behind until it has caught up. Whoever only
    /// waits for the [next](Reader::next) message gets it in time either way.
    pub(crate) async fn read_whole(
        &self,
        stream: &str,
        filter: &str,
        start: Start,
        bodies: bool,
    ) -> Result<Reader, BusError> {
        let newest = match start {
            Start::New => None,
            _ => self.last_on(stream, filter).await?,
        };
        let before = |newest: &Stored| match start {
            Start::Since(time) => newest.time < time,
            _ => false,
        };
        let mut reader = self
            .open(stream, vec![filter.into()], start, bodies)
            .await?;
        reader.newest = newest
            .filter(|newest| !before(newest))
            .map(|newest| newest.sequence);
        Ok(reader)
    }

    /// The same for several filters, of which none may match a subject that another matches.
    pub(crate) async fn read_each(
        &self,
        stream: &str,
        filters: Vec<String>,
        start: Start,
    ) -> Result<Reader, BusError> {
        self.open(stream, filters, start, true).await
    }

    async fn open(
        &self,
        stream: &str,
        filters: Vec<String>,
        start: Start,
        bodies: bool,
    ) -> Result<Reader, BusError> {
        let start = match start {
            // Fixed now, so that nothing is left out when the connection is lost before the first message.
            Start::New => Start::AfterSequence(self.stream_state(stream).await?.last),
            start => start,
        };
        let mut reader = Reader {
            bus: self.clone(),
            stream: stream.into(),
            filters,
            start,
            bodies,
            open: None,
            pending: 0,
            newest: None,
            behind_since: None,
        };
        reader.reopen().await?;
        Ok(reader)
    }
}

impl Reader {
    /// How many stored messages are still to come after the last one given. Zero: it was the newest.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// The next message; waits for ever if need be. Can be dropped while it waits.
    ///
    /// # Errors
    /// Only when the stream is gone or refuses.
    pub async fn next(&mut self) -> Result<Stored, BusError> {
        let mut failures = 0;
        loop {
            match self.step().await {
                Ok(Some(stored)) => return Ok(stored),
                Ok(None) => {}
                Err(error) if error.is_transient() => {
                    if failures == 0 {
                        tracing::warn!(stream = self.stream, %error, "reading is interrupted, trying again");
                    }
                    failures += 1;
                    tokio::time::sleep(pause(failures)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The next message that is stored already, and `None` when all were given.
    ///
    /// # Errors
    /// When the broker cannot be asked any more.
    pub async fn next_stored(&mut self) -> Result<Option<Stored>, BusError> {
        loop {
            // While nothing is open, the number is not known.
            if self.pending == 0 && self.open.is_some() {
                if !self.is_behind() {
                    return Ok(None);
                }
                self.try_another_copy().await?;
                continue;
            }
            if let Some(stored) = self.step().await? {
                return Ok(Some(stored));
            }
        }
    }

    fn is_behind(&self) -> bool {
        self.newest.is_some_and(|newest| match self.start {
            Start::AfterSequence(given) => given < newest,
            _ => true,
        })
    }

    /// Goes on with another consumer, which may be put on another server, unless what was missed is gone by now.
    async fn try_another_copy(&mut self) -> Result<(), BusError> {
        let mut newest = None;
        for filter in &self.filters {
            let last = self.bus.last_on(&self.stream, filter).await?;
            newest = newest.max(last.map(|last| last.sequence));
        }
        self.newest = self.newest.min(newest);
        if !self.is_behind() {
            return Ok(());
        }
        let since = *self.behind_since.get_or_insert_with(Instant::now);
        if since.elapsed() > PATIENCE {
            return Err(BusError::Unavailable {
                what: format!("reading from {}", self.stream),
                description: "every copy that was found is behind the leader's".into(),
            });
        }
        tracing::debug!(
            stream = self.stream,
            "this copy is behind, reading on from another"
        );
        self.forget().await;
        tokio::time::sleep(pause(0)).await;
        self.reopen().await
    }

    /// All messages from here on, for ever.
    pub fn follow(self) -> impl Stream<Item = Result<Stored, BusError>> + Send {
        futures_util::stream::unfold(Some(self), |reader| async {
            let mut reader = reader?;
            match reader.next().await {
                Ok(stored) => Some((Ok(stored), Some(reader))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// Whatever is stored, in one list.
    ///
    /// # Errors
    /// When the broker cannot be asked any more.
    pub async fn to_end(mut self) -> Result<Vec<Stored>, BusError> {
        let mut all = Vec::new();
        while let Some(stored) = self.next_stored().await? {
            all.push(stored);
        }
        self.forget().await;
        Ok(all)
    }

    /// One thing that comes; `None` when it was no message.
    async fn step(&mut self) -> Result<Option<Stored>, BusError> {
        let Some(open) = &mut self.open else {
            self.reopen().await?;
            return Ok(None);
        };
        if open.pull.outstanding() < AHEAD / 2 {
            open.pull.ask(AHEAD).await;
        }
        let why = match open.pull.next().await {
            Pulled::Nothing => return Ok(None),
            Pulled::Lost(why) => why,
            Pulled::Denied(error) => return Err(error),
            Pulled::Message(message) => match Stored::from_delivery(&message) {
                Some((stored, receipt)) if receipt.consumer_sequence == open.given + 1 => {
                    open.given += 1;
                    self.pending = receipt.pending;
                    self.start = Start::AfterSequence(stored.sequence);
                    return Ok(Some(stored));
                }
                _ => "a message was lost on the way".into(),
            },
        };
        tracing::debug!(stream = self.stream, why, "reading on with a new consumer");
        self.open = None;
        Ok(None)
    }

    /// A consumer of our own that begins after the last message given. One that does not answer is given up for another:
    /// with replicas it may have been put on a server that is gone, where it stays.
    async fn reopen(&mut self) -> Result<(), BusError> {
        let since = Instant::now();
        let mut attempt = 0;
        loop {
            match self.try_reopen().await {
                Err(error) if error.is_transient() && since.elapsed() < PATIENCE => {
                    tracing::debug!(stream = self.stream, %error, "trying with another consumer");
                }
                ended => return ended,
            }
            tokio::time::sleep(pause(attempt)).await;
            attempt += 1;
        }
    }

    async fn try_reopen(&mut self) -> Result<(), BusError> {
        self.open = None;
        let stream = &self.stream;
        let consumer = format!("read_{}", Uuid::new_v4().simple());
        let mut config = json!({
            "name": consumer,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": true,
            "num_replicas": 1,
            "headers_only": !self.bodies,
            "inactive_threshold": u64::try_from(FORGET_AFTER.as_nanos()).unwrap_or(u64::MAX),
        });
        // With one filter it is part of the request's subject, where permissions can name it.
        let (mut what, mut operation) = (
            format!("reading from {stream}"),
            format!("CONSUMER.CREATE.{stream}.{consumer}"),
        );
        match self.filters.as_slice() {
            [filter] => {
                what = format!("reading {filter} of {stream}");
                operation = format!("{operation}.{filter}");
                config["filter_subject"] = filter.as_str().into();
            }
            filters => config["filter_subjects"] = filters.into(),
        }
        let (policy, extra) = match self.start {
            Start::All => ("all", None),
            Start::LastOfEach => ("last_per_subject", None),
            Start::New => ("new", None),
            Start::Since(time) => (
                "by_start_time",
                Some(("opt_start_time", Value::from(time.to_string()))),
            ),
            Start::AfterSequence(last) => (
                "by_start_sequence",
                Some(("opt_start_seq", Value::from(last + 1))),
            ),
        };
        config["deliver_policy"] = policy.into();
        if let Some((field, value)) = extra {
            config[field] = value;
        }
        let created: Created = self
            .bus
            .api_within(
                Duration::ZERO,
                &what,
                &operation,
                &json!({"stream_name": stream, "config": config}),
            )
            .await?;
        let pull = Pull::open(&self.bus, stream, &consumer).await?;
        self.pending = created.num_pending;
        self.open = Some(Open {
            pull,
            consumer,
            given: 0,
        });
        Ok(())
    }

    /// Lets the broker forget the consumer now instead of later.
    async fn forget(&mut self) {
        if let Some(open) = self.open.take() {
            let subject = format!("$JS.API.CONSUMER.DELETE.{}.{}", self.stream, open.consumer);
            if let Err(error) = self.bus.client.publish(subject, Vec::new().into()).await {
                tracing::debug!(%error, "a reader is forgotten by the broker only later");
            }
        }
    }
}
