//! What can go wrong on the way to the broker and back.

use std::time::Duration;

use crate::connect::{MINIMUM_SERVER, Version};
use crate::denied::Act;

/// An error of an unspecified kind, as a cause.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failed call. Variants are named for what the caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// No connection: check the address and that the broker runs.
    #[error("no NATS server can be reached at {servers}: is it running, and is NATS_URL right?")]
    Unreachable {
        /// The addresses, without passwords.
        servers: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The broker refuses the credentials.
    #[error("the NATS server at {servers} refuses these credentials")]
    Unauthorized {
        /// The addresses, without passwords.
        servers: String,
    },
    /// One side does not believe the other's certificate.
    #[error(
        "no TLS connection can be made to the NATS server at {servers}: NATS_CA is to name the authority behind its \
         certificate, NATS_CERT and NATS_KEY ours if it asks for one"
    )]
    Tls {
        /// The addresses, without passwords.
        servers: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// Address, credentials or certificate cannot be used as given.
    #[error("{what} cannot be used")]
    Setting {
        /// Which setting, with its value when it is no secret.
        what: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The broker must be upgraded.
    #[error(
        "the NATS server has version {found}, and racktick needs {MINIMUM_SERVER} or later: \
         earlier ones lose or repeat scheduled messages"
    )]
    TooOld {
        /// Its version.
        found: Version,
    },
    /// No answer in time: what was asked may have been done, may be done yet, or not at all.
    #[error("{what}: no answer from NATS within {waited:?}, so whether it was done is unknown")]
    Unknown {
        /// What was asked.
        what: String,
        /// How long the answer was waited for, retries included.
        waited: Duration,
    },
    /// Nobody listens: the stream does not exist or is not ready, or JetStream is off. Nothing was done.
    #[error(
        "{what}: nobody at the NATS server takes it; is JetStream on, and was `racktick setup` run?"
    )]
    Nobody {
        /// What was asked.
        what: String,
    },
    /// The broker does not let this user do it. Nothing was done.
    #[error("{what}: the NATS server does not let this user {act} `{subject}`; {advice}")]
    Denied {
        /// What was asked.
        what: String,
        /// What is not permitted.
        act: Act,
        /// On which subject.
        subject: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The stream, consumer or bucket does not exist.
    #[error("{what}: it does not exist; run `racktick setup`")]
    Missing {
        /// What was asked.
        what: String,
    },
    /// JetStream has less room left than the stream may take. Nothing was done.
    #[error(
        "{what}: JetStream has too little room left on its disk; give it a larger `max_file_store` in the server's \
         configuration, or let events and evidence take less (RACKTICK_EVENTS_MAX_BYTES, RACKTICK_EVIDENCE_MAX_BYTES)"
    )]
    NoRoom {
        /// What was asked.
        what: String,
    },
    /// More replicas are wanted than there are servers to keep them. Nothing was done.
    #[error(
        "{what}: there are too few NATS servers for that many replicas ({description}); run as many in one cluster, all \
         of them started, or set RACKTICK_REPLICAS to what there is"
    )]
    TooFewServers {
        /// What was asked.
        what: String,
        /// JetStream's words.
        description: String,
    },
    /// JetStream is not able to do it now, as while a cluster has no leader. Nothing was done.
    #[error("{what}: JetStream cannot do it at present: {description}")]
    Unavailable {
        /// What was asked.
        what: String,
        /// JetStream's words.
        description: String,
    },
    /// JetStream refused. Nothing was done.
    #[error("{what}: refused by JetStream with {code}: {description}")]
    Refused {
        /// What was asked.
        what: String,
        /// JetStream's error code.
        code: u64,
        /// JetStream's words.
        description: String,
    },
    /// More than the broker takes in one message or batch. Nothing was done.
    #[error("{what}: {size} is more than the {limit} that fit")]
    TooLarge {
        /// What was asked.
        what: String,
        /// How much it is.
        size: usize,
        /// How much would fit.
        limit: usize,
    },
    /// A stored value that is not what it should be, or that a later racktick wrote.
    #[error("key `{key}` of bucket `{bucket}` holds no record that this racktick can read")]
    Malformed {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The broker answered something that is no answer.
    #[error("{what}: the answer of the NATS server makes no sense")]
    Answer {
        /// What was asked.
        what: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// Setting up would lose data, or running would be unsafe. Each line is one reason.
    #[error("{}", .0.join("\n"))]
    Topology(Vec<String>),
}

impl BusError {
    /// True when trying again later can help: the trouble is the broker's or the network's and not the request's.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Unknown { .. }
                | Self::Nobody { .. }
                | Self::Unavailable { .. }
                | Self::Answer { .. }
        )
    }
}
