//! The cycle record: bucket `cycles`, key = `<rack>.<cycle>`. Created once; from then on only outcomes are added.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::id::CycleId;
use crate::name::{MachineName, RackName};
use crate::outcome::{Counts, Outcome, Skip};
use crate::task::Pace;

/// All that was decided for one tick, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CycleRecord {
    /// Version of this record's form.
    pub v: u8,
    /// The rack.
    pub rack: RackName,
    /// The cycle.
    pub cycle: CycleId,
    /// What started it.
    pub origin: Origin,
    /// When the tick came: the time its message was stored.
    pub ticked_at: Timestamp,
    /// What the tick led to.
    pub fate: Fate,
    /// Outcomes of the machines that were to be deployed, copied from their records. A set value is never changed.
    #[serde(default)]
    pub outcomes: BTreeMap<MachineName, Outcome>,
    /// The latest time any outcome was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Timestamp>,
    /// True after the cycle's last event was published.
    #[serde(default)]
    pub closed: bool,
}

/// What started a cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// A slot of the rack's schedule.
    Slot {
        /// When it was due.
        slot: Timestamp,
    },
    /// A message on `rack.tick`.
    Manual {
        /// Who sent it, if the message says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// Why, if the message says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// What a tick led to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fate {
    /// Every machine of the rack has its decision.
    Planned(Planned),
    /// The tick was not run.
    Missed {
        /// Why not.
        cause: MissedCause,
    },
    /// The rack's machines could not be learnt in time.
    Failed {
        /// The last attempt's cause, one word.
        cause: String,
        /// The last attempt's error.
        message: String,
        /// How often it was tried.
        attempts: u32,
        /// When it was given up.
        at: Timestamp,
    },
}

/// The frozen decisions of a cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// When the decisions were made.
    pub at: Timestamp,
    /// After this nobody submits a job of this cycle.
    pub deploy_by: Timestamp,
    /// The time over which the submits leave.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub spread: Duration,
    /// Machines to deploy, in order, with the time their submit is due.
    pub deploy: BTreeMap<MachineName, Timestamp>,
    /// Machines left alone.
    pub skip: BTreeMap<MachineName, Skip>,
    /// When the jobs are looked at.
    pub pace: Pace,
    /// The job document, less what racktick adds.
    pub job: Value,
}

/// Why a tick was not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissedCause {
    /// The rack is gone.
    Removed,
    /// The rack is paused.
    Paused,
    /// The rack's present schedule does not contain the slot.
    Rescheduled,
    /// It was taken up after the catch-up window.
    Late,
}

impl CycleRecord {
    /// The present version.
    pub const VERSION: u8 = 1;

    /// Copies an outcome in. False when the machine is not to be deployed or has one already.
    pub fn account(&mut self, machine: &MachineName, outcome: &Outcome, at: Timestamp) -> bool {
        let Fate::Planned(planned) = &self.fate else {
            return false;
        };
        if !planned.deploy.contains_key(machine) || self.outcomes.contains_key(machine) {
            return false;
        }
        self.outcomes.insert(machine.clone(), outcome.brief());
        self.settled_at = self.settled_at.max(Some(at));
        true
    }

    /// Whether every machine of the rack has an outcome.
    pub fn is_complete(&self) -> bool {
        match &self.fate {
            Fate::Planned(planned) => self.outcomes.len() == planned.deploy.len(),
            Fate::Missed { .. } | Fate::Failed { .. } => true,
        }
    }

    /// The machines that have no outcome yet.
    pub fn open(&self) -> impl Iterator<Item = &MachineName> {
        let planned = match &self.fate {
            Fate::Planned(planned) => Some(planned),
            Fate::Missed { .. } | Fate::Failed { .. } => None,
        };
        planned
            .into_iter()
            .flat_map(|planned| planned.deploy.keys())
            .filter(|name| !self.outcomes.contains_key(*name))
    }

    /// Outcomes of all machines, the frozen skips too.
    pub fn counts(&self) -> Counts {
        let mut all: Vec<Outcome> = self.outcomes.values().cloned().collect();
        if let Fate::Planned(planned) = &self.fate {
            all.extend(planned.skip.values().cloned().map(Outcome::Skipped));
        }
        Counts::of(&all)
    }
}

impl MissedCause {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Paused => "paused",
            Self::Rescheduled => "rescheduled",
            Self::Late => "late",
        }
    }
}
