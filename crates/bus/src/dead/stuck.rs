//! Messages that no worker survived. The broker reports each once, and the reports are kept with the dead letters.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::body;
use model::subject::stream;
use serde::Deserialize;
use serde_json::json;

use super::{keep, letter};
use crate::connect::Bus;
use crate::error::BusError;
use crate::read::Start;
use crate::stored::Stored;

/// Where the broker reports that it has delivered a message as often as it may.
const EXHAUSTED: &str = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>";

/// A message that was delivered as often as it may and never settled: every worker that had it died or hung. It stays
/// in its stream, and nobody gets it any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Its stream.
    pub stream: String,
    /// How often it was delivered.
    pub deliveries: u32,
    /// When the broker gave up.
    pub at: Timestamp,
    /// The message.
    pub message: Stored,
    /// When its stream was created.
    stream_created: Timestamp,
}

/// The broker's reports, each read once: asking again costs one request as long as nothing happens. Losing it costs
/// reading all of them again.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    /// Number and time of the newest report that was read.
    newest: Option<(u64, Timestamp)>,
    /// Reports whose message may still be there, by stream and number.
    open: BTreeMap<Place, Report>,
}

/// A stream, and a number in it.
type Place = (String, u64);

#[derive(Debug, Clone, Copy)]
struct Report {
    deliveries: u32,
    at: Timestamp,
}

/// A report as the broker writes it.
#[derive(Deserialize)]
struct Advisory {
    stream: String,
    stream_seq: u64,
    #[serde(default)]
    deliveries: u32,
    timestamp: Timestamp,
}

#[derive(Deserialize)]
struct StreamInfo {
    created: Timestamp,
}

impl Reports {
    /// The messages that nobody gets any more and that are still there.
    ///
    /// # Errors
    /// When the broker cannot be asked; the next call goes on from there.
    pub async fn stuck(&mut self, bus: &Bus) -> Result<Vec<Stuck>, BusError> {
        self.read(bus).await?;
        let mut stuck = Vec::new();
        let mut created = BTreeMap::new();
        for (place, report) in self.open.clone() {
            match found(bus, &place, report, &mut created).await? {
                // Asked for again until it is gone: burying it may fail.
                Some(found) => stuck.push(found),
                None => drop(self.open.remove(&place)),
            }
        }
        Ok(stuck)
    }

    /// Reads the reports that came since the last time.
    async fn read(&mut self, bus: &Bus) -> Result<(), BusError> {
        let Some(newest) = bus.last_on(stream::DLQ, EXHAUSTED).await? else {
            self.newest = None;
            return Ok(());
        };
        let start = match self.newest {
            Some((sequence, time)) if sequence == newest.sequence && time == newest.time => {
                return Ok(());
            }
            Some((sequence, _)) if sequence < newest.sequence => Start::AfterSequence(sequence),
            // The first time; or the stream is another than it was.
            _ => Start::All,
        };
        for stored in bus
            .read(stream::DLQ, EXHAUSTED, start)
            .await?
            .to_end()
            .await?
        {
            self.newest = Some((stored.sequence, stored.time));
            match body::read::<Advisory>(&stored.body) {
                Ok(advisory) => {
                    let report = Report {
                        deliveries: advisory.deliveries,
                        at: advisory.timestamp,
                    };
                    self.open
                        .insert((advisory.stream, advisory.stream_seq), report);
                }
                Err(error) => {
                    tracing::warn!(sequence = stored.sequence, %error, "a report of the broker does not parse");
                }
            }
        }
        Ok(())
    }
}

/// The reported message; `None` when it is gone: settled after all by the one that had it last, or dealt with before.
async fn found(
    bus: &Bus,
    (stream, sequence): &Place,
    report: Report,
    created: &mut BTreeMap<String, Timestamp>,
) -> Result<Option<Stuck>, BusError> {
    let message = match bus.message(stream, *sequence).await {
        Ok(Some(message)) => message,
        Ok(None) | Err(BusError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    // A report of an earlier stream of this name says nothing of this one.
    if message.time > report.at {
        return Ok(None);
    }
    let stream_created = match created.get(stream) {
        Some(created) => *created,
        None => {
            let info: StreamInfo = bus
                .api(
                    "reading a stream's age",
                    &format!("STREAM.INFO.{stream}"),
                    &json!({}),
                )
                .await?;
            *created.entry(stream.clone()).or_insert(info.created)
        }
    };
    Ok(Some(Stuck {
        stream: stream.clone(),
        deliveries: report.deliveries,
        at: report.at,
        message,
        stream_created,
    }))
}

/// The messages that nobody gets any more and that are still there, asked once.
///
/// # Errors
/// When the broker cannot be asked.
pub async fn stuck(bus: &Bus) -> Result<Vec<Stuck>, BusError> {
    Reports::default().stuck(bus).await
}

/// Makes a dead letter of a stuck message and removes it from its stream. May be repeated.
///
/// # Errors
/// When the broker cannot be asked; the message is then still where it was.
pub async fn bury(bus: &Bus, stuck: &Stuck, by: &str) -> Result<(), BusError> {
    let why = format!(
        "delivered {} times, and no worker came to an end with it",
        stuck.deliveries
    );
    let letter = letter(&stuck.stream, &stuck.message, &why, stuck.deliveries, by);
    keep(bus, stuck.stream_created, &letter).await?;
    bus.delete(&stuck.stream, stuck.message.sequence).await?;
    Ok(())
}
