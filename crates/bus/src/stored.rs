//! Messages that a stream holds: reading one, counting, removing.

use std::collections::BTreeMap;

use async_nats::{HeaderMap, Message};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use model::subject::Subject;
use serde::Deserialize;
use serde_json::json;

use crate::connect::Bus;
use crate::error::BusError;
use crate::publish::At;
use crate::wire::{code, header};

/// A message in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it was published.
    pub subject: String,
    /// Its number in the stream.
    pub sequence: u64,
    /// When it was stored, by the broker's clock.
    pub time: Timestamp,
    /// Its headers.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Its body.
    pub body: Bytes,
}

impl Stored {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.first().map(String::as_str)
    }

    /// The subject on which the message waited that this one came out of, as it says.
    pub fn scheduler(&self) -> Option<Subject> {
        self.header(header::SCHEDULER)?.parse().ok()
    }

    /// When and where it comes out, if it waits. Only `@at` schedules are ours.
    pub fn at(&self) -> Option<At> {
        let time = self.header(header::SCHEDULE)?.strip_prefix("@at ")?;
        Some(At {
            time: time.trim().parse().ok()?,
            target: self.header(header::SCHEDULE_TARGET)?.parse().ok()?,
        })
    }

    /// A delivered message; `None` when it does not come from a stream.
    pub(crate) fn from_delivery(message: &Message) -> Option<(Self, Receipt)> {
        let receipt = Receipt::parse(message.reply.as_deref()?)?;
        let stored = Self {
            subject: message.subject.to_string(),
            sequence: receipt.stream_sequence,
            time: receipt.stored_at,
            headers: message.headers.as_ref().map(headers).unwrap_or_default(),
            body: message.payload.clone(),
        };
        Some((stored, receipt))
    }
}

/// What the reply subject of a delivered message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// How often it was delivered, this time included.
    pub(crate) delivered: u32,
    pub(crate) stream_sequence: u64,
    pub(crate) consumer_sequence: u64,
    pub(crate) stored_at: Timestamp,
    /// How many more the consumer would deliver after it.
    pub(crate) pending: u64,
}

impl Receipt {
    /// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<nanoseconds>.<pending>`, or the later
    /// form with domain and account hash before the stream and possibly more at the end (ADR-15).
    pub(crate) fn parse(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let tokens = match tokens.len() {
            7 => &tokens[2..],
            9.. => &tokens[4..],
            _ => return None,
        };
        Some(Self {
            delivered: tokens[0].parse().ok()?,
            stream_sequence: tokens[1].parse().ok()?,
            consumer_sequence: tokens[2].parse().ok()?,
            stored_at: Timestamp::from_nanosecond(tokens[3].parse().ok()?).ok()?,
            pending: tokens[4].parse().ok()?,
        })
    }
}

fn headers(map: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    map.iter()
        .map(|(name, values)| {
            (
                name.to_string(),
                values
                    .iter()
                    .map(|value| value.as_str().to_owned())
                    .collect(),
            )
        })
        .collect()
}

/// Headers as they are stored: `NATS/1.0`, then a line each.
fn parse_headers(block: &[u8]) -> BTreeMap<String, Vec<String>> {
    let mut headers = BTreeMap::<String, Vec<String>>::new();
    for line in String::from_utf8_lossy(block).split("\r\n").skip(1) {
        if let Some((name, value)) = line.split_once(':') {
            headers
                .entry(name.trim().into())
                .or_default()
                .push(value.trim().into());
        }
    }
    headers
}

#[derive(Deserialize)]
struct Got {
    message: GotMessage,
}

#[derive(Deserialize)]
struct GotMessage {
    subject: String,
    seq: u64,
    time: Timestamp,
    #[serde(default)]
    hdrs: Option<String>,
    #[serde(default)]
    data: Option<String>,
}

#[derive(Deserialize)]
struct Purged {
    purged: u64,
}

#[derive(Deserialize)]
struct Counted {
    #[serde(default)]
    total: usize,
    state: CountedState,
}

#[derive(Deserialize)]
struct CountedState {
    #[serde(default)]
    subjects: Option<BTreeMap<String, u64>>,
}

impl Bus {
    /// The newest message on a subject, as the stream's leader has it.
    ///
    /// # Errors
    /// When the broker cannot be asked, or has no such stream.
    pub async fn last_on(&self, stream: &str, subject: &str) -> Result<Option<Stored>, BusError> {
        self.get(
            stream,
            &format!("reading {subject}"),
            json!({"last_by_subj": subject}),
        )
        .await
    }

    /// The first message from this number on whose subject matches the filter.
    ///
    /// # Errors
    /// When the broker cannot be asked, or has no such stream.
    pub async fn next_on(
        &self,
        stream: &str,
        filter: &str,
        sequence: u64,
    ) -> Result<Option<Stored>, BusError> {
        self.get(
            stream,
            &format!("reading {filter} from message {sequence} on"),
            json!({"seq": sequence, "next_by_subj": filter}),
        )
        .await
    }

    /// The message with this number, if it is still there.
    ///
    /// # Errors
    /// When the broker cannot be asked, or has no such stream.
    pub async fn message(&self, stream: &str, sequence: u64) -> Result<Option<Stored>, BusError> {
        self.get(
            stream,
            &format!("reading message {sequence} of {stream}"),
            json!({"seq": sequence}),
        )
        .await
    }

    async fn get(
        &self,
        stream: &str,
        what: &str,
        which: serde_json::Value,
    ) -> Result<Option<Stored>, BusError> {
        let bad = |source: base64::DecodeError| BusError::Answer {
            what: what.into(),
            source: source.into(),
        };
        let got: Result<Got, _> = self
            .api(what, &format!("STREAM.MSG.GET.{stream}"), &which)
            .await;
        let Got { message } = match got {
            Ok(got) => got,
            Err(BusError::Refused {
                code: code::NO_MESSAGE_FOUND,
                ..
            }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let decode = |text: Option<String>| {
            BASE64_STANDARD
                .decode(text.unwrap_or_default())
                .map_err(bad)
        };
        Ok(Some(Stored {
            subject: message.subject,
            sequence: message.seq,
            time: message.time,
            headers: parse_headers(&decode(message.hdrs)?),
            body: decode(message.data)?.into(),
        }))
    }

    /// Removes one message. False when it was not there.
    ///
    /// # Errors
    /// When the broker cannot be asked, or has no such stream.
    pub async fn delete(&self, stream: &str, sequence: u64) -> Result<bool, BusError> {
        let what = format!("deleting message {sequence} of {stream}");
        let operation = format!("STREAM.MSG.DELETE.{stream}");
        // Without `no_erase` the bytes are overwritten on disk, which costs more and serves nothing here.
        match self
            .api::<serde_json::Value>(
                &what,
                &operation,
                &json!({"seq": sequence, "no_erase": true}),
            )
            .await
        {
            Ok(_) => Ok(true),
            // 10043: no such sequence; 10057: nothing under it any more.
            Err(BusError::Refused {
                code: code::NO_MESSAGE_FOUND | 10043 | 10057,
                ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes all messages whose subject matches the filter, and says how many they were.
    ///
    /// # Errors
    /// When the broker cannot be asked, or has no such stream.
    pub async fn purge(&self, stream: &str, filter: &str) -> Result<u64, BusError> {
        let operation = format!("STREAM.PURGE.{stream}");
        let what = format!("purging {filter} of {stream}");
        Ok(self
            .api::<Purged>(&what, &operation, &json!({"filter": filter}))
            .await?
            .purged)
    }

    /// The subjects that hold messages and match the filter, each with its number of messages.
    ///
    /// # Errors
    /// When the broker cannot be asked, or has no such stream.
    pub async fn subjects(
        &self,
        stream: &str,
        filter: &str,
    ) -> Result<BTreeMap<String, u64>, BusError> {
        let what = format!("counting {filter} of {stream}");
        let mut subjects = BTreeMap::new();
        let mut offset = 0;
        loop {
            let which = json!({"subjects_filter": filter, "offset": offset});
            let page: Counted = self
                .api(&what, &format!("STREAM.INFO.{stream}"), &which)
                .await?;
            let found = page.state.subjects.unwrap_or_default();
            offset += found.len();
            let end = found.is_empty() || offset >= page.total;
            subjects.extend(found);
            if end {
                return Ok(subjects);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_reply_subject_are_read() {
        let expected = Receipt {
            delivered: 3,
            stream_sequence: 17,
            consumer_sequence: 21,
            stored_at: "2026-11-21T06:00:00.5Z".parse().unwrap(),
            pending: 4,
        };
        let tail = format!("RACK.tick.3.17.21.{}.4", expected.stored_at.as_nanosecond());
        assert_eq!(Receipt::parse(&format!("$JS.ACK.{tail}")), Some(expected));
        assert_eq!(
            Receipt::parse(&format!("$JS.ACK._.hash.{tail}")),
            Some(expected)
        );
        assert_eq!(
            Receipt::parse(&format!("$JS.ACK._.hash.{tail}.token.more")),
            Some(expected)
        );
        for other in [
            "",
            "_INBOX.a.b",
            "$JS.ACK.RACK.tick.3",
            "$JS.ACK.RACK.tick.x.17.21.0.4",
        ] {
            assert_eq!(Receipt::parse(other), None, "{other}");
        }
    }

    #[test]
    fn stored_headers_are_read() {
        let headers = parse_headers(b"NATS/1.0\r\nNats-Msg-Id: a:b\r\nX: 1\r\nX: 2\r\n\r\n");
        assert_eq!(headers["Nats-Msg-Id"], ["a:b"]);
        assert_eq!(headers["X"], ["1", "2"]);
        assert!(parse_headers(b"").is_empty());
    }
}
