//! Colours, which only say again what words and shapes say already.

use std::io::IsTerminal;

use dashboard::history::standing::Health;
use model::outcome::Outcome;

/// How a piece of text is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
    Quiet,
}

impl Tone {
    /// What begins the tone on a terminal.
    pub(crate) fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("31"),
            Self::Quiet => Some("2"),
        }
    }

    /// A text in this tone, where colours are wanted. What strangers said in it has to be plain already.
    pub(crate) fn paint(self, text: &str) -> String {
        match self.code() {
            Some(code) if are_colours_wanted() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }

    /// The tone of a health.
    pub(crate) fn of_health(health: Health) -> Self {
        match health {
            Health::Quarantined | Health::Failing => Self::Bad,
            Health::Suspect | Health::Stale => Self::Warn,
            Health::Unknown => Self::Quiet,
            Health::Ok => Self::Good,
        }
    }

    /// The tone of an outcome.
    pub(crate) fn of_outcome(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Passed => Self::Good,
            Outcome::Failed { .. } | Outcome::Rejected { .. } => Self::Bad,
            Outcome::Lost { .. } => Self::Warn,
            Outcome::Cancelled | Outcome::Skipped(_) => Self::Quiet,
        }
    }
}

/// Whether stdout is to have colours: a terminal, unless `NO_COLOR` is set.
pub(crate) fn are_colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::io::stdout().is_terminal()
}
