use std::time::Duration;

use rest::{Class, Error, Http, Object};

use crate::client::{Failure, Testflinger};
use crate::document::JobDocument;
use crate::error::{TestflingerError, message};
use crate::job::IdentityObject;

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
    fn new(http: &Http, error: Error) -> Self {
        const DOING: &str = "submit the job";
        // A page from in between, or half a body, does not prove that the server said no.
        let proof = error
            .refusal()
            .filter(|refusal| !refusal.html && refusal.complete);
        if let Some(refusal) = proof
            && matches!(refusal.status, 400 | 422)
        {
            return Self::Refused {
                status: refusal.status,
                message: message(http, refusal),
            };
        }
        let our_trouble =
            proof.is_some_and(|refusal| matches!(refusal.status, 401 | 403 | 404 | 429));
        let not_stored = our_trouble || error.never_sent();
        let error = TestflingerError::new(http, DOING, error);
        if not_stored {
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

impl Testflinger {
    /// Submits a job, once. Everything here, a new access token included, ends within [`Limits::total`](rest::Limits::total).
    pub async fn submit(&self, document: &JobDocument<'_>) -> Result<(), SubmitError> {
        let stored = async {
            let answer = self
                .call("submit", self.http.post(&["v1", "job"]).json(document))
                .await?;
            if answer.status() != 200 {
                return Err(Failure::Http(answer.refused().await));
            }
            let Object(identity): IdentityObject = answer
                .json(self.http.limits().body_bytes)
                .await
                .map_err(Failure::Http)?;
            identity
                .expect(document.job_id, &self.http)
                .map_err(Failure::Http)
        };
        stored.await.map_err(|failure| match failure {
            Failure::Token(error) => SubmitError::NotStored(error),
            Failure::Http(error) => SubmitError::new(&self.http, error),
        })
    }
}
