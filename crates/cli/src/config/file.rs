//! `racktick.toml`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use model::name::RackName;
use model::policy::{Policy, PolicyChange};
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, nearest};
use super::rack::{RackDefaults, ScheduleWords, set_policy};
use super::settings::{Key, SETTINGS, Setting};
use super::source::{Given, Source};
use super::value;

/// What the file says.
#[derive(Default)]
pub(crate) struct File {
    /// Settings.
    pub(crate) values: BTreeMap<Key, Given>,
    /// Files that hold secrets.
    pub(crate) secret_files: BTreeMap<Key, Given>,
    /// `[policy]`.
    pub(crate) policy: PolicyChange,
    /// Where each value of it stands.
    pub(crate) policy_sources: BTreeMap<String, Source>,
    /// `[racks.<name>]`.
    pub(crate) racks: BTreeMap<RackName, (RackDefaults, Source)>,
}

type Entry<'a> = (String, usize, &'a Spanned<DeValue<'a>>);

/// Reads a file's text. Everything wrong with it is reported at once.
pub(crate) fn read(path: &Path, text: &str, problems: &mut Vec<Problem>) -> File {
    let mut reader = Reader {
        path: path.to_owned(),
        text,
        problems,
        file: File::default(),
    };
    match DeTable::parse(text) {
        Ok(table) => reader.top(table.get_ref()),
        // The error's own text shows the line, which may hold a secret.
        Err(error) => {
            let line = reader.line(error.span().unwrap_or_default());
            reader.bad(line, format!("this is not TOML: {}", error.message()));
        }
    }
    reader.file
}

struct Reader<'a> {
    path: PathBuf,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
    file: File,
}

impl Reader<'_> {
    fn line(&self, span: Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }

    fn source(&self, line: usize) -> Source {
        Source::File {
            path: self.path.clone(),
            line,
        }
    }

    fn bad(&mut self, line: usize, message: String) {
        let path = self.path.clone();
        self.problems.push(Problem::BadEntry {
            path,
            line,
            message,
        });
    }

    fn unknown<'k>(&mut self, line: usize, key: &str, known: impl IntoIterator<Item = &'k str>) {
        self.problems.push(Problem::UnknownKey {
            path: self.path.clone(),
            line,
            key: key.to_owned(),
            nearest: nearest(key, known),
        });
    }

    fn entries<'t>(&self, table: &'t DeTable<'t>) -> Vec<Entry<'t>> {
        table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), self.line(key.span()), value))
            .collect()
    }

    fn top(&mut self, table: &DeTable<'_>) {
        for (key, line, value) in self.entries(table) {
            match (key.as_str(), value.get_ref()) {
                ("policy", DeValue::Table(table)) => {
                    let mut policy = PolicyChange::default();
                    for (field, line) in self.policy(table, &mut policy) {
                        let source = self.source(line);
                        self.file.policy_sources.insert(field, source);
                    }
                    self.file.policy = policy;
                }
                ("racks", DeValue::Table(table)) => self.racks(table),
                ("policy" | "racks", _) => {
                    self.bad(line, format!("`{key}` is a table: write `[{key}]`"))
                }
                (section, DeValue::Table(table)) if is_section(section) => {
                    for (key, line, value) in self.entries(table) {
                        self.setting(&format!("{section}.{key}"), line, value);
                    }
                }
                _ => self.setting(&key, line, value),
            }
        }
    }

    fn setting(&mut self, name: &str, line: usize, value: &Spanned<DeValue<'_>>) {
        let plain = SETTINGS.iter().find(|setting| setting.name == name);
        let of_file = SETTINGS
            .iter()
            .find(|setting| setting.secret && setting.file_name() == name);
        let Some(setting) = plain.or(of_file) else {
            let known = SETTINGS.iter().map(|setting| setting.name);
            let known = known
                .chain(SETTINGS.iter().filter_map(section))
                .chain(["policy", "racks"]);
            return self.unknown(line, name, known);
        };
        let Some(text) = scalar(value.get_ref()) else {
            let kind = value.get_ref().type_str();
            return self.bad(line, format!("`{name}` is one value, not {kind}"));
        };
        let given = Given {
            text,
            source: self.source(line),
        };
        match plain {
            Some(_) => self.file.values.insert(setting.key, given),
            None => self.file.secret_files.insert(setting.key, given),
        };
    }

    /// Reads policy values, and returns which there were and where.
    fn policy(&mut self, table: &DeTable<'_>, policy: &mut PolicyChange) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        for (field, line, value) in self.entries(table) {
            if !Policy::FIELDS.contains(&field.as_str()) {
                self.unknown(line, &field, Policy::FIELDS.iter().copied());
                continue;
            }
            match json(value.get_ref()).and_then(|value| set_policy(policy, &field, value)) {
                Ok(()) => found.push((field, line)),
                Err(message) => self.bad(line, message),
            }
        }
        found
    }

    fn racks(&mut self, table: &DeTable<'_>) {
        for (name, line, value) in self.entries(table) {
            let rack = match RackName::new(name.as_str()) {
                Ok(rack) => rack,
                Err(error) => {
                    self.bad(line, error.to_string());
                    continue;
                }
            };
            let DeValue::Table(table) = value.get_ref() else {
                self.bad(line, format!("a rack is a table: write `[racks.{name}]`"));
                continue;
            };
            let defaults = self.rack(table);
            let source = self.source(line);
            self.file.racks.insert(rack, (defaults, source));
        }
    }

    fn rack(&mut self, table: &DeTable<'_>) -> RackDefaults {
        let mut rack = RackDefaults::default();
        for (key, line, value) in self.entries(table) {
            let value = value.get_ref();
            match (key.as_str(), value) {
                ("policy", DeValue::Table(table)) => {
                    self.policy(table, &mut rack.policy);
                }
                ("every" | "splay", _) => {
                    let text = scalar(value).unwrap_or_default();
                    match value::duration(&text) {
                        Ok(time) if key == "every" => rack.schedule.every = Some(time),
                        Ok(time) => rack.schedule.splay = Some(time),
                        Err(why) => self.bad(line, format!("{key} = {text}: {why}")),
                    }
                }
                ("cron", DeValue::String(text)) => rack.schedule.cron = Some(text.to_string()),
                ("time_zone", DeValue::String(text)) => {
                    rack.schedule.time_zone = Some(text.to_string());
                }
                ("cron" | "time_zone", _) => {
                    self.bad(line, format!("`{key}` is a text: write it in quotes"))
                }
                _ => {
                    let known = ScheduleWords::KEYS.iter().copied().chain(["policy"]);
                    self.unknown(line, &key, known);
                }
            }
        }
        rack
    }
}

fn section(setting: &Setting) -> Option<&'static str> {
    setting.name.split_once('.').map(|(section, _)| section)
}

fn is_section(name: &str) -> bool {
    SETTINGS
        .iter()
        .filter_map(section)
        .any(|section| section == name)
}

/// A single value as text; a list of single values with commas between.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Array(values) => values
            .iter()
            .map(|value| value.get_ref().as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map(|values| values.join(",")),
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

fn json(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| format!("{} is too large a number", number.as_str()))?
            .into(),
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .map_err(|_| format!("{} is not a number", number.as_str()))?
            .into(),
        DeValue::Boolean(value) => (*value).into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(values) => values
            .iter()
            .map(|value| json(value.get_ref()))
            .collect::<Result<_, _>>()?,
        DeValue::Table(table) => Value::Object(
            table
                .iter()
                .map(|(key, value)| Ok((key.get_ref().to_string(), json(value.get_ref())?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        read(Path::new("racktick.toml"), text, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unknown_keys_are_named_with_their_line_and_the_nearest_known_one() {
        let text = "sped = 2\n\n[worker]\nconcurency = 3\n[policy]\nspraed = \"1h\"\n[racks.r1]\nevry = \"6h\"\n[wroker]\ngrace = \"3s\"\n";
        let mut problems = problems(text);
        problems.sort();
        assert_eq!(
            problems,
            [
                "racktick.toml:1: unknown key `sped`; did you mean `speed`?",
                "racktick.toml:4: unknown key `worker.concurency`; did you mean `worker.concurrency`?",
                "racktick.toml:6: unknown key `spraed`; did you mean `spread`?",
                "racktick.toml:8: unknown key `evry`; did you mean `every`?",
                "racktick.toml:9: unknown key `wroker`; did you mean `worker`?",
            ]
        );
    }

    #[test]
    fn a_broken_file_is_named_without_showing_what_stands_in_it() {
        let problems = problems("[maas]\napi_key = \"aaa:bbb:hunter2\n");
        assert!(
            problems[0].starts_with("racktick.toml:2: this is not TOML"),
            "{problems:?}"
        );
        assert!(!problems[0].contains("hunter2"));
    }

    #[test]
    fn bad_entries_are_named_with_their_line() {
        for (text, want) in [
            ("policy = 3", "racktick.toml:1: `policy` is a table"),
            ("[racks.'r 1']", "racktick.toml:1: `r 1` is not a rack name"),
            (
                "[racks.r1]\nevery = 6",
                "racktick.toml:2: every = 6: `6` has no unit",
            ),
            (
                "[policy]\nspread = 6",
                "racktick.toml:2: policy value spread = 6: `6` has no unit",
            ),
            (
                "[policy]\nexclude = \"x\"",
                "racktick.toml:2: policy value exclude",
            ),
            (
                "speed = { x = 1 }",
                "racktick.toml:1: `speed` is one value, not table",
            ),
        ] {
            let problems = problems(text);
            assert!(problems[0].starts_with(want), "{problems:?}");
        }
    }
}
