//! Durations as jobs write them: seconds, or a text such as `2h30m`.

use serde_json::Value;

/// The duration in whole seconds, or what is wrong with it.
pub(super) fn seconds(value: &Value) -> Result<i64, String> {
    let negative = || "Duration cannot be negative".to_owned();
    match value {
        Value::Bool(flag) => Ok(i64::from(*flag)),
        Value::Number(number) => match number.as_i64() {
            Some(seconds) if seconds < 0 => Err(negative()),
            Some(seconds) => Ok(seconds),
            None => Err("Duration must be string or int, got <class 'float'>".to_owned()),
        },
        Value::String(text) => {
            let text = text.trim().to_lowercase();
            if text.is_empty() {
                return Err("Duration cannot be empty".to_owned());
            }
            if text.starts_with('-') {
                return Err(negative());
            }
            text.parse()
                .ok()
                .or_else(|| with_units(&text))
                .ok_or_else(|| format!("Invalid duration format: '{text}'"))
        }
        Value::Array(_) => Err("Duration must be string or int, got <class 'list'>".to_owned()),
        Value::Object(_) => Err("Duration must be string or int, got <class 'dict'>".to_owned()),
        Value::Null => Err("Duration must be string or int, got <class 'NoneType'>".to_owned()),
    }
}

fn with_units(text: &str) -> Option<i64> {
    let mut rest: String = text.split_whitespace().collect();
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |end| end + digits);
        let unit = match &rest[digits..unit_end] {
            "s" | "sec" | "secs" => 1,
            "m" | "min" | "mins" => 60,
            "h" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 86_400,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest[unit_end..].to_owned();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_and_units_become_seconds() {
        for (value, expected) in [
            (json!(120), 120),
            (json!("120"), 120),
            (json!("30m"), 1800),
            (json!("2h30m"), 9000),
            (json!("1d"), 86_400),
            (json!("2 hours 5 min"), 7500),
        ] {
            assert_eq!(seconds(&value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn nonsense_is_named() {
        assert_eq!(
            seconds(&json!(-1)).unwrap_err(),
            "Duration cannot be negative"
        );
        assert_eq!(seconds(&json!("")).unwrap_err(), "Duration cannot be empty");
        assert_eq!(
            seconds(&json!("5 weeks")).unwrap_err(),
            "Invalid duration format: '5 weeks'"
        );
        assert_eq!(
            seconds(&json!("999999999999999999d")).unwrap_err(),
            "Invalid duration format: '999999999999999999d'"
        );
    }
}
