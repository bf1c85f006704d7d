use std::time::Duration;

use rest::{Class, Error};

/// Why MAAS gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum MaasError {
    /// No such tag. Not the same as a tag without machines.
    #[error("MAAS knows no tag `{0}`; create it there, or correct the name of the rack")]
    UnknownTag(String),
    /// The key is not accepted. MAAS's own words stay unread: they can hold the secret.
    #[error(
        "MAAS does not accept the API key (401); \
         check the key, and that this machine's clock is not more than 5 minutes behind"
    )]
    Unauthorized,
    /// The key is good, its user may not do this.
    #[error("MAAS forbids the user of the API key to {doing} (403) {message}")]
    Forbidden {
        /// What was tried.
        doing: &'static str,
        /// What MAAS said; often nothing.
        message: String,
    },
    /// Everything else.
    #[error("cannot {doing} from MAAS")]
    Http {
        /// What was tried.
        doing: &'static str,
        /// What went wrong.
        #[source]
        source: Error,
    },
}

impl MaasError {
    pub(crate) fn new(doing: &'static str, error: Error) -> Self {
        match error.refusal() {
            Some(refusal) if refusal.status == 401 => Self::Unauthorized,
            Some(refusal) if refusal.status == 403 && !refusal.html => Self::Forbidden {
                doing,
                message: refusal.excerpt().to_owned(),
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
            Self::UnknownTag(_) => Class::Rejected,
            Self::Unauthorized | Self::Forbidden { .. } => Class::Auth,
            Self::Http { source, .. } => source.class(),
        }
    }

    /// How long MAAS asks us to wait before we try again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http { source, .. } => source.retry_after(),
            _ => None,
        }
    }

    /// One stable word for events and metrics.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::UnknownTag(_) => "unknown_tag",
            Self::Unauthorized => "auth",
            Self::Forbidden { .. } => "forbidden",
            Self::Http { source, .. } => source.cause(),
        }
    }
}
