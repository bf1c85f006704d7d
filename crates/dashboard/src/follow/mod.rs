//! Follows the event stream and keeps the history file up with it.

mod start;
mod thread;

use std::future::Future;
use std::time::Duration;

use bus::{Bus, BusError, Reader, Start, Stored, StreamState};
use jiff::Timestamp;
use model::action::RackEvent;
use model::event::Event;
use model::subject::{filter, stream};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep};

use crate::history::{Batch, HistoryError, Position, Retention, Writer};
use start::Decision;
use thread::{Order, WriterThread};

/// At most so many events are written in one transaction.
const AT_ONCE: usize = 4096;

/// How often it is seen whether the stream is still the one that is followed, and noted that all of it was.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// How often what is too old is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// How long until the stream is tried again after an error that time may heal.
const PAUSE: Duration = Duration::from_secs(2);

/// Following ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The file cannot be read or written.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The broker does not permit to read the events.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The thread that writes ended without a word.
    #[error("the thread that writes the history file ended by itself")]
    Writer,
}

/// How far following is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Up to where the file knows the stream.
    pub position: Option<Position>,
    /// How many messages the stream held after that when it was written. Zero: all is known.
    pub pending: u64,
    /// When that was written.
    pub at: Option<Timestamp>,
    /// How many events the file learnt since following began.
    pub learnt: u64,
}

/// Follows the stream of events until `shutdown` resolves, from where the file stands; from the beginning when the
/// stream is another one than the file has followed, or was set back. What the file knows already stays in it.
///
/// An outage of the broker is waited out. `progress` is told after every write.
///
/// # Errors
/// When the file cannot be written, or the broker does not permit to read events.
pub async fn follow(
    bus: &Bus,
    writer: Writer,
    retention: Retention,
    progress: watch::Sender<Progress>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), FollowError> {
    let position = writer.position()?;
    let mut follower = Follower {
        bus: bus.clone(),
        thread: WriterThread::start(writer, progress),
        retention,
        position,
        gathered: Vec::new(),
        actions: Vec::new(),
        ignored: 0,
    };
    let ended = tokio::select! {
        () = shutdown => Ok(()),
        ended = follower.run() => ended,
    };
    // What it was given is written before the end is told.
    match follower.thread.end().await {
        Ok(()) => ended,
        Err(error) => Err(error),
    }
}

/// Folds everything that the stream holds on these subjects into a file of its own, once.
///
/// # Errors
/// When the file cannot be written, or the broker cannot be read.
pub async fn read_once(bus: &Bus, filter: &str, writer: &mut Writer) -> Result<(), FollowError> {
    read_some(bus, filter, Start::All, |_| true, writer).await
}

/// The same from a start on, and of the events those alone that are wanted.
///
/// # Errors
/// When the file cannot be written, or the broker cannot be read.
pub async fn read_some(
    bus: &Bus,
    filter: &str,
    start: Start,
    mut is_wanted: impl FnMut(&Event) -> bool,
    writer: &mut Writer,
) -> Result<(), FollowError> {
    let state = bus.stream_state(stream::EVENTS).await?;
    let mut reader = bus.read(stream::EVENTS, filter, start).await?;
    let mut batch = Batch {
        events: Vec::new(),
        actions: Vec::new(),
        ignored: 0,
        position: Position {
            stream_created: state.created,
            sequence: state.last,
            stored_at: None,
        },
    };
    while let Some(stored) = reader.next_stored().await? {
        match decoded(&stored) {
            Some(Decoded::OfCycle(event)) if is_wanted(&event) => batch.events.push(event),
            Some(Decoded::OfRack(event)) => batch.actions.push(event),
            Some(Decoded::OfCycle(_)) => {}
            None => batch.ignored += 1,
        }
    }
    writer.write(&batch, Timestamp::now())?;
    Ok(())
}

/// What a message tells.
enum Decoded {
    OfCycle(Event),
    OfRack(RackEvent),
}

/// The event that a message is; `None`, and a word in the log, when it is none that this racktick knows.
fn decoded(stored: &Stored) -> Option<Decoded> {
    let event = Event::from_json(&stored.body).map(Decoded::OfCycle);
    let event = event.or_else(|error| match RackEvent::from_json(&stored.body) {
        Ok(event) => Ok(Decoded::OfRack(event)),
        Err(_) => Err(error),
    });
    match event {
        Ok(event) => Some(event),
        Err(error) => {
            tracing::debug!(sequence = stored.sequence, %error, "no event that this racktick knows");
            None
        }
    }
}

struct Follower {
    bus: Bus,
    thread: WriterThread,
    retention: Retention,
    /// After the last message that was read.
    position: Option<Position>,
    /// Read, and not given to the writer yet.
    gathered: Vec<Event>,
    /// The same, about racks.
    actions: Vec<RackEvent>,
    /// Read beside these, and no events.
    ignored: u64,
}

impl Follower {
    async fn run(&mut self) -> Result<(), FollowError> {
        let mut told = false;
        loop {
            let began = Instant::now();
            let error = match self.session().await {
                Ok(()) => continue,
                Err(FollowError::Bus(error)) if !matches!(error, BusError::Denied { .. }) => error,
                Err(error) => return Err(error),
            };
            // Of trouble that lasts, the first is enough.
            if !told || began.elapsed() > CHECK_EVERY {
                tracing::warn!(%error, "events cannot be followed, trying again");
            }
            told = true;
            sleep(PAUSE).await;
        }
    }

    /// Follows one stream until it is another one.
    async fn session(&mut self) -> Result<(), FollowError> {
        let state = self.bus.stream_state(stream::EVENTS).await?;
        let start = self.begin(&state).await?;
        let mut reader = self.bus.read(stream::EVENTS, filter::EVENTS, start).await?;
        let mut check = interval(CHECK_EVERY);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut forget = interval_at(Instant::now() + CHECK_EVERY, FORGET_EVERY);
        forget.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                stored = reader.next() => {
                    self.gather(&stored?);
                    let gathered = self.gathered.len() + self.actions.len();
                    if reader.pending() == 0 || gathered >= AT_ONCE {
                        self.hand_over(&reader).await?;
                    }
                }
                _ = check.tick() => {
                    let now = self.bus.stream_state(stream::EVENTS).await?;
                    if start::is_another(&now, self.position.as_ref()) {
                        tracing::warn!("the stream of events is another one than before, or was set back");
                        return Ok(());
                    }
                    self.hand_over(&reader).await?;
                }
                _ = forget.tick() => {
                    let before = self.retention.oldest(Timestamp::now());
                    self.thread.order(Order::Forget { before }).await?;
                }
            }
        }
    }

    /// Where to begin in this stream.
    async fn begin(&mut self, state: &StreamState) -> Result<Start, FollowError> {
        let stored = match self.position {
            Some(position) if position.sequence > 0 => {
                self.bus.message(stream::EVENTS, position.sequence).await?
            }
            _ => None,
        };
        let decision = start::decide(
            state,
            self.position.as_ref(),
            stored.map(|stored| stored.time),
        );
        match decision {
            Decision::GoOn(sequence) => Ok(Start::AfterSequence(sequence)),
            Decision::Anew { why } => {
                if let Some(why) = why {
                    tracing::warn!(
                        "events are followed from the beginning, and what the history file knows is kept: {why}"
                    );
                }
                // What was read of the stream before happened all the same, and is written with what comes.
                self.position = Some(Position {
                    stream_created: state.created,
                    sequence: 0,
                    stored_at: None,
                });
                Ok(Start::All)
            }
        }
    }

    /// Decodes a message here, while the writer is busy with those before it.
    fn gather(&mut self, stored: &Stored) {
        if let Some(position) = &mut self.position {
            position.sequence = stored.sequence;
            position.stored_at = Some(stored.time);
        }
        match decoded(stored) {
            Some(Decoded::OfCycle(event)) => self.gathered.push(event),
            Some(Decoded::OfRack(event)) => self.actions.push(event),
            None => self.ignored += 1,
        }
    }

    /// Gives the writer what was gathered; nothing, when it shall note that there is nothing.
    async fn hand_over(&mut self, reader: &Reader) -> Result<(), FollowError> {
        let Some(position) = self.position else {
            return Ok(());
        };
        let batch = Batch {
            events: std::mem::take(&mut self.gathered),
            actions: std::mem::take(&mut self.actions),
            ignored: std::mem::take(&mut self.ignored),
            position,
        };
        let pending = reader.pending();
        self.thread.order(Order::Write { batch, pending }).await
    }
}
