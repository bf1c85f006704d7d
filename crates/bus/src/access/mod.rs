//! Who may do what: a broker user per role, told apart by its key (an nkey). The permissions are in `nats/roles.conf`;
//! the keys are made here, and the broker is given their public halves.

mod authorization;
mod files;
mod key_file;

use std::fmt;
use std::str::FromStr;

pub use files::{AccessError, Made, make};
pub use key_file::KeyFile;

/// The permissions of every role, as `nats/roles.conf` has them.
pub const ROLES_CONF: &str = include_str!("../../../../nats/roles.conf");

/// What a connection is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sets the broker up.
    Admin,
    /// Arms slots and sweeps.
    Scheduler,
    /// Takes ticks, submits and looks.
    Worker,
    /// Shows everything and changes nothing.
    Dashboard,
    /// A person at the command line.
    Operator,
    /// Sees events, and nothing else.
    Observer,
}

/// A text that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role: write admin, scheduler, worker, dashboard, operator or observer")]
pub struct UnknownRole(String);

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Admin,
        Self::Scheduler,
        Self::Worker,
        Self::Dashboard,
        Self::Operator,
        Self::Observer,
    ];

    /// Its name, also of its folder and its key file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Scheduler => "scheduler",
            Self::Worker => "worker",
            Self::Dashboard => "dashboard",
            Self::Operator => "operator",
            Self::Observer => "observer",
        }
    }

    /// How its inboxes begin. Each role has its own, so that none can read another's answers.
    pub fn inbox_prefix(self) -> String {
        format!("_INBOX_{}", self.name())
    }

    /// The variable with its permissions in `nats/roles.conf`. Without the prefix, `OPERATOR` would be an option of the
    /// server.
    fn variable(self) -> String {
        format!("ROLE_{}", self.name().to_uppercase())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let role = Self::ALL.into_iter().find(|role| role.name() == text);
        role.ok_or_else(|| UnknownRole(text.chars().take(40).collect()))
    }
}
