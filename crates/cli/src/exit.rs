//! How the program ends. The codes are part of its interface: `docs/cli.md` and `--help` list them.

use std::process::ExitCode;

use crate::config::ConfigError;

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done, or true.
    Ok = 0,
    /// It failed, is not true, or was declined.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The broker, MAAS or Testflinger cannot be reached; trying again later may help.
    Unavailable = 69,
    /// The configuration is wrong or lacks something; trying again does not help.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command line that clap accepts and that still makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The code for an error, by what a caller can do about it.
pub(crate) fn code_of(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if cause.is::<ConfigError>() {
            return Exit::Config;
        }
        if cause.is::<Usage>() {
            return Exit::Usage;
        }
    }
    Exit::Failed
}
