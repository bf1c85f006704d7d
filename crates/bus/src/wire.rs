//! Requests and their answers, as JetStream's wire protocol has them.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{HeaderMap, Message, Request};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::connect::Bus;
use crate::denied::{Denial, Inbox, Watch};
use crate::error::{BusError, Cause};

/// How long one request waits for its answer. Short, so that a failover costs no more than this.
pub(crate) const ONE_TRY: Duration = Duration::from_secs(2);

/// How long a request is repeated that may be repeated: longer than replicas need to elect a leader and to be found
/// again, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// The headers that JetStream reads and writes, and ours.
pub(crate) mod header {
    pub(crate) const MESSAGE_ID: &str = "Nats-Msg-Id";
    pub(crate) const EXPECTED_SUBJECT_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";
    pub(crate) const SCHEDULE: &str = "Nats-Schedule";
    pub(crate) const SCHEDULE_TARGET: &str = "Nats-Schedule-Target";
    pub(crate) const TRACEPARENT: &str = "traceparent";
    pub(crate) const SCHEDULER: &str = "Nats-Scheduler";
    pub(crate) const BATCH_ID: &str = "Nats-Batch-Id";
    pub(crate) const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
    pub(crate) const BATCH_COMMIT: &str = "Nats-Batch-Commit";
    pub(crate) const PENDING_MESSAGES: &str = "Nats-Pending-Messages";
    pub(crate) const KV_OPERATION: &str = "KV-Operation";
    pub(crate) const ROLLUP: &str = "Nats-Rollup";
    /// Our own: nothing more will become of the record.
    pub(crate) const OVER: &str = "Racktick-Over";
}

/// JetStream's error codes that mean something to us.
pub(crate) mod code {
    /// There are fewer servers in the cluster than replicas are wanted, or some are offline.
    pub(crate) const NO_PEERS: u64 = 10005;
    pub(crate) const CONSUMER_NOT_FOUND: u64 = 10014;
    pub(crate) const NO_MESSAGE_FOUND: u64 = 10037;
    /// The storage that JetStream may use is full.
    pub(crate) const INSUFFICIENT_RESOURCES: u64 = 10023;
    /// The storage that JetStream may use would not hold what a stream may take.
    pub(crate) const NO_STORAGE: u64 = 10047;
    pub(crate) const STREAM_NOT_FOUND: u64 = 10059;
    /// Another revision than the expected one.
    pub(crate) const WRONG_LAST_SEQUENCE: u64 = 10071;
    /// Replicas are wanted of a server that belongs to no cluster.
    pub(crate) const NO_CLUSTER: u64 = 10074;
    /// With replicas: a message with this id is on its way to being stored, and may yet fail to be.
    pub(crate) const ID_IN_PROCESS: u64 = 10158;
    /// With replicas: an earlier write to the subject is on its way to being stored, and may yet fail to be.
    pub(crate) const WRITE_IN_PROCESS: u64 = 10164;
    /// More is under way than the stream takes in.
    pub(crate) const TOO_MANY_REQUESTS: u64 = 10167;
    pub(crate) const BATCH_INCOMPLETE: u64 = 10176;
    /// A message id of the batch is known already.
    pub(crate) const BATCH_DUPLICATE: u64 = 10201;
    /// More batches are under way than the server takes in.
    pub(crate) const TOO_MANY_BATCHES: u64 = 10210;
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
    /// The server is not ready, or something earlier is not decided; nothing was done.
    pub(crate) fn is_transient(&self) -> bool {
        self.is_in_process()
            || self.code == 503
            || matches!(
                self.err_code,
                code::TOO_MANY_REQUESTS | code::TOO_MANY_BATCHES
            )
    }

    /// Nothing was stored, because there is no room for it.
    pub(crate) fn is_no_room(&self) -> bool {
        matches!(
            self.err_code,
            code::NO_STORAGE | code::INSUFFICIENT_RESOURCES
        )
    }

    /// Something earlier is not decided, which takes about as long as a message to the other replicas and back.
    pub(crate) fn is_in_process(&self) -> bool {
        matches!(self.err_code, code::ID_IN_PROCESS | code::WRITE_IN_PROCESS)
    }

    /// How long to wait before the same is asked again.
    pub(crate) fn pause(&self, attempt: u32) -> Duration {
        match self.is_in_process() {
            true => Duration::from_millis(4) * 2u32.pow(attempt.min(6)),
            false => pause(attempt),
        }
    }

    /// A compare-and-set that lost, or one against which something undecided stands.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(
            self.err_code,
            code::WRONG_LAST_SEQUENCE | code::WRITE_IN_PROCESS
        )
    }

    pub(crate) fn into_error(self, what: &str) -> BusError {
        if self.is_no_room() {
            return BusError::NoRoom { what: what.into() };
        }
        match self.err_code {
            code::STREAM_NOT_FOUND | code::CONSUMER_NOT_FOUND => {
                BusError::Missing { what: what.into() }
            }
            code::NO_PEERS | code::NO_CLUSTER => BusError::TooFewServers {
                what: what.into(),
                description: self.description,
            },
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
    /// The broker does not permit it; it was not done.
    Denied(Denial),
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
            Self::Denied(denial) => denial.into_error(&what),
            Self::TooLarge => BusError::TooLarge { what, size, limit },
            Self::Unsendable(source) => BusError::Setting { what, source },
        }
    }
}

#[derive(Deserialize)]
struct OnlyError {
    error: Option<ApiError>,
}

/// A node says that its cluster has no leader, as far as it can see. Looked for without reading the whole answer,
/// because every answer is looked at.
fn is_leaderless(message: &Message) -> bool {
    /// Longer than such an answer is.
    const SHORT: usize = 512;
    const NO_LEADER: &[u8] = b"\"err_code\":10008,";
    message.payload.len() < SHORT
        && message
            .payload
            .windows(NO_LEADER.len())
            .any(|part| part == NO_LEADER)
}

/// Grows from try to try, so that a broker that starts is not flooded.
pub(crate) fn pause(attempt: u32) -> Duration {
    Duration::from_millis(50) * 2u32.pow(attempt.min(4))
}

impl Bus {
    /// One request, one answer.
    pub(crate) async fn ask(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, NoAnswer> {
        self.ask_for(ONE_TRY, subject, headers, payload).await
    }

    /// The same, with another wait for the answer.
    async fn ask_for(
        &self,
        wait: Duration,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, NoAnswer> {
        let mut watch = self.denials.watch(vec![subject.clone()], Inbox::Shared);
        self.ask_watching(&mut watch, wait, subject, headers, payload)
            .await
    }

    /// The same, with an ear on what is denied of more than the request itself.
    pub(crate) async fn ask_watching(
        &self,
        watch: &mut Watch,
        wait: Duration,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, NoAnswer> {
        let mut request = Request::new().payload(payload).timeout(Some(wait));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let answer = tokio::select! {
            answer = self.client.send_request(subject, request) => answer,
            denial = watch.denied() => return Err(NoAnswer::Denied(denial)),
        };
        let answer = answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => NoAnswer::Nobody,
            RequestErrorKind::MaxPayloadExceeded => NoAnswer::TooLarge,
            RequestErrorKind::InvalidSubject => NoAnswer::Unsendable(error.into()),
            // `Other` is a connection that went away between sending and answer.
            RequestErrorKind::TimedOut | RequestErrorKind::Other => NoAnswer::Late,
        });
        match &answer {
            Ok(message) if !is_leaderless(message) => self.heard(),
            Ok(_) | Err(NoAnswer::Late | NoAnswer::Nobody) => self.unheard().await,
            Err(NoAnswer::TooLarge | NoAnswer::Unsendable(_) | NoAnswer::Denied(_)) => {}
        }
        answer
    }

    /// The same for what may be repeated: ends early when the connection is made anew meanwhile, since an answer that
    /// was under way is lost then.
    pub(crate) async fn ask_repeatable(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, NoAnswer> {
        self.ask_repeatable_for(ONE_TRY, subject, headers, payload)
            .await
    }

    async fn ask_repeatable_for(
        &self,
        wait: Duration,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, NoAnswer> {
        let mut connections = self.connections();
        connections.mark_unchanged();
        let connected = self.is_connected();
        tokio::select! {
            answer = self.ask_for(wait, subject, headers, payload) => answer,
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
        self.api_within(PATIENCE, what, operation, body).await
    }

    /// The same, repeated for this long; zero is asked once.
    pub(crate) async fn api_within<T: DeserializeOwned>(
        &self,
        patience: Duration,
        what: &str,
        operation: &str,
        body: &impl Serialize,
    ) -> Result<T, BusError> {
        self.api_for(ONE_TRY, patience, what, operation, body).await
    }

    /// The same, with another wait for each answer.
    pub(crate) async fn api_for<T: DeserializeOwned>(
        &self,
        wait: Duration,
        patience: Duration,
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
                .ask_repeatable_for(wait, format!("$JS.API.{operation}"), None, payload.clone())
                .await;
            let again = since.elapsed() < patience;
            let mut rest = pause(attempt);
            match answer {
                Ok(message) => {
                    let OnlyError { error } =
                        serde_json::from_slice(&message.payload).map_err(bad_answer)?;
                    match error {
                        None => {
                            return serde_json::from_slice(&message.payload).map_err(bad_answer);
                        }
                        Some(error) if error.is_transient() && again => rest = error.pause(attempt),
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
            tokio::time::sleep(rest).await;
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
