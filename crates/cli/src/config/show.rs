//! What `config show` prints: every effective value with its source, and no secret.

use std::time::Duration;

use model::policy::Policy;
use serde::Serialize;
use serde_json::Value;

use super::layers::Resolved;
use super::rack::schedule_text;
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
            let schedule = schedule.map_or_else(|why| why, |schedule| schedule_text(&schedule));
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
    if setting.secret || is_seed(text) {
        return MASK.into();
    }
    // An address may hold a user name and a password.
    text.split(',')
        .map(without_password)
        .collect::<Vec<_>>()
        .join(",")
}

/// Whether a text looks like the seed of an nkey, which belongs into a file.
pub(super) fn is_seed(text: &str) -> bool {
    text.len() == 58
        && text.starts_with('S')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn without_password(address: &str) -> String {
    let start = address.find("://").map_or(0, |at| at + 3);
    match address[start..].rfind('@') {
        Some(at) => format!("{}{MASK}{}", &address[..start], &address[start + at..]),
        None => address.to_owned(),
    }
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
    fn a_password_in_an_address_is_masked() {
        assert_eq!(
            without_password("nats://me:secret@host:4222"),
            "nats://********@host:4222"
        );
        assert_eq!(without_password("me:secret@host"), "********@host");
        assert_eq!(without_password("nats://host:4222"), "nats://host:4222");
    }
}
