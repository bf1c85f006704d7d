//! What was done to the system in a round, told as it happens and kept for the checker.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::fault::Role;

/// A role that stood still.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pause {
    pub(crate) role: Role,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

/// What the checker has to know of the injections.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Injected {
    /// How often each kind was injected.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) pauses: Vec<Pause>,
    /// Ids of jobs that the lab was told to forget.
    pub(crate) forgotten: Vec<String>,
    /// Roles that ended without being told to.
    pub(crate) ended: u64,
}

/// Shared by everything that injects.
pub(crate) struct Journal {
    began: Instant,
    injected: Mutex<Injected>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            injected: Mutex::default(),
        }
    }

    /// Says something with the time since the system was up.
    pub(crate) fn say(&self, what: impl std::fmt::Display) {
        println!("{:6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    /// Counts an injection.
    pub(crate) fn count(&self, kind: &'static str) {
        *self.injected().counts.entry(kind).or_default() += 1;
    }

    pub(crate) fn injected(&self) -> MutexGuard<'_, Injected> {
        self.injected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the system was up.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// How long ago that was.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}
