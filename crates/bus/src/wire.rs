//! Requests and their answers, as JetStream's wire protocol has them.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{HeaderMap, Message, Request};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::connect::Bus;
use crate::error::{BusError, Cause};

/// How long one request waits for its answer. Short, so that a failover costs no more than this.
pub(crate) const ONE_TRY: Duration = Duration::from_secs(2);

/// How long a request is repeated that may be repeated.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The headers that JetStream reads and writes.
pub(crate) mod header {
    pub(crate) const MESSAGE_ID: &str = "Nats-Msg-Id";
    pub(crate) const EXPECTED_SUBJECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
    pub(crate) const SCHEDULE: &str = "Nats-Schedule";
    pub(crate) const SCHEDULE_TARGET: &str = "Nats-Schedule-Target";
    pub(crate) const SCHEDULER: &str = "Nats-Scheduler";
    pub(crate) const BATCH_ID: &str = "Nats-Batch-Id";
    pub(crate) const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
    pub(crate) const BATCH_COMMIT: &str = "Nats-Batch-Commit";
    pub(crate) const PENDING_MESSAGES: &str = "Nats-Pending-Messages";
    pub(crate) const KV_OPERATION: &str = "KV-Operation";
}

/// JetStream's error codes that mean something to us.
pub(crate) mod code {
    pub(crate) const CONSUMER_NOT_FOUND: u64 = 10014;
    pub(crate) const NO_MESSAGE_FOUND: u64 = 10037;
    /// The storage that JetStream may use would not hold what a stream may take.
    pub(crate) const NO_STORAGE: u64 = 10047;
    pub(crate) const STREAM_NOT_FOUND: u64 = 10059;
    /// Another revision than the expected one.
    pub(crate) const WRONG_LAST_SEQUENCE: u64 = 10071;
    /// With replicas: an earlier write to the subject is still being applied.
    pub(crate) const WRITE_IN_PROCESS: u64 = 10164;
    pub(crate) const BATCH_INCOMPLETE: u64 = 10176;
    /// A message id of the batch is known already.
    pub(crate) const BATCH_DUPLICATE: u64 = 10201;
}

/// An error in an answer.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ApiError {
    /// Like an HTTP status.
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) err_code: u64,
    #[serde(default)]
    pub(crate) description: String,
}

impl ApiError {
    /// The server is not ready; nothing was done.
    pub(crate) fn is_transient(&self) -> bool {
        self.code == 503
    }

    /// A compare-and-set that lost.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(
            self.err_code,
            code::WRONG_LAST_SEQUENCE | code::WRITE_IN_PROCESS
        )
    }

    pub(crate) fn into_error(self, what: &str) -> BusError {
        match self.err_code {
            code::STREAM_NOT_FOUND | code::CONSUMER_NOT_FOUND => {
                BusError::Missing { what: what.into() }
            }
            code::NO_STORAGE => BusError::NoRoom { what: what.into() },
            _ if self.is_transient() => BusError::Unavailable {
                what: what.into(),
                description: self.description,
            },
            code => BusError::Refused {
                what: what.into(),
                code,
                description: self.description,
            },
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// None came; it may have been done.
    Late,
    /// Nobody listens; it was not done.
    Nobody,
    /// It does not fit into a message; it was not done.
    TooLarge,
    /// The request could not be made; it was not done.
    Unsendable(Cause),
}

impl NoAnswer {
    pub(crate) fn into_error(
        self,
        what: &str,
        size: usize,
        limit: usize,
        since: Instant,
    ) -> BusError {
        let what = what.to_owned();
        match self {
            Self::Late => BusError::Unknown {
                what,
                waited: since.elapsed(),
            },
            Self::Nobody => BusError::Nobody { what },
            Self::TooLarge => BusError::TooLarge { what, size, limit },
            Self::Unsendable(source) => BusError::Setting { what, source },
        }
    }
}

#[derive(Deserialize)]
struct OnlyError {
    error: Option<ApiError>,
}

/// Grows from try to try, so that a broker that starts is not flooded.
pub(crate) fn pause(attempt: u32) -> Duration {
    Duration::from_millis(50) * 2u32.pow(attempt.min(5))
}

impl Bus {
    /// One request, one answer.
    pub(crate) async fn ask(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, NoAnswer> {
        let mut request = Request::new().payload(payload).timeout(Some(ONE_TRY));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        self.client
            .send_request(subject, request)
            .await
            .map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => NoAnswer::Nobody,
                RequestErrorKind::MaxPayloadExceeded => NoAnswer::TooLarge,
                RequestErrorKind::InvalidSubject => NoAnswer::Unsendable(error.into()),
                // `Other` is a connection that went away between sending and answer.
                RequestErrorKind::TimedOut | RequestErrorKind::Other => NoAnswer::Late,
            })
    }

    /// The same for what may be repeated: ends early when the connection is made anew meanwhile, since an answer that
    /// was under way is lost then.
    pub(crate) async fn ask_repeatable(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, NoAnswer> {
        let mut connections = self.connections();
        connections.mark_unchanged();
        let connected = self.is_connected();
        tokio::select! {
            answer = self.ask(subject, headers, payload) => answer,
            // Without a connection, it has not left yet, and will once there is one.
            _ = connections.changed(), if connected => Err(NoAnswer::Late),
        }
    }

    /// A request to JetStream's API, which may be repeated: all that are used either read or lead to the same state.
    pub(crate) async fn api<T: DeserializeOwned>(
        &self,
        what: &str,
        operation: &str,
        body: &impl Serialize,
    ) -> Result<T, BusError> {
        let bad_answer = |source: serde_json::Error| BusError::Answer {
            what: what.into(),
            source: source.into(),
        };
        let payload = Bytes::from(serde_json::to_vec(body).map_err(bad_answer)?);
        let since = Instant::now();
        let mut attempt = 0;
        loop {
            let answer = self
                .ask_repeatable(format!("$JS.API.{operation}"), None, payload.clone())
                .await;
            let again = since.elapsed() < PATIENCE;
            match answer {
                Ok(message) => {
                    let OnlyError { error } =
                        serde_json::from_slice(&message.payload).map_err(bad_answer)?;
                    match error {
                        None => {
                            return serde_json::from_slice(&message.payload).map_err(bad_answer);
                        }
                        Some(error) if error.is_transient() && again => {}
                        Some(error) => return Err(error.into_error(what)),
                    }
                }
                Err(NoAnswer::Late | NoAnswer::Nobody) if again => {}
                Err(none) => {
                    return Err(none.into_error(
                        what,
                        payload.len(),
                        self.client.max_payload(),
                        since,
                    ));
                }
            }
            tokio::time::sleep(pause(attempt)).await;
            attempt += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cluster says so while it has no leader, for longer than one request has patience. A role that took it for a
    /// refusal would end.
    #[test]
    fn what_is_unavailable_is_asked_for_again() {
        let said = |code, err_code| {
            let description = "JetStream system temporarily unavailable".into();
            let error = ApiError {
                code,
                err_code,
                description,
            };
            error.into_error("reading")
        };
        assert!(said(503, 10_008).is_transient());
        assert!(!said(400, 10_008).is_transient());
        assert!(!said(404, code::STREAM_NOT_FOUND).is_transient());
    }
}
