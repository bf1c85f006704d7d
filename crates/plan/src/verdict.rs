//! What a job that is over has proved.

use std::collections::BTreeMap;

use model::machine::{CancelCause, CancelRequest};
use model::outcome::{FailCause, LostCause, Outcome, Phase};

/// The status of a phase whose shell was killed: that is how Testflinger's agent ends a cancelled job.
const KILLED: i64 = 247;
/// The status by which a device connector says that it could not recover the machine.
const RECOVERY_FAILED: i64 = 46;
/// The state of a job that was cancelled. One that ran goes on to `complete`.
const CANCELLED: &str = "cancelled";

/// What Testflinger says of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultDocument {
    /// Its state.
    pub state: String,
    /// Statuses of the phases that ran.
    pub statuses: BTreeMap<Phase, i64>,
}

/// The verdict of a job that is over; `cancel` is the request that stands in its claim.
///
/// A cancel decides even when the job had passed by the time it arrived: what was asked for is what people were told,
/// and the statuses are kept beside the verdict. Cleanup's status does not count.
pub fn verdict(result: &ResultDocument, cancel: Option<&CancelRequest>) -> Outcome {
    match cancel.map(|request| request.cause) {
        Some(CancelCause::Deadline) => {
            return Outcome::Lost {
                cause: LostCause::Deadline,
            };
        }
        Some(CancelCause::Asked | CancelCause::Seen) => return Outcome::Cancelled,
        None if result.state == CANCELLED => return Outcome::Cancelled,
        None => {}
    }
    let bad = result
        .statuses
        .iter()
        .find(|(phase, status)| **phase != Phase::Cleanup && **status != 0);
    if let Some((phase, status)) = bad {
        let cause = match *status {
            KILLED => FailCause::Killed,
            RECOVERY_FAILED => FailCause::RecoveryFailed,
            _ => FailCause::Phase,
        };
        return Outcome::Failed {
            cause,
            phase: Some(*phase),
            exit_code: Some(*status),
        };
    }
    // Nothing failed, so a status of the provisioning is 0.
    if result.statuses.contains_key(&Phase::Provision) {
        Outcome::Passed
    } else {
        Outcome::Failed {
            cause: FailCause::NotProvisioned,
            phase: None,
            exit_code: None,
        }
    }
}

/// The verdict of a job that Testflinger no longer knows, see [`crate::look::Conclusion::Gone`]. Nobody can say how it
/// ended, whatever was asked for.
pub fn gone() -> Outcome {
    Outcome::Lost {
        cause: LostCause::Gone,
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
