//! Time compression: the lab and the demo run hours in minutes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// No wait becomes shorter than this: JetStream fires its schedules in whole seconds.
const SHORTEST: Duration = Duration::from_secs(1);

/// By how much racktick's own waits are divided. Slots of schedules are not: they are given as wanted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Speed(f64);

impl Speed {
    /// Real time.
    pub const REAL: Self = Self(1.0);

    /// A wait at this speed: divided, but never below one second. Zero stays zero.
    pub fn shorten(self, wait: Duration) -> Duration {
        if wait.is_zero() || self.0 <= 1.0 {
            wait
        } else {
            wait.div_f64(self.0).max(SHORTEST).min(wait)
        }
    }
}

impl Default for Speed {
    fn default() -> Self {
        Self::REAL
    }
}

impl TryFrom<f64> for Speed {
    type Error = String;
    fn try_from(factor: f64) -> Result<Self, String> {
        if (1.0..=100_000.0).contains(&factor) {
            Ok(Self(factor))
        } else {
            Err(format!(
                "`{factor}` is not a speed: give a number from 1 (real time) to 100000"
            ))
        }
    }
}

impl From<Speed> for f64 {
    fn from(speed: Speed) -> f64 {
        speed.0
    }
}

impl std::str::FromStr for Speed {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let factor = text
            .parse::<f64>()
            .map_err(|_| format!("`{text}` is not a speed: give a number, like 60"))?;
        Self::try_from(factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_divided_but_never_below_a_second_and_never_made_longer() {
        let speed = Speed::try_from(60.0).unwrap();
        assert_eq!(
            speed.shorten(Duration::from_secs(300)),
            Duration::from_secs(5)
        );
        assert_eq!(speed.shorten(Duration::from_secs(10)), SHORTEST);
        assert_eq!(
            speed.shorten(Duration::from_millis(200)),
            Duration::from_millis(200)
        );
        assert_eq!(speed.shorten(Duration::ZERO), Duration::ZERO);
        assert_eq!(
            Speed::REAL.shorten(Duration::from_secs(7)),
            Duration::from_secs(7)
        );
    }

    #[test]
    fn a_speed_below_one_or_no_number_is_refused() {
        for bad in ["0", "-3", "NaN", "inf", "fast", ""] {
            assert!(bad.parse::<Speed>().is_err(), "{bad}");
        }
    }
}
