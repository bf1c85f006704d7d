//! The configuration file: whatever stands in it, nothing that is said of it shows a secret.

use toml::de::{DeTable, DeValue};

/// Where secrets stand.
const SECRETS: &[(&str, &str)] = &[
    ("maas", "api_key"),
    ("nats", "password"),
    ("nats", "token"),
    ("testflinger", "secret_key"),
];

/// Shorter ones may stand elsewhere in the file by chance.
const TELLING: usize = 12;

/// A file is read the same twice, everything that is wrong is said in words that show no secret, and so is what is right.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    // What such a key names would be read.
    if DeTable::parse(text).is_ok_and(|table| names_a_file(table.get_ref())) {
        return;
    }
    let read = cli::check_file(text);
    assert_eq!(read, cli::check_file(text), "a file says two things");
    let said: Vec<String> = match read {
        Ok(values) => values
            .into_iter()
            .map(|(name, value)| format!("{name} {}", value.unwrap_or_default()))
            .collect(),
        Err(problems) => {
            assert!(!problems.is_empty(), "a file is refused without a reason");
            problems
        }
    };
    for secret in secrets(text) {
        for said in &said {
            assert!(!said.contains(&secret), "a secret is shown: {said}");
        }
    }
}

/// Whether one of the keys says where a secret stands instead of the secret.
fn names_a_file(table: &DeTable<'_>) -> bool {
    table.iter().any(|(key, value)| {
        key.get_ref().ends_with("_file")
            || matches!(value.get_ref(), DeValue::Table(inner) if names_a_file(inner))
    })
}

/// The secrets of a file that stand nowhere else in it.
fn secrets(text: &str) -> Vec<String> {
    let Ok(table) = DeTable::parse(text) else {
        return Vec::new();
    };
    let secret = |(section, key): &(&str, &str)| {
        let DeValue::Table(section) = table.get_ref().get(*section)?.get_ref() else {
            return None;
        };
        let secret = section.get(*key)?.get_ref().as_str()?.trim().to_owned();
        (secret.len() >= TELLING && text.matches(&secret).count() == 1).then_some(secret)
    };
    SECRETS.iter().filter_map(secret).collect()
}
