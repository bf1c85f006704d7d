//! Time compression of a policy.

use model::policy::Policy;
use model::speed::Speed;

/// The policy with racktick's own waits divided. An agent's silence stays as it is: agents live in real time.
pub fn shorten(policy: Policy, speed: Speed) -> Policy {
    Policy {
        spread: speed.shorten(policy.spread),
        submit_window: speed.shorten(policy.submit_window),
        catch_up: speed.shorten(policy.catch_up),
        first_look: speed.shorten(policy.first_look),
        look_every: speed.shorten(policy.look_every),
        deadline: speed.shorten(policy.deadline),
        ..policy
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_wait_is_divided_and_nothing_else() {
        let real = Policy::default();
        let fast = shorten(real.clone(), Speed::try_from(60.0).unwrap());
        let waits = [
            fast.spread,
            fast.submit_window,
            fast.catch_up,
            fast.first_look,
            fast.look_every,
            fast.deadline,
        ];
        assert_eq!(waits, [60, 30, 60, 5, 5, 240].map(Duration::from_secs));
        assert_eq!(fast.agent_silent_after, real.agent_silent_after);
        assert_eq!(
            (fast.job, fast.locations),
            (real.job.clone(), real.locations.clone())
        );
        assert_eq!(shorten(real.clone(), Speed::REAL), real);
    }
}
