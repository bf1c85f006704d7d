//! How long phases take, without any I/O: by what looks saw, and counted in classes of length.

use std::collections::BTreeMap;
use std::time::Duration;

use model::outcome::Phase;

/// Classes per doubling of the length. Whatever falls into one differs by an eighth at most.
const FINE: u64 = 8;

/// When a job was seen in a phase first, and until when: to the first look that saw another state, or to its end.
/// `looks` are states with the times when they were seen first, in the order of time.
pub(crate) fn seen(
    looks: &[(&str, i64)],
    phase: Phase,
    over_at: Option<i64>,
) -> Option<(i64, Option<i64>)> {
    let first = looks
        .iter()
        .position(|(state, _)| *state == phase.as_str())?;
    let until = looks.get(first + 1).map(|(_, at)| *at).or(over_at);
    let (_, at) = looks[first];
    Some((at, until.filter(|until| *until >= at)))
}

/// How many lengths there are of each class, from the shortest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lengths(Vec<u64>);

impl Lengths {
    /// From the bytes that the file holds.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let (counts, _) = bytes.as_chunks();
        Self(
            counts
                .iter()
                .map(|count| u64::from(u32::from_le_bytes(*count)))
                .collect(),
        )
    }

    /// As bytes for the file: the same counts always give the same.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let used = self.0.iter().rposition(|count| *count > 0);
        let counts = self.0.iter().take(used.map_or(0, |last| last + 1));
        counts
            .flat_map(|count| u32::try_from(*count).unwrap_or(u32::MAX).to_le_bytes())
            .collect()
    }

    /// Counts by how many there are more or fewer of each class.
    pub(crate) fn change(&mut self, by: &BTreeMap<usize, i64>) {
        for (&class, &by) in by {
            if self.0.len() <= class {
                self.0.resize(class + 1, 0);
            }
            self.0[class] = self.0[class].saturating_add_signed(by);
        }
    }

    /// Counts the others as well.
    pub(crate) fn add(&mut self, others: &Self) {
        if self.0.len() < others.0.len() {
            self.0.resize(others.0.len(), 0);
        }
        for (count, other) in self.0.iter_mut().zip(&others.0) {
            *count += other;
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What so many of a hundred do not exceed, as well as classes tell; `None` when there are none.
    pub(crate) fn at_most(&self, percent: u64) -> Option<Duration> {
        let wanted = (self.count() * percent).div_ceil(100).max(1);
        let mut before = 0;
        for (class, &count) in self.0.iter().enumerate() {
            if before + count >= wanted {
                // Those of a class are taken to lie evenly in it.
                let (from, width) = bounds(class);
                let within = width * (2 * (wanted - before) - 1) / (2 * count);
                return Some(Duration::from_secs(from + within));
            }
            before += count;
        }
        None
    }
}

/// The class of a length: every second by itself up to 16, then ever wider ones.
pub(crate) fn class(length: Duration) -> usize {
    let seconds = length.as_secs();
    let class = match seconds.checked_ilog2() {
        Some(doublings) if seconds >= FINE => {
            let steps = u64::from(doublings) - 3;
            FINE * steps + (seconds >> steps)
        }
        _ => seconds,
    };
    usize::try_from(class).expect("at most 500")
}

/// Where a class begins and how wide it is, in seconds.
fn bounds(class: usize) -> (u64, u64) {
    let class = class as u64;
    if class < FINE {
        return (class, 1);
    }
    let steps = class / FINE - 1;
    ((FINE + class % FINE) << steps, 1 << steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_in_the_class_that_holds_it() {
        let mut last = 0;
        for seconds in (0..5000).chain([86_399, 86_400, 9_223_372_036]) {
            let class = class(Duration::from_secs(seconds));
            let (from, width) = bounds(class);
            assert!((from..from + width).contains(&seconds), "{seconds}");
            assert!(width == 1 || width * FINE <= from, "{seconds}");
            assert!(class == last || class == last + 1 || seconds > 5000);
            last = class;
        }
    }

    fn lengths(seconds: &[u64]) -> Lengths {
        let mut lengths = Lengths::default();
        for seconds in seconds {
            lengths.change(&BTreeMap::from([(class(Duration::from_secs(*seconds)), 1)]));
        }
        lengths
    }

    #[test]
    fn median_and_the_rare_ones_are_told_as_well_as_classes_tell() {
        let of =
            |seconds: &[u64], percent| lengths(seconds).at_most(percent).map(|at| at.as_secs());
        assert_eq!(of(&[], 50), None);
        assert_eq!(of(&[3], 50), Some(3));
        assert_eq!(of(&[1, 2, 9], 50), Some(2));
        assert_eq!(of(&[1, 2, 9, 14], 50), Some(2));
        assert_eq!(of(&[1, 2, 9, 14], 95), Some(14));
        let all: Vec<u64> = (1..=10_000).collect();
        for percent in [1, 50, 95, 100] {
            let (told, exact) = (of(&all, percent).unwrap(), percent * 100);
            assert!(told.abs_diff(exact) * 16 <= exact, "{percent}: {told}");
        }
    }

    #[test]
    fn what_is_taken_away_again_leaves_no_trace() {
        let mut some = lengths(&[5, 70]);
        some.change(&BTreeMap::from([(class(Duration::from_secs(70)), -1)]));
        assert_eq!(some.to_bytes(), lengths(&[5]).to_bytes());
        assert_eq!(Lengths::from_bytes(&some.to_bytes()).count(), 1);
        some.change(&BTreeMap::from([(5, -1)]));
        assert!(some.to_bytes().is_empty());
    }

    #[test]
    fn a_phase_that_ends_before_it_was_seen_has_no_length() {
        let looks = [("provision", 50)];
        assert_eq!(seen(&looks, Phase::Provision, Some(40)), Some((50, None)));
        assert_eq!(
            seen(&looks, Phase::Provision, Some(60)),
            Some((50, Some(60)))
        );
        assert_eq!(seen(&looks, Phase::Test, Some(60)), None);
    }
}
