//! Asking the person at the terminal.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;

/// The flag of every command that asks.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Consent {
    /// Do not ask. Without a terminal nothing is asked either
    #[arg(long, short)]
    yes: bool,
}

/// The person said no.
#[derive(Debug, thiserror::Error)]
#[error("nothing was done")]
pub(crate) struct Declined;

impl Consent {
    /// Whether a person will be asked: only then it pays to find out what to tell.
    pub(crate) fn asks(self) -> bool {
        !self.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Asks, if a person is to be asked. An answer other than yes is an error.
    pub(crate) fn get(self, question: &str) -> anyhow::Result<()> {
        if !self.asks() {
            return Ok(());
        }
        let mut stderr = std::io::stderr().lock();
        write!(stderr, "{question} [y/N] ")?;
        stderr.flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Declined.into()),
        }
    }
}
