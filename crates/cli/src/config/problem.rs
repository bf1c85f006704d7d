//! What can be wrong with a configuration. No text here ever holds a secret's value.

use std::path::{Path, PathBuf};

use super::settings::Key;
use super::source::Source;

/// One thing wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// A key that no setting has.
    #[error("{}:{line}: unknown key `{key}`{}", path.display(), advice(nearest.as_deref()))]
    UnknownKey {
        path: PathBuf,
        line: usize,
        key: String,
        nearest: Option<String>,
    },
    /// A value in `racktick.toml` that is not part of the table of settings.
    #[error("{}:{line}: {message}", path.display())]
    BadEntry {
        path: PathBuf,
        line: usize,
        message: String,
    },
    /// A value that cannot be read.
    #[error("{name} = {value} ({place}): {advice}")]
    BadValue {
        name: &'static str,
        value: String,
        place: Source,
        advice: String,
    },
    /// A setting that is needed and not set.
    #[error(
        "{variable} is not set: put it into the environment, into .env, or into racktick.toml as `{name}`"
    )]
    Missing {
        variable: &'static str,
        name: &'static str,
    },
    /// `X` and `X_FILE` in one place.
    #[error("{one} and {other} are both set: remove one of them")]
    Twice { one: String, other: String },
    /// A file that was named, or is there, cannot be read.
    #[error("{what} {} cannot be read: {why}", path.display())]
    Unreadable {
        what: String,
        path: PathBuf,
        why: String,
    },
    /// A file with a secret that cannot be read, where what was written could be the secret.
    #[error(
        "the file that {name} names cannot be read: {why}; what was written is not shown, as it could be the secret \
         itself: write a path that begins with `/` or `./`"
    )]
    SecretFile { name: String, why: String },
    /// A client that cannot be made of what is set.
    #[error("{why}; look at {variable}")]
    Unusable { variable: &'static str, why: String },
    /// `--set` without a key, or of a secret.
    #[error("--set {0}")]
    BadFlag(String),
}

impl Problem {
    pub(crate) fn missing(key: Key) -> Self {
        let setting = key.setting();
        Self::Missing {
            variable: setting.variable,
            name: setting.name,
        }
    }

    pub(crate) fn unreadable(what: impl Into<String>, path: &Path, why: impl ToString) -> Self {
        Self::Unreadable {
            what: what.into(),
            path: path.to_owned(),
            why: why.to_string(),
        }
    }
}

fn advice(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => "; `racktick config show` lists all of them".into(),
    }
}

/// All that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub(crate) struct ConfigError(pub(crate) Vec<Problem>);

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// The known word nearest to an unknown one, if one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // The last part alone counts, too, so that `concurency` finds `worker.concurrency`.
    let score = |candidate: &str| {
        let last = candidate.rsplit('.').next().unwrap_or(candidate);
        strsim::jaro_winkler(word, candidate).max(strsim::jaro_winkler(word, last))
    };
    known
        .into_iter()
        .map(|candidate| (score(candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_the_one_that_was_meant() {
        let known = ["worker.concurrency", "worker.grace", "speed"];
        assert_eq!(
            nearest("worker.concurency", known).as_deref(),
            Some("worker.concurrency")
        );
        assert_eq!(
            nearest("concurency", known).as_deref(),
            Some("worker.concurrency")
        );
        assert_eq!(nearest("sped", known).as_deref(), Some("speed"));
        assert_eq!(nearest("xyzzy", known), None);
    }
}
