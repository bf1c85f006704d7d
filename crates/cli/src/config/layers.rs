//! From all places a setting may be written to the one value that holds:
//! flag, environment, `.env`, `racktick.toml`, NATS context, default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::context;
use super::file::{self, File};
use super::problem::{Problem, nearest};
use super::settings::{Key, SETTINGS, Setting};
use super::source::{Given, Source};
use super::text;

/// Where to look.
pub(crate) struct Places {
    /// Values from the command line, by setting, with the flag they came from.
    pub(crate) flags: Vec<(Key, String, String)>,
    /// The environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// The working directory: `.env` and `racktick.toml` are looked for here.
    pub(crate) directory: PathBuf,
    /// A configuration file that was named; it must exist.
    pub(crate) file: Option<PathBuf>,
}

/// Every setting's text, and the parts of the file that are not settings.
pub(crate) struct Resolved {
    pub(crate) values: BTreeMap<Key, Given>,
    pub(crate) file: File,
    /// The variables of OpenTelemetry.
    pub(crate) otel: BTreeMap<String, String>,
    /// Things that are probably mistakes and harm nothing else.
    pub(crate) warnings: Vec<String>,
}

/// The name of the configuration file in the working directory.
const FILE: &str = "racktick.toml";

/// The variable that names another one.
const FILE_VARIABLE: &str = "RACKTICK_CONFIG";

/// Looks everywhere. What is wrong goes into `problems`; the rest is still there.
pub(crate) fn resolve(places: &Places, problems: &mut Vec<Problem>) -> Resolved {
    let env_file = env_file(&places.directory.join(".env"), problems);
    let named = places.file.clone().or_else(|| {
        let named = places
            .environment
            .get(FILE_VARIABLE)
            .or(env_file.get(FILE_VARIABLE));
        named.filter(|path| !path.is_empty()).map(PathBuf::from)
    });
    let file = configuration_file(places, named, problems);
    merge(places, env_file, file, problems)
}

/// What a file's text says where nothing else says anything.
pub(crate) fn resolve_file(text: &str, problems: &mut Vec<Problem>) -> Resolved {
    let places = Places {
        flags: Vec::new(),
        environment: BTreeMap::new(),
        directory: PathBuf::new(),
        file: None,
    };
    let file = file::read(Path::new(FILE), text, problems);
    merge(&places, BTreeMap::new(), file, problems)
}

/// The first place that says something counts.
fn merge(
    places: &Places,
    env_file: BTreeMap<String, String>,
    file: File,
    problems: &mut Vec<Problem>,
) -> Resolved {
    let mut values = BTreeMap::new();
    for (key, text, flag) in &places.flags {
        let source = Source::Flag(flag.clone());
        values.insert(
            *key,
            Given {
                text: text.clone(),
                source,
            },
        );
    }
    for setting in SETTINGS {
        let variables = [
            (
                &places.environment,
                Source::Environment as fn(String) -> Source,
            ),
            (&env_file, Source::EnvFile),
        ];
        for (variables, source) in variables {
            if let Some(given) = from_variables(setting, variables, source, places, problems) {
                values.entry(setting.key).or_insert(given);
            }
        }
        if let Some(given) = from_file(setting, &file, places, problems) {
            values.entry(setting.key).or_insert(given);
        }
    }
    from_context(&mut values, places, problems);
    for setting in SETTINGS {
        if let Some(default) = setting.default {
            values.entry(setting.key).or_insert_with(|| Given {
                text: default.to_owned(),
                source: Source::Default,
            });
        }
    }
    let warnings = unknown_variables(&places.environment)
        .chain(unknown_variables(&env_file))
        .collect();
    let otel = env_file
        .into_iter()
        .chain(places.environment.clone())
        .filter(|(name, value)| name.starts_with("OTEL_") && !value.is_empty())
        .collect();
    Resolved {
        values,
        file,
        otel,
        warnings,
    }
}

fn env_file(path: &Path, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    if !path.is_file() {
        return BTreeMap::new();
    }
    let text = match text::read(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(Problem::unreadable("the file", path, error));
            return BTreeMap::new();
        }
    };
    let mut variables = BTreeMap::new();
    for entry in dotenvy::from_read_iter(text.as_bytes()) {
        match entry {
            // The first of two counts, as it does for whoever loads the file into an environment.
            Ok((name, value)) => {
                variables.entry(name).or_insert(value);
            }
            Err(dotenvy::Error::LineParse(line, _)) => {
                // The line may hold a secret, or be a part of one: only its variable is shown.
                let number = text.lines().position(|other| other == line);
                let place = match (line.split_once('='), number) {
                    (Some((name, _)), _) if is_variable(name.trim()) => {
                        format!("the line of `{}`", name.trim())
                    }
                    (_, Some(at)) => format!("line {}", at + 1),
                    (_, None) => "a line".into(),
                };
                let why = format!(
                    "{place} is not NAME=value; put a value with blanks or `#` into quotes"
                );
                problems.push(Problem::unreadable("the file", path, why));
            }
            Err(error) => {
                problems.push(Problem::unreadable("the file", path, error));
                break;
            }
        }
    }
    variables
}

/// Whether a text can be the name of a variable, and not the beginning of anything secret: those in use are in capitals.
fn is_variable(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn configuration_file(
    places: &Places,
    named: Option<PathBuf>,
    problems: &mut Vec<Problem>,
) -> File {
    // Shown as it was named; found from the working directory.
    let shown = named.clone().unwrap_or_else(|| FILE.into());
    let path = places.directory.join(&shown);
    if named.is_none() && !path.exists() {
        return File::default();
    }
    match text::read(&path) {
        Ok(text) => file::read(&shown, &text, problems),
        Err(error) => {
            problems.push(Problem::unreadable("the configuration file", &shown, error));
            File::default()
        }
    }
}

fn from_variables(
    setting: &Setting,
    variables: &BTreeMap<String, String>,
    source: fn(String) -> Source,
    places: &Places,
    problems: &mut Vec<Problem>,
) -> Option<Given> {
    // An empty variable counts as unset: a compose file can only hand on empty ones.
    let set = |name: &str| {
        variables
            .get(name)
            .filter(|value| !value.is_empty())
            .cloned()
    };
    let given = |name: &str, text: String| Given {
        text,
        source: source(name.to_owned()),
    };
    let plain = set(setting.variable).map(|text| given(setting.variable, text));
    let name = setting.file_variable();
    let in_file = setting
        .secret
        .then(|| set(&name))
        .flatten()
        .map(|text| given(&name, text));
    one_of(setting.variable, plain, &name, in_file, places, problems)
}

fn from_file(
    setting: &Setting,
    file: &File,
    places: &Places,
    problems: &mut Vec<Problem>,
) -> Option<Given> {
    let plain = file.values.get(&setting.key).cloned();
    let in_file = file.secret_files.get(&setting.key).cloned();
    one_of(
        setting.name,
        plain,
        &setting.file_name(),
        in_file,
        places,
        problems,
    )
}

/// The value itself, or the content of the file that holds it, but not both.
fn one_of(
    name: &str,
    plain: Option<Given>,
    file_name: &str,
    in_file: Option<Given>,
    places: &Places,
    problems: &mut Vec<Problem>,
) -> Option<Given> {
    let Some(in_file) = in_file else { return plain };
    if plain.is_some() {
        problems.push(Problem::Twice {
            one: name.to_owned(),
            other: file_name.to_owned(),
        });
        return None;
    }
    let path = places.directory.join(&in_file.text);
    match text::read(&path) {
        Ok(text) => Some(Given {
            text: text.trim().to_owned(),
            source: in_file.source,
        }),
        Err(error) => {
            // Whoever wrote the secret itself here must not read it in a log.
            let is_path = ["/", "./", "../"]
                .iter()
                .any(|start| in_file.text.starts_with(start));
            problems.push(match is_path {
                true => {
                    Problem::unreadable(format!("the file that {file_name} names,"), &path, error)
                }
                false => Problem::SecretFile {
                    name: file_name.to_owned(),
                    why: error.to_string(),
                },
            });
            None
        }
    }
}

fn from_context(values: &mut BTreeMap<Key, Given>, places: &Places, problems: &mut Vec<Problem>) {
    let folder = context::folder(&places.environment);
    let context = match (values.get(&Key::NatsContext), &folder) {
        (Some(named), Some(folder)) => Some((folder, named.text.clone())),
        (Some(named), None) => {
            problems.push(Problem::unreadable(
                format!("NATS context {}", named.text),
                Path::new("~/.config/nats"),
                "neither XDG_CONFIG_HOME nor HOME is set",
            ));
            None
        }
        // The selected context speaks for itself as a whole or not at all: its credentials never go to an address
        // that came from elsewhere.
        (None, Some(folder))
            if !values
                .keys()
                .any(|key| key.setting().name.starts_with("nats.")) =>
        {
            context::selected(folder).map(|name| (folder, name))
        }
        (None, _) => None,
    };
    let Some((folder, name)) = context else {
        return;
    };
    match context::read(folder, &name) {
        Ok(found) => {
            for (key, given) in found {
                values.entry(key).or_insert(given);
            }
        }
        Err(problem) => problems.push(problem),
    }
}

/// Variables that look like racktick's and are none: most likely mistyped.
fn unknown_variables(variables: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
    let known = |name: &str| {
        name == FILE_VARIABLE
            || SETTINGS.iter().any(|setting| {
                setting.variable == name || (setting.secret && setting.file_variable() == name)
            })
    };
    variables
        .keys()
        .filter(move |name| name.starts_with("RACKTICK_") && !known(name))
        .map(|name| {
            let nearest = nearest(name, SETTINGS.iter().map(|setting| setting.variable));
            let advice = nearest
                .map(|known| format!("; did you mean {known}?"))
                .unwrap_or_default();
            format!("{name} is no variable of racktick's and is ignored{advice}")
        })
}
