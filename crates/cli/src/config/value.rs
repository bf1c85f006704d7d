//! Values as people write them. Each refusal says what to write instead.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use dashboard::web::{HeaderName, IpNet, Proxy};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use model::speed::Speed;
use model::task::TaskKind;
use secrecy::SecretString;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// What a setting's text is read as.
pub(crate) trait Value: Sized {
    /// Reads it, or says what to write.
    fn read(text: &str) -> Result<Self, String>;
}

impl Value for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Value for SecretString {
    fn read(text: &str) -> Result<Self, String> {
        Ok(SecretString::from(text))
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
}

impl Value for maas::MaasUrl {
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }
}

impl Value for maas::ApiKey {
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }
}

impl Value for testflinger::Root {
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }
}

impl Value for bool {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "true" | "yes" | "1" => Ok(true),
            "false" | "no" | "0" => Ok(false),
            _ => Err("write `true` or `false`".into()),
        }
    }
}

impl Value for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = text.replace("localhost:", "127.0.0.1:");
        text.parse().map_err(|_| {
            "write an address and a port, such as `127.0.0.1:8000` or `0.0.0.0:8000`".into()
        })
    }
}

/// The name of an HTTP header.
pub(crate) struct Header(pub(crate) HeaderName);

impl Value for Header {
    fn read(text: &str) -> Result<Self, String> {
        let name = Proxy::header(text).map_err(|error| error.to_string());
        name.map(Self)
    }
}

/// Addresses and networks.
pub(crate) struct Networks(pub(crate) Vec<IpNet>);

impl Value for Networks {
    fn read(text: &str) -> Result<Self, String> {
        let networks = Proxy::networks(text).map_err(|error| error.to_string());
        networks.map(Self)
    }
}

impl Value for usize {
    fn read(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) | Err(_) => Err("write a whole number from 1 on".into()),
            Ok(number) => Ok(number),
        }
    }
}

impl Value for Speed {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| "write a number from 1 (real time) to 100000".into())
    }
}

impl Value for Duration {
    fn read(text: &str) -> Result<Self, String> {
        duration(text)
    }
}

/// Reads a time such as `6h`, `90s` or `1h 30m`; a day counts as 24 hours.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return Err(format!(
            "`{text}` has no unit; write `{text}s`, `{text}m` or `{text}h`"
        ));
    }
    text.parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .filter(|length| *length >= SignedDuration::ZERO)
        .and_then(|length| Duration::try_from(length).ok())
        .ok_or_else(|| "write a number with a unit, such as `30s`, `5m` or `6h`".into())
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl Value for Bytes {
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || "write a number of bytes, such as `256MiB` or `2GB`".to_owned();
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return Err(wrong()),
        };
        match number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
        {
            Some(0) | None => Err(wrong()),
            Some(bytes) => Ok(Self(bytes)),
        }
    }
}

/// Kinds of work, with commas between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kinds(pub(crate) Vec<TaskKind>);

impl Value for Kinds {
    fn read(text: &str) -> Result<Self, String> {
        let mut kinds = Vec::new();
        for word in text.split(',').map(str::trim) {
            let kind = [TaskKind::Tick, TaskKind::Submit, TaskKind::Watch]
                .into_iter()
                .find(|kind| kind.as_str() == word)
                .ok_or("write one or more of `tick`, `submit` and `watch`, with commas between")?;
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Ok(Self(kinds))
    }
}

/// Whether a text filters log lines. A bare word must be a level: taken for a part of the program, a mistyped level
/// would silence everything else.
pub(crate) fn is_log_filter(text: &str) -> bool {
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    text.parse::<Targets>().is_ok()
        && text
            .split(',')
            .all(|part| part.contains('=') || is_level(part.trim()))
}

/// On how many servers everything is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replicas(pub(crate) u8);

impl Value for Replicas {
    fn read(text: &str) -> Result<Self, String> {
        match text.trim().parse() {
            Ok(number @ (1 | 3 | 5)) => Ok(Self(number)),
            Ok(2 | 4) => Err(
                "write 1, 3 or 5: an even number survives the loss of no more servers than one less"
                    .into(),
            ),
            _ => Err("write 1, 3 or 5".into()),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Value for LogFormat {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("write `auto`, `text` or `json`".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_a_day_has_24_hours() {
        assert_eq!(duration("6h").unwrap(), Duration::from_secs(6 * 3600));
        assert_eq!(duration("1h 30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(duration("30d").unwrap(), Duration::from_secs(30 * 86400));
        assert_eq!(duration("0").unwrap(), Duration::ZERO);
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(
            duration("6").unwrap_err(),
            "`6` has no unit; write `6s`, `6m` or `6h`"
        );
        for bad in ["", "six", "-6h", "6x", "1y ago", "99999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_tell_decimal_from_binary() {
        let read = |text| Bytes::read(text).map(|bytes| bytes.0);
        assert_eq!(read("2GB"), Ok(2_000_000_000));
        assert_eq!(read("256 MiB"), Ok(256 << 20));
        assert_eq!(read("17"), Ok(17));
        for bad in ["", "GB", "-1", "0", "2TBs", "99999999999GB"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mistyped_level_is_no_log_filter() {
        assert!(is_log_filter("info") && is_log_filter("warn,worker=debug"));
        assert!(!is_log_filter("inof") && !is_log_filter("info,worker=loud") && !is_log_filter(""));
    }

    #[test]
    fn an_even_number_of_replicas_is_refused_with_the_reason() {
        let read = |text| Replicas::read(text).map(|replicas| replicas.0);
        assert_eq!([read("1"), read("3"), read("5")], [Ok(1), Ok(3), Ok(5)]);
        assert!(read("2").unwrap_err().contains("even"));
        for bad in ["", "0", "-1", "7", "three"] {
            assert_eq!(read(bad).unwrap_err(), "write 1, 3 or 5", "{bad}");
        }
    }

    #[test]
    fn kinds_of_work_are_named_once() {
        let read = |text| Kinds::read(text).map(|kinds| kinds.0);
        assert_eq!(
            read("watch, tick,watch"),
            Ok(vec![TaskKind::Watch, TaskKind::Tick])
        );
        assert!(read("").is_err());
        assert!(read("tick,look").is_err());
    }
}
