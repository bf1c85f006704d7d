//! When something that failed is tried again.

use std::time::Duration;

use jiff::Timestamp;
use model::speed::Speed;

use crate::slots::later;

/// Seconds from one attempt of a tick to the next; from then on the last value.
const TICK: [u64; 6] = [30, 60, 120, 240, 480, 900];
/// Seconds from one delivery of a message to the next; from then on the last value.
const DELIVERY: [u64; 7] = [1, 2, 5, 10, 30, 60, 120];
/// How long a manual tick is tried.
const MANUAL: Duration = Duration::from_secs(3600);
/// A server that asks for more patience than this is asked again all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// How long a tick whose inputs cannot be read is tried: until half the rack's period has passed, or an hour for a
/// manual tick. Periods are real time at any speed.
pub fn tick_window(period: Option<Duration>, speed: Speed) -> Duration {
    period.map_or_else(|| speed.shorten(MANUAL), |period| period / 2)
}

/// When a tick is tried again after its attempt number `attempt` (from 1) failed at `now`. `None` when that would be
/// more than `window` after the first attempt.
pub fn next_tick_attempt(
    first: Timestamp,
    attempt: u32,
    now: Timestamp,
    window: Duration,
    retry_after: Option<Duration>,
    speed: Speed,
) -> Option<Timestamp> {
    let wait = speed.shorten(step(&TICK, attempt));
    let next = later(now, wait.max(asked(retry_after)));
    (next <= later(first, window)).then_some(next)
}

/// How long a message is given back after its delivery number `attempt` (from 1) failed.
pub fn after_attempt(attempt: u32, retry_after: Option<Duration>, speed: Speed) -> Duration {
    speed
        .shorten(step(&DELIVERY, attempt))
        .max(asked(retry_after))
}

fn step(seconds: &[u64], attempt: u32) -> Duration {
    let position = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let last = seconds.len() - 1;
    Duration::from_secs(seconds[position.min(last)])
}

fn asked(retry_after: Option<Duration>) -> Duration {
    retry_after.unwrap_or_default().min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_LIMIT: Duration = Duration::from_secs(1_000_000);

    fn wait(attempt: u32, window: Duration, retry_after: Option<u64>, speed: Speed) -> Option<i64> {
        let first: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
        let next = next_tick_attempt(
            first,
            attempt,
            first,
            window,
            retry_after.map(Duration::from_secs),
            speed,
        )?;
        Some(next.duration_since(first).as_secs())
    }

    #[test]
    fn a_tick_is_tried_again_with_growing_patience() {
        let waits: Vec<i64> = (1..=8)
            .map(|attempt| wait(attempt, NO_LIMIT, None, Speed::REAL).unwrap())
            .collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(wait(0, NO_LIMIT, None, Speed::REAL), Some(30));
        assert_eq!(wait(u32::MAX, NO_LIMIT, None, Speed::REAL), Some(900));
    }

    #[test]
    fn a_tick_is_given_up_when_its_window_would_be_over() {
        assert_eq!(
            wait(1, Duration::from_secs(30), None, Speed::REAL),
            Some(30)
        );
        assert_eq!(wait(1, Duration::from_secs(29), None, Speed::REAL), None);
        assert_eq!(
            wait(
                1,
                Duration::from_secs(29),
                None,
                Speed::try_from(10.0).unwrap()
            ),
            Some(3)
        );
    }

    #[test]
    fn a_six_hour_schedule_is_tried_for_three_hours() {
        let first: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
        let window = tick_window(Some(Duration::from_secs(6 * 3600)), Speed::REAL);
        let (mut now, mut attempts) = (first, 1);
        while let Some(next) = next_tick_attempt(first, attempts, now, window, None, Speed::REAL) {
            assert!(next > now);
            (now, attempts) = (next, attempts + 1);
        }
        assert_eq!(now.to_string(), "2026-11-21T08:45:30Z");
        assert_eq!(attempts, 16);
    }

    #[test]
    fn the_window_of_a_manual_tick_is_shortened_and_that_of_a_slot_is_not() {
        let fast = Speed::try_from(60.0).unwrap();
        assert_eq!(tick_window(None, Speed::REAL), Duration::from_secs(3600));
        assert_eq!(tick_window(None, fast), Duration::from_secs(60));
        assert_eq!(
            tick_window(Some(Duration::from_secs(600)), fast),
            Duration::from_secs(300)
        );
    }

    #[test]
    fn a_server_that_asks_for_patience_gets_it_within_reason() {
        assert_eq!(wait(1, NO_LIMIT, Some(100), Speed::REAL), Some(100));
        assert_eq!(wait(1, NO_LIMIT, Some(5), Speed::REAL), Some(30));
        assert_eq!(wait(1, NO_LIMIT, Some(u64::MAX), Speed::REAL), Some(900));
        assert_eq!(
            after_attempt(1, Some(Duration::from_secs(7)), Speed::REAL),
            Duration::from_secs(7)
        );
        assert_eq!(
            after_attempt(7, Some(Duration::from_secs(7)), Speed::REAL),
            Duration::from_secs(120)
        );
        assert_eq!(
            after_attempt(1, Some(Duration::MAX), Speed::REAL),
            LONGEST_WAIT
        );
    }

    #[test]
    fn a_message_is_given_back_for_longer_each_time() {
        let waits: Vec<u64> = (1..=9)
            .map(|attempt| after_attempt(attempt, None, Speed::REAL).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 5, 10, 30, 60, 120, 120, 120]);
    }
}
