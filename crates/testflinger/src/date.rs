//! Dates as Testflinger writes them, or once wrote them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reads a date in whatever form it comes; one that cannot be read counts as missing. For `deserialize_with`.
pub(crate) fn lenient<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    Ok(date(&Value::deserialize(deserializer)?))
}

fn date(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text_date(text),
        // Older servers let the database's own form through.
        Value::Object(map) => match map.get("$date")? {
            Value::Object(inner) => millisecond(inner.get("$numberLong")?.as_str()?.parse().ok()?),
            inner => date(inner),
        },
        Value::Number(number) => millisecond(number.as_i64()?),
        _ => None,
    }
}

fn text_date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    // Some endpoints write both an offset and a `Z`.
    let text = text
        .strip_suffix("+00:00Z")
        .or_else(|| text.strip_suffix("+00:00"))
        .unwrap_or(text);
    let without_zone = || {
        text.parse::<DateTime>()
            .ok()?
            .to_zoned(TimeZone::UTC)
            .ok()
            .map(|date| date.timestamp())
    };
    text.parse().ok().or_else(without_zone)
}

fn millisecond(value: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_known_form_is_the_same_moment() {
        for form in [
            json!("2026-11-21T00:55:32Z"),
            json!("2026-11-21T00:55:32+00:00Z"),
            json!("2026-11-21T00:55:32+00:00"),
            json!("2026-11-21T02:55:32+02:00"),
            json!("2026-11-21T00:55:32"),
            json!("2026-11-21 00:55:32.000000"),
            json!({"$date": "2026-11-21T00:55:32Z"}),
            json!({"$date": 1_795_222_532_000_i64}),
            json!({"$date": {"$numberLong": "1795222532000"}}),
        ] {
            assert_eq!(
                date(&form).map(|date| date.to_string()).as_deref(),
                Some("2026-11-21T00:55:32Z"),
                "{form}"
            );
        }
    }

    #[test]
    fn what_is_no_date_counts_as_missing() {
        for form in [
            json!(null),
            json!(""),
            json!("yesterday"),
            json!([]),
            json!({}),
            json!({"$date": {}}),
            json!(1.5),
        ] {
            assert_eq!(date(&form), None, "{form}");
        }
    }
}
