//! How long the file keeps what it knows: longer than the stream, not for ever.

use jiff::{SignedDuration, Timestamp};

/// How long the file keeps a cycle and everything about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention(SignedDuration);

impl Default for Retention {
    /// 400 days: the same season of last year, with a month to spare.
    fn default() -> Self {
        Self::days(400)
    }
}

impl Retention {
    /// So many days.
    pub fn days(days: u32) -> Self {
        Self(SignedDuration::from_hours(i64::from(days) * 24))
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
        let oldest = |days| Retention::days(days).oldest(now).to_string();
        assert_eq!(oldest(1), "2026-11-27T00:00:00Z");
        assert_eq!(oldest(400), "2025-10-24T00:00:00Z");
        assert_eq!(Retention::days(u32::MAX).oldest(now), Timestamp::MIN);
    }
}
