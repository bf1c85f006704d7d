use std::time::Duration;

use crate::limits::Limit;
use crate::refusal::Refusal;

/// What can be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Trying again later may help.
    Transient,
    /// The server understood and said no. The same request will be refused again.
    Rejected,
    /// The credentials or the rights behind them are the trouble: a person has to act.
    Auth,
    /// What came back is not the API we speak: wrong address, a proxy, a broken server.
    Malformed,
}

/// Why a call gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request could not be put together. Nothing was sent.
    #[error("the request to {server} cannot be built")]
    Request {
        /// Host and port.
        server: String,
        /// What is wrong with it.
        #[source]
        source: reqwest::Error,
    },
    /// No connection: name, route, refusal or TLS. Nothing was sent.
    #[error("no connection to {server}")]
    Connect {
        /// Host and port.
        server: String,
        /// What the network said.
        #[source]
        source: reqwest::Error,
    },
    /// One of the time limits struck.
    #[error("{server}: {limit} {after:?}")]
    Timeout {
        /// Host and port.
        server: String,
        /// Which limit.
        limit: Limit,
        /// Its value.
        after: Duration,
    },
    /// The connection broke, the answer ended before it was complete, or it was no HTTP at all.
    #[error("{server} gave no complete answer")]
    Cut {
        /// Host and port.
        server: String,
        /// What the network said, or where the text ended.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server sends us elsewhere. We never follow: the address in the settings has to be the right one.
    #[error(
        "{server} answered {status} and points to `{location}`; set the address to where it really is"
    )]
    Redirect {
        /// Host and port.
        server: String,
        /// The HTTP status.
        status: u16,
        /// Where to, printable and short.
        location: String,
    },
    /// Another status than the call can use.
    #[error("{server} answered {refusal}")]
    Status {
        /// Host and port.
        server: String,
        /// Status and body.
        refusal: Box<Refusal>,
    },
    /// The body is longer than its cap.
    #[error("the answer of {server} is longer than {cap} bytes")]
    TooLarge {
        /// Host and port.
        server: String,
        /// The cap, in bytes.
        cap: u64,
    },
    /// A page for a browser came with a status that promised data.
    #[error("{server} answered with a web page instead of data; is a proxy or a login in between?")]
    Html {
        /// Host and port.
        server: String,
    },
    /// The body is not what this call answers with.
    #[error("the answer of {server} cannot be used: {why}")]
    Malformed {
        /// Host and port.
        server: String,
        /// What was expected and what came, printable and short.
        why: String,
    },
}

impl Error {
    /// What can be done about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Connect { .. } | Self::Timeout { .. } | Self::Cut { .. } => Class::Transient,
            Self::Request { .. } => Class::Rejected,
            Self::Redirect { .. }
            | Self::TooLarge { .. }
            | Self::Html { .. }
            | Self::Malformed { .. } => Class::Malformed,
            Self::Status { refusal, .. } => match refusal.status {
                408 | 425 | 429 | 500..=599 => Class::Transient,
                // A conflict that the server expects to pass, says MAAS with this header.
                409 if refusal.retry_after.is_some() => Class::Transient,
                401 | 407 => Class::Auth,
                _ if refusal.html => Class::Malformed,
                403 => Class::Auth,
                400..=499 => Class::Rejected,
                _ => Class::Malformed,
            },
        }
    }

    /// How long the server asks us to wait before we try again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { refusal, .. } => refusal.retry_after,
            _ => None,
        }
    }

    /// One stable word for events and metrics.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Request { .. } => "request",
            Self::Connect { .. } => "connect",
            Self::Timeout { .. } => "timeout",
            Self::Cut { .. } => "cut",
            Self::Redirect { .. } => "redirect",
            Self::TooLarge { .. } => "too_large",
            Self::Html { .. } => "html",
            Self::Malformed { .. } => "malformed",
            Self::Status { refusal, .. } => match refusal.status {
                401 => "auth",
                _ if refusal.html => "html",
                403 => "forbidden",
                429 => "throttled",
                _ => "status",
            },
        }
    }

    /// Whether the server certainly saw nothing of the request. False means: not known.
    pub fn never_sent(&self) -> bool {
        matches!(
            self,
            Self::Request { .. }
                | Self::Connect { .. }
                | Self::Timeout {
                    limit: Limit::Connect,
                    ..
                }
        )
    }

    /// The refusal, if the server gave one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Status { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}
