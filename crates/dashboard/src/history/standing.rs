//! What verdicts say of a machine, step by step and without any I/O.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is known of a machine after one of its outcomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether the latest proof says that it deploys; `None` when nothing was proved yet.
    pub deploys: Option<bool>,
    /// When that was proved.
    pub proved_at: Option<Timestamp>,
    /// How many proofs in a row say the same.
    pub streak: u32,
    /// The first of them.
    pub since: Option<Timestamp>,
    /// When it deployed last.
    pub passed_at: Option<Timestamp>,
}

impl Standing {
    /// The standing after one more outcome. One that proves nothing about the machine (cancelled, lost, rejected)
    /// leaves it as it is.
    #[must_use]
    pub fn after(self, proof: Option<bool>, at: Timestamp) -> Self {
        let Some(deploys) = proof else {
            return self;
        };
        let goes_on = self.deploys == Some(deploys);
        Self {
            deploys: Some(deploys),
            proved_at: Some(at),
            streak: if goes_on {
                self.streak.saturating_add(1)
            } else {
                1
            },
            since: if goes_on { self.since } else { Some(at) },
            passed_at: if deploys { Some(at) } else { self.passed_at },
        }
    }
}

/// What an outcome, by its word, proves about the machine: whether it deploys, if anything.
pub fn proof(outcome: &str) -> Option<bool> {
    match outcome {
        "passed" => Some(true),
        "failed" => Some(false),
        _ => None,
    }
}

/// A machine's health over time.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Left alone by the latest decision because it failed too often in a row.
    Quarantined,
    /// It failed at least twice in a row.
    Failing,
    /// It failed once after it had deployed, or the only time it was tried.
    Suspect,
    /// Nothing was proved for too long.
    Stale,
    /// Nothing was ever proved.
    Unknown,
    /// It deployed the last time.
    Ok,
}

impl Health {
    /// After this long without a proof, a machine is stale.
    pub const STALE_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);

    /// All of them, the worst first.
    pub const ALL: [Self; 6] = [
        Self::Quarantined,
        Self::Failing,
        Self::Suspect,
        Self::Stale,
        Self::Unknown,
        Self::Ok,
    ];

    /// The health that follows from a standing, and from whether the latest decision said `fail_streak`.
    pub fn of(standing: &Standing, quarantined: bool, now: Timestamp) -> Self {
        if quarantined {
            return Self::Quarantined;
        }
        let (Some(deploys), Some(proved_at)) = (standing.deploys, standing.proved_at) else {
            return Self::Unknown;
        };
        match (deploys, standing.streak) {
            (false, 0 | 1) => Self::Suspect,
            (false, _) => Self::Failing,
            (true, _) if now.duration_since(proved_at) > Self::STALE_AFTER => Self::Stale,
            (true, _) => Self::Ok,
        }
    }

    /// Whether the machine does not deploy.
    pub fn fails(self) -> bool {
        self <= Self::Suspect
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Failing => "failing",
            Self::Suspect => "suspect",
            Self::Stale => "stale",
            Self::Unknown => "unknown",
            Self::Ok => "ok",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + hour * 3600).unwrap()
    }

    fn after(outcomes: &[&str]) -> Standing {
        outcomes
            .iter()
            .zip(0..)
            .fold(Standing::default(), |standing, (outcome, hour)| {
                standing.after(proof(outcome), at(hour))
            })
    }

    #[test]
    fn a_streak_begins_with_the_first_of_its_kind() {
        let standing = after(&["passed", "passed", "failed", "failed", "failed"]);
        assert_eq!(standing.deploys, Some(false));
        assert_eq!(standing.streak, 3);
        assert_eq!(standing.since, Some(at(2)));
        assert_eq!(standing.passed_at, Some(at(1)));
    }

    #[test]
    fn what_proves_nothing_ends_no_streak() {
        let standing = after(&["failed", "cancelled", "lost", "rejected", "failed"]);
        assert_eq!((standing.streak, standing.since), (2, Some(at(0))));
        assert_eq!(standing.proved_at, Some(at(4)));
    }

    #[test]
    fn health_follows_from_the_standing() {
        let health = |outcomes: &[&str]| Health::of(&after(outcomes), false, at(10));
        assert_eq!(health(&[]), Health::Unknown);
        assert_eq!(health(&["cancelled"]), Health::Unknown);
        assert_eq!(health(&["failed", "passed"]), Health::Ok);
        assert_eq!(health(&["passed", "failed"]), Health::Suspect);
        assert_eq!(health(&["failed", "failed"]), Health::Failing);
        let passed = after(&["passed"]);
        assert_eq!(Health::of(&passed, false, at(7 * 24)), Health::Ok);
        assert_eq!(Health::of(&passed, false, at(7 * 24 + 1)), Health::Stale);
        assert_eq!(Health::of(&passed, true, at(1)), Health::Quarantined);
    }

    #[test]
    fn every_health_has_the_word_that_is_on_the_wire() {
        for health in Health::ALL {
            assert_eq!(serde_json::to_value(health).unwrap(), health.as_str());
        }
    }
}
