//! Why something could not be learnt from MAAS or Testflinger.

use std::error::Error;
use std::time::Duration;

use bus::runtime::TaskError;
use ledger::LedgerError;
use maas::MaasError;
use model::speed::Speed;
use testflinger::TestflingerError;

/// MAAS does not know the rack's tag.
pub(crate) const UNKNOWN_TAG: &str = "unknown_tag";

/// A failed read: nothing may be decided on what it said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// One stable word, such as `timeout` or `unknown_tag`.
    pub cause: &'static str,
    /// A sentence for a person, without secrets.
    pub message: String,
    /// What the server asked us to wait.
    pub retry_after: Option<Duration>,
}

impl From<MaasError> for Trouble {
    fn from(error: MaasError) -> Self {
        let retry_after = error.retry_after();
        Self {
            cause: error.cause(),
            message: chain(&error),
            retry_after,
        }
    }
}

impl From<TestflingerError> for Trouble {
    fn from(error: TestflingerError) -> Self {
        let retry_after = error.retry_after();
        Self {
            cause: error.cause(),
            message: chain(&error),
            retry_after,
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Gives a message back because a remote failed; `attempt` counts its deliveries from 1.
pub(crate) fn again(attempt: u32, trouble: &Trouble, speed: Speed) -> TaskError {
    let after = plan::retry::after_attempt(attempt, trouble.retry_after, speed);
    TaskError::retry(after, format!("{}: {}", trouble.cause, trouble.message))
}

/// The same for the broker, which lives in real time at any speed.
pub(crate) fn broker_again(attempt: u32) -> impl Fn(LedgerError) -> TaskError {
    move |error| {
        TaskError::retry(
            plan::retry::after_attempt(attempt, None, Speed::REAL),
            chain(&error),
        )
    }
}
