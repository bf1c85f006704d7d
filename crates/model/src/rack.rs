//! The rack record: bucket `racks`, key = rack.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::action::{self, Action, Deed};
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
    /// What was done to it and is not told as an event yet, the oldest first.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "action::known"
    )]
    pub untold: Vec<Action>,
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
    /// Makes an action happen that changes a record, and keeps it to be told. False when it would change nothing: of a
    /// rack that is paused already, who paused it first stays.
    pub fn act(&mut self, action: &Action) -> bool {
        match &action.deed {
            Deed::Paused if self.paused.is_none() => {
                self.paused = Some(Pause {
                    by: action.by.clone(),
                    why: action.why.clone(),
                    at: action.at,
                });
            }
            Deed::Resumed if self.paused.is_some() => {
                self.paused = None;
                // Slots before this are not made up for.
                self.since = action.at;
            }
            Deed::Changed { schedule, policy } => {
                let schedule = schedule.as_ref().filter(|new| **new != self.schedule);
                let policy = policy.as_ref().filter(|new| **new != self.policy);
                if schedule.is_none() && policy.is_none() {
                    return false;
                }
                if let Some(schedule) = schedule {
                    self.schedule = schedule.clone();
                    self.since = action.at;
                }
                if let Some(policy) = policy {
                    self.policy = policy.clone();
                }
            }
            _ => return false,
        }
        self.untold.push(action.clone());
        true
    }

    /// The present version.
    pub const VERSION: u8 = 1;

    /// A rack that somebody adds, with that to be told.
    pub fn added(
        schedule: Schedule,
        policy: PolicyChange,
        by: String,
        why: String,
        at: Timestamp,
    ) -> Self {
        let deed = Deed::Added {
            schedule: schedule.clone(),
            policy: policy.clone(),
        };
        Self {
            policy,
            untold: vec![Action { at, by, why, deed }],
            ..Self::new(schedule, at)
        }
    }

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
            untold: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn by(who: &str, second: i64, deed: Deed) -> Action {
        Action {
            at: at(second),
            by: who.into(),
            why: String::new(),
            deed,
        }
    }

    #[test]
    fn what_is_done_is_kept_to_be_told_and_what_changes_nothing_is_not() {
        let every = |hours: u64| Schedule::Every {
            every: Duration::from_secs(hours * 3600),
            splay: None,
        };
        let mut record = RackRecord::new(every(6), at(0));
        assert!(record.act(&by("ann", 10, Deed::Paused)));
        assert!(!record.act(&by("bob", 20, Deed::Paused)));
        assert_eq!(record.paused.as_ref().unwrap().by, "ann");
        assert!(record.act(&by("bob", 30, Deed::Resumed)));
        assert!(!record.act(&by("ann", 40, Deed::Resumed)));
        assert_eq!((&record.paused, record.since), (&None, at(30)));
        let changed = |hours: u64| Deed::Changed {
            schedule: Some(every(hours)),
            policy: None,
        };
        assert!(!record.act(&by("ann", 50, changed(6))));
        assert_eq!(record.since, at(30));
        assert!(record.act(&by("ann", 60, changed(8))));
        assert_eq!((&record.schedule, record.since), (&every(8), at(60)));
        let policy: PolicyChange = serde_json::from_str(r#"{"spread": "10m"}"#).unwrap();
        let spread = Deed::Changed {
            schedule: None,
            policy: Some(policy.clone()),
        };
        assert!(record.act(&by("ann", 70, spread)));
        assert_eq!((&record.policy, record.since), (&policy, at(60)));
        let told: Vec<_> = record
            .untold
            .iter()
            .map(|action| action.deed.word())
            .collect();
        assert_eq!(told, ["paused", "resumed", "changed", "changed"]);
    }
}
