//! Durations as people write them.

use std::time::Duration;

use jiff::fmt::friendly::{Designator, Spacing, SpanParser, SpanPrinter};

use super::ScheduleError;

/// The longest text that is quoted whole.
const QUOTED: usize = 60;

/// Reads the duration that a person wrote for the setting `what`, such as `6h` or `1h 30m`.
pub fn parse_duration(what: &'static str, text: &str) -> Result<Duration, ScheduleError> {
    let text = text.trim();
    if !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        // Zero is the same in every unit.
        if text.bytes().all(|byte| byte == b'0') {
            return Ok(Duration::ZERO);
        }
        return Err(ScheduleError::NoUnit {
            what,
            value: quoted(text),
        });
    }
    SpanParser::new()
        .parse_unsigned_duration(text)
        .map_err(|_| ScheduleError::NotADuration {
            what,
            value: quoted(text),
        })
}

/// The duration in whole seconds.
pub(super) fn whole_seconds(what: &'static str, value: Duration) -> Result<i64, ScheduleError> {
    if value.subsec_nanos() != 0 {
        return Err(ScheduleError::Fraction {
            what,
            value: show(value),
        });
    }
    i64::try_from(value.as_secs()).map_err(|_| ScheduleError::TooLong {
        what,
        value: show(value),
    })
}

/// A duration as a person would write it.
pub(super) fn show(value: Duration) -> String {
    SpanPrinter::new()
        .designator(Designator::Compact)
        .spacing(Spacing::None)
        .unsigned_duration_to_string(&value)
}

/// What a person wrote, safe to print.
pub(super) fn quoted(text: &str) -> String {
    let start: String = text.chars().take(QUOTED).collect();
    let dots = if start.len() < text.len() { "..." } else { "" };
    format!("{}{dots}", start.escape_debug())
}
