//! What `config show` prints: every effective value with its source, and no secret.

use std::time::Duration;

use model::policy::Policy;
use serde::Serialize;
use serde_json::Value;

use super::layers::Resolved;
use super::settings::{SETTINGS, Setting};
use super::source::Source;

/// What stands for a secret's value.
const MASK: &str = "********";

/// One line of `config show`.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// The name in `racktick.toml`.
    pub(crate) name: String,
    /// The environment variable.
    pub(crate) variable: Option<&'static str>,
    /// The value; secrets masked; `None` when it is not set.
    pub(crate) value: Option<String>,
    /// Where it came from.
    pub(crate) source: Option<String>,
    /// What it means.
    pub(crate) doc: String,
}

/// All settings, then the policy, then the racks of the file.
pub(crate) fn rows(resolved: &Resolved) -> Vec<Row> {
    let settings = SETTINGS.iter().map(|setting| {
        let given = resolved.values.get(&setting.key);
        Row {
            name: setting.name.to_owned(),
            variable: Some(setting.variable),
            value: given.map(|given| shown(setting, &given.text)),
            source: given.map(|given| given.source.to_string()),
            doc: setting.doc.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    });
    let policy = Policy::default().with(&resolved.file.policy);
    let values = serde_json::to_value(policy).unwrap_or_default();
    let policy = Policy::FIELDS.iter().map(|field| Row {
        name: format!("policy.{field}"),
        variable: None,
        value: values.get(*field).map(plain),
        source: Some(match resolved.file.policy_sources.get(*field) {
            Some(source) => source.to_string(),
            None => Source::Default.to_string(),
        }),
        doc: String::new(),
    });
    let racks = resolved
        .file
        .racks
        .iter()
        .map(|(rack, (defaults, source))| {
            let schedule = defaults.schedule.clone().settle(rack, Duration::ZERO);
            let schedule = schedule.map_or_else(|why| why, |schedule| schedule.to_string());
            let policy = serde_json::to_value(&defaults.policy).unwrap_or_default();
            Row {
                name: format!("racks.{rack}"),
                variable: None,
                value: Some(format!("{schedule}, policy {policy}")),
                source: Some(source.to_string()),
                doc: String::new(),
            }
        });
    settings.chain(policy).chain(racks).collect()
}

/// A value as it may be shown.
pub(super) fn shown(setting: &Setting, text: &str) -> String {
    if setting.secret || is_secret(text) {
        return MASK.into();
    }
    // An address may hold a user name and a password.
    bus::without_passwords(text)
}

/// Whether a text looks like a secret that came to the wrong place: the seed of an nkey, a MAAS key, a token, the
/// content of a credentials file.
pub(super) fn is_secret(text: &str) -> bool {
    let text = text.trim();
    let is_maas_key = || {
        let parts: Vec<&str> = text.split(':').collect();
        parts.len() == 3
            && parts
                .iter()
                .all(|part| part.len() >= 16 && part.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    is_seed(text) || is_maas_key() || text.starts_with("eyJ") || text.contains("-----BEGIN")
}

/// Whether a text looks like the seed of an nkey, which belongs into a file.
pub(super) fn is_seed(text: &str) -> bool {
    text.len() == 58
        && text.starts_with('S')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_the_wrong_place_is_recognised() {
        for text in [
            "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY",
            "Pm7Cx8vKvTHqkpTcYa:gZ5hUXZ9Lr6JXcmDhw:2gWKyJ3CzPkYvQkqTT7cH9pJ4sNVyfRS",
            "eyJhbGciOiJIUzI1NiJ9.e30.x",
            "-----BEGIN NATS USER JWT-----",
        ] {
            assert!(is_secret(text), "{text}");
        }
        for text in [
            "nats://host:4222",
            "a:b:c",
            "/run/secrets/maas",
            "Europe/Berlin",
            "",
        ] {
            assert!(!is_secret(text), "{text}");
        }
    }
}
