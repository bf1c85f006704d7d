//! What a worker is told.

use std::time::Duration;

use model::policy::Policy;
use model::rack::RackRecord;
use model::speed::Speed;
use model::task::TaskKind;

/// A worker's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The worker's name, in claims and dead letters.
    pub name: String,
    /// The policy of racks that set nothing else, in real time; the speed is applied when it is used.
    pub policy: Policy,
    /// By how much waits are divided.
    pub speed: Speed,
    /// Whether a manual tick of a rack that was never added is run.
    pub adhoc_racks: bool,
    /// When submits settle.
    pub timing: Timing,
    /// Submits, and looks, at work at a time.
    pub concurrency: usize,
    /// The kinds of work taken.
    pub only: Vec<TaskKind>,
    /// How long begun work may take to finish at shutdown.
    pub grace: Duration,
}

/// The times around a POST, at the speed in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The whole of a POST ends within this.
    pub post_limit: Duration,
    /// After this nothing that an attempt sent can still arrive: longer than the limit, and than what a proxy may
    /// deliver after we hung up.
    pub settle: Duration,
    /// Added to the settle time by whoever waits for it: more than the clocks of two workers may differ.
    pub margin: Duration,
}

impl Timing {
    /// The settle time is at least three times the POST's limit, whatever is wanted.
    pub fn new(settle: Duration, post_limit: Duration, speed: Speed) -> Self {
        let post_limit = speed.shorten(post_limit);
        let settle = speed.shorten(settle).max(post_limit * 3);
        Self {
            post_limit,
            settle,
            margin: (settle / 10).min(Duration::from_secs(10)),
        }
    }

    /// Whether a POST begun now ends well before the settle time of its claim, which was written `elapsed` ago.
    pub(crate) fn allows_post_after(&self, elapsed: Duration) -> bool {
        self.settle.saturating_sub(elapsed) > self.post_limit + self.margin
    }
}

impl Settings {
    /// A rack's policy at the speed in force.
    pub(crate) fn policy_of(&self, rack: Option<&RackRecord>) -> Policy {
        let policy = match rack {
            Some(rack) => self.policy.clone().with(&rack.policy),
            None => self.policy.clone(),
        };
        plan::speed::shorten(policy, self.speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settle_time_stays_above_the_posts_limit_at_any_speed() {
        let real = Timing::new(
            Duration::from_secs(300),
            Duration::from_secs(30),
            Speed::REAL,
        );
        assert_eq!(
            (real.settle, real.post_limit),
            (Duration::from_secs(300), Duration::from_secs(30))
        );
        let fast = Timing::new(
            Duration::from_secs(300),
            Duration::from_secs(30),
            Speed::try_from(1000.0).unwrap(),
        );
        assert_eq!(
            (fast.settle, fast.post_limit),
            (Duration::from_secs(3), Duration::from_secs(1))
        );
    }

    #[test]
    fn a_post_that_could_outlive_its_claim_is_not_begun() {
        let timing = Timing::new(
            Duration::from_secs(300),
            Duration::from_secs(30),
            Speed::REAL,
        );
        assert!(timing.allows_post_after(Duration::from_secs(200)));
        assert!(!timing.allows_post_after(Duration::from_secs(265)));
        assert!(!timing.allows_post_after(Duration::from_secs(1000)));
    }
}
