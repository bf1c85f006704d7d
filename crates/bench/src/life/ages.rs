//! How long the broker keeps things, divided for a run in which days are seconds.

use std::time::Duration;

use bus::topology::Topology;
use model::subject::stream;
use serde_json::Value;

/// The server refuses shorter ages and windows.
const SHORTEST: Duration = Duration::from_millis(100);

/// By how much what the topology declares is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ages {
    /// Duplicate windows, which are waits as any other.
    pub(crate) windows: f64,
    /// How long messages are kept.
    pub(crate) ages: f64,
}

impl Ages {
    /// As declared.
    pub(crate) const REAL: Self = Self {
        windows: 1.0,
        ages: 1.0,
    };

    /// The topology with its windows and ages divided, never below what the server takes.
    pub(crate) fn divide(self, mut topology: Topology) -> Topology {
        for config in topology.streams.values_mut() {
            for (field, factor) in [("duplicate_window", self.windows), ("max_age", self.ages)] {
                if let Some(age) = config.get(field).and_then(age) {
                    let nanoseconds = divided(age, factor).as_nanos();
                    config[field] = u64::try_from(nanoseconds).unwrap_or(u64::MAX).into();
                }
            }
        }
        topology
    }
}

/// The longest time for which something is kept that every cycle leaves behind. Dead letters are kept for longer; cycles
/// leave none.
pub(crate) fn longest(topology: &Topology) -> Duration {
    let kept = topology
        .streams
        .iter()
        .filter(|(name, _)| *name != stream::DLQ)
        .filter_map(|(_, config)| config.get("max_age").and_then(age));
    kept.max().unwrap_or_default()
}

/// An age in nanoseconds; zero means for ever.
fn age(nanoseconds: &Value) -> Option<Duration> {
    let nanoseconds = nanoseconds.as_u64().filter(|age| *age > 0)?;
    Some(Duration::from_nanos(nanoseconds))
}

fn divided(age: Duration, factor: f64) -> Duration {
    age.div_f64(factor).max(SHORTEST).min(age)
}

#[cfg(test)]
mod tests {
    use bus::topology::Retention;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn ages_and_windows_are_divided_and_nothing_else() {
        let declared = Topology::declared(Retention::default());
        let ages = Ages {
            windows: 3600.0,
            ages: 86_400.0,
        };
        let divided = ages.divide(declared.clone());
        let of = |name: &str, field: &str| {
            Duration::from_nanos(divided.streams[name][field].as_u64().unwrap())
        };
        assert_eq!(of("EVENTS", "max_age"), Duration::from_secs(30));
        assert_eq!(of("KV_cycles", "max_age"), Duration::from_secs(35));
        assert_eq!(of("EVENTS", "duplicate_window"), Duration::from_secs(1));
        // Two minutes would be 33 milliseconds.
        assert_eq!(of("KV_cycles", "duplicate_window"), SHORTEST);
        assert_eq!(of("KV_machines", "max_age"), Duration::ZERO);
        let mut restored = divided.clone();
        for (name, config) in &mut restored.streams {
            for field in ["max_age", "duplicate_window"] {
                config[field] = declared.streams[name][field].clone();
            }
        }
        assert_eq!(restored, declared);
        assert_eq!(Ages::REAL.divide(declared.clone()), declared);
    }

    #[test]
    fn the_longest_age_is_that_of_cycles() {
        assert_eq!(longest(&Topology::declared(Retention::default())), 35 * DAY);
    }
}
