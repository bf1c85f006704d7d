//! How the program ends. The codes are part of its interface: `docs/cli.md` and `--help` list them.

use std::error::Error;
use std::process::ExitCode;

use bus::BusError;
use bus::access::AccessError;
use lab::LabError;
use ledger::LedgerError;
use maas::{Class, MaasError};
use testflinger::TestflingerError;
use worker::inputs::Unreadable;
use worker::trouble::Trouble;

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
    error
        .chain()
        .find_map(code_of_cause)
        .unwrap_or(Exit::Failed)
}

fn code_of_cause(cause: &(dyn Error + 'static)) -> Option<Exit> {
    if cause.is::<ConfigError>() || cause.is::<AccessError>() {
        return Some(Exit::Config);
    }
    if cause.is::<Usage>() || matches!(cause.downcast_ref(), Some(LabError::Setting { .. })) {
        return Some(Exit::Usage);
    }
    if let Some(error) = cause.downcast_ref::<BusError>() {
        return Some(code_of_broker(error));
    }
    if let Some(error) = cause.downcast_ref::<LedgerError>() {
        return Some(code_of_ledger(error));
    }
    match cause.downcast_ref::<Unreadable>() {
        Some(Unreadable::Broker(error)) => return Some(code_of_ledger(error)),
        Some(Unreadable::Remote(trouble)) => return Some(code_of_trouble(trouble)),
        None => {}
    }
    let class = cause
        .downcast_ref::<MaasError>()
        .map(MaasError::class)
        .or_else(|| {
            cause
                .downcast_ref::<TestflingerError>()
                .map(TestflingerError::class)
        })?;
    Some(match class {
        Class::Transient => Exit::Unavailable,
        Class::Auth | Class::Rejected | Class::Malformed => Exit::Failed,
    })
}

fn code_of_ledger(error: &LedgerError) -> Exit {
    match error {
        LedgerError::Broker(error) => code_of_broker(error),
        LedgerError::Busy { .. } => Exit::Unavailable,
    }
}

fn code_of_trouble(trouble: &Trouble) -> Exit {
    match trouble.cause {
        "connect" | "timeout" | "cut" | "status" | "throttled" => Exit::Unavailable,
        _ => Exit::Failed,
    }
}

fn code_of_broker(error: &BusError) -> Exit {
    match error {
        error if error.is_transient() => Exit::Unavailable,
        BusError::Unauthorized { .. }
        | BusError::Setting { .. }
        | BusError::Tls { .. }
        | BusError::TooOld { .. }
        | BusError::Denied { .. }
        | BusError::Topology(_) => Exit::Config,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_that_is_away_or_broken_is_unavailable_also_behind_a_trouble() {
        let code = |cause| {
            let trouble = Trouble {
                cause,
                message: "what MAAS said".into(),
                retry_after: None,
            };
            code_of(&anyhow::Error::from(Unreadable::Remote(trouble)).context("reading a rack"))
        };
        for cause in ["connect", "timeout", "cut", "status", "throttled"] {
            assert_eq!(code(cause), Exit::Unavailable, "{cause}");
        }
        for cause in ["auth", "forbidden", "unknown_tag", "malformed"] {
            assert_eq!(code(cause), Exit::Failed, "{cause}");
        }
    }
}
