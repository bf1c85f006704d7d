//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from, for messages and for `config show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The command line.
    Flag(String),
    /// The environment.
    Environment(String),
    /// `.env` in the working directory.
    EnvFile(String),
    /// `racktick.toml`.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A context of the `nats` command.
    Context(String),
    /// The built-in default.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::EnvFile(variable) => write!(f, ".env {variable}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Context(name) => write!(f, "NATS context {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value as text, and where it came from.
#[derive(Clone)]
pub(crate) struct Given {
    /// The text. It may be a secret, so this type has no `Debug`.
    pub(crate) text: String,
    /// Where it was written.
    pub(crate) source: Source,
}
