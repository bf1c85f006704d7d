use std::sync::Arc;
use std::time::Duration;

use rest::{Class, Error, Http, Refusal};
use serde_json::Value;

/// Why Testflinger gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum TestflingerError {
    /// The client id or its secret is wrong.
    #[error("Testflinger does not accept the client id and secret; check both")]
    Credentials,
    /// No access token could be had, for another reason.
    #[error("cannot get an access token from Testflinger")]
    Token(#[source] Arc<Error>),
    /// The server wants to know who asks, or does not believe it.
    #[error("Testflinger wants credentials to {doing} (401): {message}")]
    Unauthorized {
        /// What was tried.
        doing: &'static str,
        /// What the server said.
        message: String,
    },
    /// Our role or client may not do this.
    #[error("Testflinger forbids us to {doing} (403): {message}")]
    Forbidden {
        /// What was tried.
        doing: &'static str,
        /// What the server said.
        message: String,
    },
    /// Everything else.
    #[error("cannot {doing} at Testflinger")]
    Http {
        /// What was tried.
        doing: &'static str,
        /// What went wrong.
        #[source]
        source: Error,
    },
}

impl TestflingerError {
    pub(crate) fn new(http: &Http, doing: &'static str, error: Error) -> Self {
        match error.refusal() {
            Some(refusal) if refusal.status == 401 && !refusal.html => Self::Unauthorized {
                doing,
                message: message(http, refusal),
            },
            // Without data the refusal is a proxy's, not Testflinger's.
            Some(refusal) if refusal.status == 403 && refusal.json().is_some() => Self::Forbidden {
                doing,
                message: message(http, refusal),
            },
            _ => Self::Http {
                doing,
                source: error,
            },
        }
    }

    /// What can be done about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Credentials | Self::Unauthorized { .. } | Self::Forbidden { .. } => Class::Auth,
            Self::Token(source) => source.class(),
            Self::Http { source, .. } => source.class(),
        }
    }

    /// How long Testflinger asks us to wait before we try again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Credentials | Self::Unauthorized { .. } | Self::Forbidden { .. } => None,
            Self::Token(source) => source.retry_after(),
            Self::Http { source, .. } => source.retry_after(),
        }
    }

    /// One stable word for events and metrics.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Credentials | Self::Unauthorized { .. } => "auth",
            Self::Forbidden { .. } => "forbidden",
            Self::Token(source) => source.cause(),
            Self::Http { source, .. } => source.cause(),
        }
    }
}

/// What a refusal says, in one line: the framework's message and its details, or the body as it is.
pub(crate) fn message(http: &Http, refusal: &Refusal) -> String {
    let body = refusal.json();
    let Some(message) = body.as_ref().and_then(|body| body.get("message")?.as_str()) else {
        return refusal.excerpt().to_owned();
    };
    match body
        .as_ref()
        .and_then(|body| body.get("detail")?.as_object())
    {
        Some(detail) if !detail.is_empty() => {
            http.excerpt(&format!("{message}: {}", Value::Object(detail.clone())))
        }
        _ => http.excerpt(message),
    }
}
