//! What became of a machine in a cycle.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// The end of one machine's part in one cycle. The first four are verdicts: what a finished job proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// The machine deployed.
    Passed,
    /// It did not.
    Failed {
        /// What kind of failure.
        cause: FailCause,
        /// The first phase with a non-zero status.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phase: Option<Phase>,
        /// That phase's status.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i64>,
    },
    /// The job was cancelled.
    Cancelled,
    /// Nobody will ever know.
    Lost {
        /// Why not.
        cause: LostCause,
    },
    /// No job was submitted.
    Skipped(Skip),
    /// Testflinger refused the job for good.
    Rejected {
        /// HTTP status of the refusal.
        status: u16,
        /// What it said, shortened.
        message: String,
    },
}

/// Why a machine did not deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailCause {
    /// A phase ended with a non-zero status.
    Phase,
    /// Status 247 (SIGKILL) although nobody was seen to cancel the job.
    Killed,
    /// Status 46: the device connector could not recover the machine, and its agent went offline.
    RecoveryFailed,
    /// The job ended without a failed phase and without having provisioned.
    NotProvisioned,
}

/// Why there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LostCause {
    /// It ran past its deadline and was cancelled by us.
    Deadline,
    /// Testflinger no longer knows it.
    Gone,
}

/// A machine left alone, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Skip {
    /// The stable code.
    pub reason: SkipReason,
    /// What the code speaks of: the job in flight, the state, the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When the agent had last renewed what it says of itself, where that is what the rule saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<Timestamp>,
}

impl Skip {
    /// A skip that needs no detail.
    pub fn new(reason: SkipReason) -> Self {
        Self {
            reason,
            detail: None,
            heard_at: None,
        }
    }

    /// A skip that names what objected.
    pub fn of(reason: SkipReason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: Some(detail.into()),
            heard_at: None,
        }
    }
}

macro_rules! words {
    ($(#[doc = $type_doc:literal])+ $type:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[doc = $type_doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $type {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $variant,)+
        }

        impl $type {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word for it, on the wire and everywhere else.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// What it means, in one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }

        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let words = Self::ALL.iter().map(|word| word.as_str());
                let doc = concat!($($type_doc, "\n"),+).trim_ascii();
                let schema = ObjectBuilder::new().schema_type(Type::String);
                schema.enum_values(Some(words)).description(Some(doc)).into()
            }
        }

        impl ToSchema for $type {}

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Why a machine was left alone. The codes are stable; the order is the order in which the rules object.
    SkipReason {
        /// The rack is paused.
        RackPaused = "rack_paused",
        /// The rack's policy excludes the machine by name.
        Excluded = "excluded",
        /// A job of racktick's still has the machine.
        InFlight = "in_flight",
        /// The machine is locked in MAAS.
        MaasLocked = "maas_locked",
        /// Its status in MAAS is not one from which a deployment may start.
        MaasStatus = "maas_status",
        /// In MAAS it belongs to somebody whose machines racktick must not touch.
        MaasOwner = "maas_owner",
        /// Testflinger has no agent of this name.
        NoAgent = "no_agent",
        /// Its agent is at a location that the policy does not list.
        OtherLocation = "other_location",
        /// Its agent is offline or in maintenance.
        AgentOffline = "agent_offline",
        /// Its agent has not been heard of for too long.
        AgentSilent = "agent_silent",
        /// Its agent is doing something else, or does not say what.
        AgentBusy = "agent_busy",
        /// Its agent does not take jobs from the queue of its own name.
        NotOnQueue = "not_on_queue",
        /// The queue is restricted, and not to us.
        QueueRestricted = "queue_restricted",
        /// Its deployments failed too often in a row.
        FailStreak = "fail_streak",
        /// The submit came after the time until which it was allowed.
        TooLate = "too_late",
        /// Somebody cancelled it before it was submitted.
        Cancelled = "cancelled",
    }
}

words! {
    /// A phase of a Testflinger job, in the order in which they run.
    Phase {
        /// Setup.
        Setup = "setup",
        /// Provisioning: the deployment itself.
        Provision = "provision",
        /// Firmware update.
        FirmwareUpdate = "firmware_update",
        /// Test commands.
        Test = "test",
        /// Allocation, for jobs of several devices.
        Allocate = "allocate",
        /// Reservation.
        Reserve = "reserve",
        /// Cleanup, always run.
        Cleanup = "cleanup",
    }
}

impl Outcome {
    /// The word under which this outcome is counted.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost { .. } => "lost",
            Self::Skipped(_) => "skipped",
            Self::Rejected { .. } => "rejected",
        }
    }

    /// The outcome without a refusal's message and without times: a cycle keeps one per machine, and has to fit into a
    /// message.
    pub fn brief(&self) -> Self {
        match self {
            Self::Skipped(skip) => Self::Skipped(Skip {
                heard_at: None,
                ..skip.clone()
            }),
            Self::Rejected { status, .. } => Self::Rejected {
                status: *status,
                message: String::new(),
            },
            other => other.clone(),
        }
    }

    /// Whether a job ran and was followed to its end.
    pub fn is_verdict(&self) -> bool {
        !matches!(self, Self::Skipped(_) | Self::Rejected { .. })
    }
}

/// How many machines of a cycle ended how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// By [`Outcome::word`].
    pub outcomes: BTreeMap<String, usize>,
    /// The skipped ones by reason.
    pub reasons: BTreeMap<SkipReason, usize>,
}

impl Counts {
    /// Counts outcomes.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            *counts
                .outcomes
                .entry(outcome.word().to_owned())
                .or_default() += 1;
            if let Outcome::Skipped(skip) = outcome {
                *counts.reasons.entry(skip.reason).or_default() += 1;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_on_the_wire_is_the_word_everywhere() {
        for reason in SkipReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
            assert!(reason.meaning().ends_with('.'));
        }
    }

    #[test]
    fn counts_tell_skips_apart_by_reason() {
        let skip = |reason| Outcome::Skipped(Skip::new(reason));
        let counts = Counts::of([
            &Outcome::Passed,
            &skip(SkipReason::NoAgent),
            &skip(SkipReason::TooLate),
        ]);
        assert_eq!(counts.outcomes["skipped"], 2);
        assert_eq!(counts.outcomes["passed"], 1);
        assert_eq!(counts.reasons[&SkipReason::NoAgent], 1);
    }
}
