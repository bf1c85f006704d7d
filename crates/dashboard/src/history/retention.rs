//! How long the file keeps what it knows: longer than the stream, not for ever.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

const DAY: u64 = 24 * 60 * 60;

/// How long the file keeps a cycle and everything about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention(SignedDuration);

impl Default for Retention {
    /// 400 days: the same season of last year, with a month to spare.
    fn default() -> Self {
        Self::of(Duration::from_secs(400 * DAY))
    }
}

impl Retention {
    /// This long.
    pub fn of(span: Duration) -> Self {
        Self(SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX))
    }

    /// What happened before this may be forgotten.
    pub fn oldest(self, now: Timestamp) -> Timestamp {
        now.checked_sub(self.0).unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_may_go() {
        let now: Timestamp = "2026-11-28T00:00:00Z".parse().unwrap();
        let oldest = |days: u64| {
            let span = Duration::from_secs(days * DAY);
            Retention::of(span).oldest(now).to_string()
        };
        assert_eq!(oldest(1), "2026-11-27T00:00:00Z");
        assert_eq!(oldest(400), "2025-10-24T00:00:00Z");
        assert_eq!(Retention::of(Duration::MAX).oldest(now), Timestamp::MIN);
    }
}
