//! Schedules whose slots lie where a test needs them.

use std::time::Duration;

use jiff::Timestamp;
use model::name::RackName;
use model::schedule::Schedule;
use plan::slots::Slots;

use crate::stage::rack;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn every(hours: u64) -> Schedule {
    Schedule::Every {
        every: Duration::from_secs(hours * 3600),
        splay: None,
    }
}

/// The slots that ought to be armed.
pub(crate) fn wanted(name: &str, schedule: &Schedule) -> Vec<Timestamp> {
    let slots = Slots::new(schedule, &rack(name)).unwrap();
    plan::arm::to_arm(&slots, Timestamp::now(), DAY)
}

/// A rack name with this prefix that has a slot of the schedule within the seconds given, counted from `from`. The
/// splay spreads names over the period, so one is soon found.
pub(crate) fn name_with_slot(
    prefix: &str,
    schedule: &Schedule,
    from: Timestamp,
    within: std::ops::Range<i64>,
) -> (RackName, Timestamp) {
    (0..)
        .find_map(|number| {
            let name = rack(&format!("{prefix}{number}"));
            let start = from + jiff::SignedDuration::from_secs(within.start);
            let slot = Slots::new(schedule, &name).unwrap().after(start).unwrap();
            (slot.duration_since(from).as_secs() < within.end).then_some((name, slot))
        })
        .unwrap()
}
