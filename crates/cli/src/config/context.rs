//! Contexts of the `nats` command: files that say how to reach a broker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::problem::Problem;
use super::settings::Key;
use super::source::{Given, Source};
use super::text;

/// What racktick takes from a context, by the context's own words.
const TAKEN: &[(&str, Key)] = &[
    ("url", Key::NatsUrl),
    ("creds", Key::NatsCreds),
    ("nkey", Key::NatsNkey),
    ("user", Key::NatsUser),
    ("password", Key::NatsPassword),
    ("token", Key::NatsToken),
    ("ca", Key::NatsCa),
    ("cert", Key::NatsCert),
    ("key", Key::NatsKey),
    ("inbox_prefix", Key::NatsInboxPrefix),
];

/// What changes how a broker is reached and racktick cannot do. Ignoring it would reach another broker, or none.
const REFUSED: &[&str] = &[
    "nsc",
    "user_jwt",
    "user_seed",
    "socks_proxy",
    "jetstream_domain",
    "jetstream_api_prefix",
];

/// Where contexts lie: `$XDG_CONFIG_HOME/nats`, or `~/.config/nats`.
pub(crate) fn folder(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let config = match set("XDG_CONFIG_HOME") {
        Some(config) => PathBuf::from(config),
        None => Path::new(set("HOME")?).join(".config"),
    };
    Some(config.join("nats"))
}

/// The context that `nats context select` chose, if any.
pub(crate) fn selected(folder: &Path) -> Option<String> {
    let name = text::read(&folder.join("context.txt")).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// What a context sets.
pub(crate) fn read(folder: &Path, name: &str) -> Result<BTreeMap<Key, Given>, Problem> {
    let path = folder.join("context").join(format!("{name}.json"));
    let unreadable = |why: String| Problem::unreadable(format!("NATS context {name}"), &path, why);
    if name.contains(['/', '\\']) || name.contains("..") {
        return Err(unreadable("a context is named, not given as a path".into()));
    }
    let said = text::read(&path).map_err(|error| unreadable(error.to_string()))?;
    // A JSON error names a line and a column, not the text there.
    let context: Map<String, Value> = serde_json::from_str(&said)
        .map_err(|error| unreadable(format!("it is not a JSON object: {error}")))?;
    let said = |word: &str| context.get(word)?.as_str().filter(|text| !text.is_empty());
    if let Some(word) = REFUSED.iter().find(|word| said(word).is_some()) {
        return Err(unreadable(format!(
            "it uses `{word}`, which racktick does not support; set NATS_URL and NATS_CREDS instead"
        )));
    }
    let given = |text: &str| Given {
        text: text.to_owned(),
        source: Source::Context(name.to_owned()),
    };
    Ok(TAKEN
        .iter()
        .filter_map(|(word, key)| Some((*key, given(said(word)?))))
        .collect())
}
