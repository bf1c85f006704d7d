//! Which slots are kept armed.

use std::time::Duration;

use jiff::Timestamp;

use crate::slots::{Slots, later};

/// However far away they are, so many slots are armed: a rack that ticks once a week must survive a day without any
/// scheduler, too.
const AT_LEAST: usize = 2;

/// However close together they are, no more slots are armed: enough for a day of one every five minutes. Each is a
/// message in the broker, and a rack that ticks every second would have 86,400 of them.
const AT_MOST: usize = 300;

/// The slots to arm: all within `horizon` from `now`, always the next two, and never more than the next 300.
pub fn to_arm(slots: &Slots, now: Timestamp, horizon: Duration) -> Vec<Timestamp> {
    let end = later(now, horizon);
    slots
        .iter_after(now)
        .take(AT_MOST)
        .enumerate()
        .take_while(|(position, slot)| *position < AT_LEAST || *slot <= end)
        .map(|(_, slot)| slot)
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use model::name::RackName;
    use model::schedule::Schedule;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn every(hours: u64) -> Slots {
        every_seconds(hours * 3600)
    }

    fn every_seconds(seconds: u64) -> Slots {
        let schedule = Schedule::Every {
            every: Duration::from_secs(seconds),
            splay: Some(Duration::ZERO),
        };
        Slots::new(&schedule, &RackName::new("r7").unwrap()).unwrap()
    }

    fn hours(now: Timestamp, slots: &[Timestamp]) -> Vec<i64> {
        slots
            .iter()
            .map(|slot| slot.duration_since(now).as_hours())
            .collect()
    }

    #[test]
    fn a_day_is_armed_and_always_the_next_two() {
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        assert_eq!(hours(now, &to_arm(&every(6), now, DAY)), [6, 12, 18, 24]);
        let weekly = to_arm(&every(7 * 24), now, DAY);
        assert_eq!(weekly.len(), 2);
        assert_eq!(
            weekly[1].duration_since(weekly[0]),
            SignedDuration::from_hours(7 * 24)
        );
    }

    #[test]
    fn slots_that_are_close_together_are_armed_only_so_far() {
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        assert_eq!(to_arm(&every_seconds(300), now, DAY).len(), 288);
        let close = to_arm(&every_seconds(1), now, DAY);
        assert_eq!(close.len(), AT_MOST);
        assert_eq!(close.last(), Some(&(now + Duration::from_secs(300))));
    }
}
