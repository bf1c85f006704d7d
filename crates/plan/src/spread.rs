//! The submits of a cycle leave one after the other, so that a rack does not power on in one second.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use model::name::MachineName;

use crate::slots::later;

/// When each submit is due: evenly over `spread`, in the given order, the first at `start`. Without a spread all are
/// due at `start`.
pub fn due_times(
    machines: impl IntoIterator<Item = MachineName>,
    start: Timestamp,
    spread: Duration,
) -> BTreeMap<MachineName, Timestamp> {
    let machines: Vec<MachineName> = machines.into_iter().collect();
    let count = machines.len().max(1) as u128;
    let due = |position: usize| {
        let millis = spread.as_millis() * position as u128 / count;
        later(
            start,
            Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)),
        )
    };
    machines
        .into_iter()
        .enumerate()
        .map(|(position, name)| (name, due(position)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(count: usize, spread: Duration) -> Vec<i128> {
        let start: Timestamp = "2026-11-21T06:00:00Z".parse().unwrap();
        let names = (0..count).map(|n| MachineName::new(format!("m{n:04}")).unwrap());
        due_times(names, start, spread)
            .values()
            .map(|due| due.duration_since(start).as_millis())
            .collect()
    }

    #[test]
    fn submits_leave_evenly_and_the_last_before_the_spread_is_over() {
        assert_eq!(
            offsets(4, Duration::from_secs(3600)),
            [0, 900_000, 1_800_000, 2_700_000]
        );
        assert_eq!(offsets(3, Duration::from_secs(1)), [0, 333, 666]);
        assert_eq!(offsets(1, Duration::from_secs(3600)), [0]);
        assert_eq!(offsets(0, Duration::from_secs(3600)), [0; 0]);
    }

    #[test]
    fn without_a_spread_all_leave_at_once() {
        assert_eq!(offsets(3, Duration::ZERO), [0, 0, 0]);
    }

    #[test]
    fn a_spread_beyond_all_calendars_does_no_harm() {
        assert_eq!(offsets(2, Duration::MAX).len(), 2);
    }
}
