use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// Longer than this nobody waits on a server's word alone.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the server asks us to wait: seconds, or a date, which is read against the server's own clock if it sent
/// one (RFC 9110, 10.2.3). At most a day. Anything unreadable counts as not sent.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a very long time.
        return Some(
            value
                .parse()
                .map_or(LONGEST, Duration::from_secs)
                .min(LONGEST),
        );
    }
    let until = http_date(value)?;
    let wait = until.duration_since(date(headers).unwrap_or(now));
    Some(
        Duration::try_from(wait)
            .unwrap_or(Duration::ZERO)
            .min(LONGEST),
    )
}

/// The server's clock, in whole seconds.
pub(crate) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(DATE)?.to_str().ok()?.trim())
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(pairs: &[(&'static str, &'static str)]) -> Option<Duration> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect::<HeaderMap>();
        retry_after(&headers, "2026-11-21T08:00:00Z".parse().unwrap())
    }

    #[test]
    fn seconds_and_dates_are_read() {
        assert_eq!(wait(&[("retry-after", "5")]), Some(Duration::from_secs(5)));
        assert_eq!(
            wait(&[("retry-after", "Sat, 21 Nov 2026 08:00:30 GMT")]),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            wait(&[("retry-after", "Sat, 21 Nov 2026 07:00:00 GMT")]),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn a_date_is_read_against_the_servers_own_clock() {
        let headers = [
            ("retry-after", "Sat, 21 Nov 2026 09:00:10 GMT"),
            ("date", "Sat, 21 Nov 2026 09:00:00 GMT"),
        ];
        assert_eq!(wait(&headers), Some(Duration::from_secs(10)));
    }

    #[test]
    fn nonsense_counts_as_not_sent_and_a_year_as_a_day() {
        assert_eq!(wait(&[]), None);
        for nonsense in ["", "soon", "-1", "1.5"] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(
            wait(&[("retry-after", "99999999999999999999999")]),
            Some(LONGEST)
        );
        assert_eq!(
            wait(&[("retry-after", "Sun, 21 Nov 2027 08:00:30 GMT")]),
            Some(LONGEST)
        );
    }
}
