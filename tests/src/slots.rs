//! Stories count jobs, so none of their racks may tick by itself in the middle of one.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::name::RackName;
use model::schedule::Schedule;
use plan::slots::Slots;
use tokio::time::sleep;

/// The schedule of most stories: its slots are at the same four times of every day.
const EVERY: Duration = Duration::from_secs(6 * 3600);
/// The racks that stories give it.
const RACKS: [&str; 2] = ["r1", "r2"];
/// Longer than any of them takes on a busy machine.
const LONGEST_STORY: SignedDuration = SignedDuration::from_mins(3);

/// Waits until none of the racks has a slot within the time that a story takes. There is hardly ever anything to wait
/// for.
pub(crate) async fn away_from_slots() {
    while let Some(slot) = soon(Timestamp::now()) {
        let wait = slot.duration_since(Timestamp::now()) + SignedDuration::from_secs(1);
        sleep(Duration::try_from(wait).unwrap_or_default()).await;
    }
}

/// The first slot that comes within a story that begins now.
fn soon(now: Timestamp) -> Option<Timestamp> {
    let schedule = Schedule::Every {
        every: EVERY,
        splay: None,
    };
    RACKS
        .iter()
        .filter_map(|rack| {
            let rack = RackName::new(*rack).expect("a rack's name");
            let slots = Slots::new(&schedule, &rack).expect("a schedule");
            slots.iter_after(now).next()
        })
        .filter(|slot| slot.duration_since(now) < LONGEST_STORY)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_seen_as_long_as_a_story_may_meet_it() {
        let long_before: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let schedule = Schedule::Every {
            every: EVERY,
            splay: None,
        };
        for rack in RACKS {
            let rack = RackName::new(rack).expect("a rack's name");
            let slots = Slots::new(&schedule, &rack).expect("a schedule");
            let slot = slots.iter_after(long_before).next().expect("a slot");
            let before = |seconds| slot - SignedDuration::from_secs(seconds);
            assert_eq!(soon(before(1)), Some(slot));
            assert_eq!(soon(before(179)), Some(slot));
            assert_ne!(soon(before(181)), Some(slot));
            assert_ne!(soon(slot), Some(slot));
        }
    }
}
