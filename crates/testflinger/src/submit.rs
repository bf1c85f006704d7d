use std::time::Duration;

use rest::{Class, Error, Http};

use crate::error::{TestflingerError, message};

/// Why a job is not known to be stored.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The server understood and will never take this job.
    #[error("Testflinger refuses the job ({status}): {message}")]
    Refused {
        /// 400 or 422.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// The job is certainly not stored, and that is not its own fault. Later, it may be taken.
    #[error("the job did not get to Testflinger")]
    NotStored(#[source] TestflingerError),
    /// The job may be stored or not. Ask before the next try.
    #[error("it is not known whether Testflinger has the job")]
    Unknown(#[source] TestflingerError),
}

impl SubmitError {
    /// Sorts what came after the POST had left, or should have.
    pub(crate) fn new(http: &Http, error: Error) -> Self {
        const DOING: &str = "submit the job";
        let status = match error.refusal() {
            // A page from in between, or half a body, does not prove that the server said no.
            Some(refusal) if refusal.html || !refusal.complete => None,
            Some(refusal) => Some(refusal),
            None => None,
        };
        match status.map(|refusal| (refusal.status, refusal)) {
            Some((status @ (400 | 422), refusal)) => {
                return Self::Refused {
                    status,
                    message: message(http, refusal),
                };
            }
            Some((401 | 403 | 404 | 429, _)) => {
                return Self::NotStored(TestflingerError::new(http, DOING, error));
            }
            _ => {}
        }
        let never_sent = error.never_sent();
        let error = TestflingerError::new(http, DOING, error);
        if never_sent {
            Self::NotStored(error)
        } else {
            Self::Unknown(error)
        }
    }

    /// What can be done about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { .. } => Class::Rejected,
            Self::NotStored(error) | Self::Unknown(error) => error.class(),
        }
    }

    /// How long Testflinger asks us to wait before we try again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { .. } => None,
            Self::NotStored(error) | Self::Unknown(error) => error.retry_after(),
        }
    }

    /// One stable word for events and metrics.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::NotStored(error) | Self::Unknown(error) => error.cause(),
        }
    }
}
