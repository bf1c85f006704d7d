//! The rack record: bucket `racks`, key = rack.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::CycleId;
use crate::policy::PolicyChange;
use crate::schedule::Schedule;

/// What is known of a rack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RackRecord {
    /// Version of this record's form.
    pub v: u8,
    /// When it ticks.
    pub schedule: Schedule,
    /// What it sets differently from the configured policy.
    #[serde(default)]
    pub policy: PolicyChange,
    /// Its schedule is off, and a manual tick skips every machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// When it was added.
    pub added_at: Timestamp,
    /// When its present schedule was set or last resumed. Slots before this are not caught up with.
    pub since: Timestamp,
    /// The sizes of the last lists that were believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_sizes: Option<Sizes>,
    /// Smaller lists that were not believed, and the cycle that saw them first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubted: Option<Doubted>,
}

/// Why and since when a rack is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who paused it.
    pub by: String,
    /// Why.
    #[serde(default)]
    pub why: String,
    /// Since when.
    pub at: Timestamp,
}

/// How many entries a rack's machine list and the fleet's agent list had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Machines that carry the rack's tag.
    pub machines: usize,
    /// Agents of the whole Testflinger server.
    pub agents: usize,
}

/// Lists that shrank too suddenly to be believed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubted {
    /// Their sizes.
    pub sizes: Sizes,
    /// The cycle that saw them. The same sizes in another cycle are believed.
    pub cycle: CycleId,
}

impl RackRecord {
    /// Switches the schedule off. Who paused first stays.
    pub fn pause(&mut self, pause: Pause) {
        self.paused.get_or_insert(pause);
    }

    /// Switches the schedule on again: slots before `now` are not made up for.
    pub fn resume(&mut self, now: Timestamp) {
        if self.paused.take().is_some() {
            self.since = now;
        }
    }

    /// The present version.
    pub const VERSION: u8 = 1;

    /// A rack with a schedule and nothing else set.
    pub fn new(schedule: Schedule, added_at: Timestamp) -> Self {
        Self {
            v: Self::VERSION,
            schedule,
            policy: PolicyChange::default(),
            paused: None,
            added_at,
            since: added_at,
            good_sizes: None,
            doubted: None,
        }
    }
}
