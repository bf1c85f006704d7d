//! Times and spans as the file holds them: nanoseconds in 64 bits, from 1677 to 2262.

use std::time::Duration;

use jiff::Timestamp;

/// A time for the file. What lies outside of the range becomes its nearest end.
pub(crate) fn nanos(time: Timestamp) -> i64 {
    let nanos = time.as_nanosecond();
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// A time from the file.
pub(crate) fn time(nanos: i64) -> Timestamp {
    const SECOND: i64 = 1_000_000_000;
    let rest = i32::try_from(nanos.rem_euclid(SECOND)).expect("less than a second");
    let time = Timestamp::new(nanos.div_euclid(SECOND), rest);
    time.expect("64 bits of nanoseconds are within range")
}

/// A span for the file; at most 292 years.
pub(crate) fn span_nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// A span from the file.
pub(crate) fn span(nanos: i64) -> Duration {
    Duration::from_nanos(nanos.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_and_the_ends_are_kept() {
        let now: Timestamp = "2026-11-21T06:00:00.123456789Z".parse().unwrap();
        assert_eq!(time(nanos(now)), now);
        assert_eq!(time(nanos(Timestamp::MAX)), time(i64::MAX));
        assert_eq!(time(nanos(Timestamp::MIN)), time(i64::MIN));
        assert_eq!(
            span(span_nanos(Duration::from_millis(1500))).as_millis(),
            1500
        );
    }
}
