//! Whether what was measured day after day stayed where it was.

use serde::Serialize;

/// More than this of growth, between the first third of the days and the last, is growth. What grows without end by a
/// constant amount every day, and does so after all ages have turned over once, has grown by half in that time.
const SHARE: f64 = 0.1;

/// Where the first third of the days was, and where the last. Medians, because a garbage collector and blocks of a file
/// that become free at once make single days jump.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Trend {
    pub(crate) early: f64,
    pub(crate) late: f64,
    pub(crate) flat: bool,
}

impl Trend {
    /// Of one value a day. `slack` is by how much such a value may be off for reasons that have nothing to do with
    /// days, as by one block of a file. `None` for less than three days: nothing can be said of them.
    pub(crate) fn of(values: &[f64], slack: f64) -> Option<Self> {
        let third = values.len() / 3;
        if third == 0 {
            return None;
        }
        let early = median(&values[..third]);
        let late = median(&values[values.len() - third..]);
        Some(Self {
            early,
            late,
            flat: late <= early * (1.0 + SHARE) + slack,
        })
    }
}

fn median(values: &[f64]) -> f64 {
    crate::figures::Spread::of(values.iter().copied()).median
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_flat(values: impl IntoIterator<Item = f64>, slack: f64) -> bool {
        let values: Vec<f64> = values.into_iter().collect();
        Trend::of(&values, slack).unwrap().flat
    }

    #[test]
    fn what_goes_up_and_down_is_flat() {
        let saw = (0..30).map(|day| 100.0 + f64::from(day % 7) * 5.0);
        assert!(is_flat(saw, 0.0));
        assert!(is_flat((0..30).map(|day| f64::from(100 - day)), 0.0));
    }

    #[test]
    fn a_single_day_says_nothing() {
        let mut values = [100.0; 30];
        values[29] = 1000.0;
        assert!(is_flat(values, 0.0));
    }

    #[test]
    fn what_grows_every_day_is_not_flat() {
        // Day 36 to day 65 of something that never forgets.
        assert!(!is_flat((36..66).map(f64::from), 0.0));
        // A tenth of it never forgets.
        let tenth = (36..66).map(|day| 35.0 * 0.9 + f64::from(day) * 0.2);
        assert!(!is_flat(tenth, 0.0));
        assert!(!is_flat((0..3).map(f64::from), 1.0));
    }

    #[test]
    fn slack_is_for_small_things() {
        assert!(is_flat((36..66).map(f64::from), 20.0));
        assert!(!is_flat((36..66).map(|day| f64::from(day) * 100.0), 20.0));
    }

    #[test]
    fn two_days_are_too_few() {
        assert_eq!(Trend::of(&[1.0, 2.0], 0.0), None);
    }
}
