//! What happens by itself, and when. One ordered map for all machines and agents, so that thousands of idle agents
//! cost nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// What a timer wakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wake {
    /// An idle agent asks for a job.
    Poll { agent: String },
    /// An agent's run goes on; `run` and `step` tell an overtaken timer from a current one.
    Step { agent: String, run: u64, step: u64 },
    /// An agent's run looks whether its job was cancelled.
    Check { agent: String, run: u64, step: u64 },
    /// A machine's status changes; `change` tells an overtaken timer from a current one.
    Machine { id: u64, change: u64 },
    /// Daily heartbeats, and what has expired.
    Housekeeping,
}

/// Timers by due time.
pub(crate) struct Timers {
    due: BTreeMap<(Instant, u64), Wake>,
    added: u64,
    changed: Arc<Notify>,
}

impl Timers {
    pub(crate) fn new(changed: Arc<Notify>) -> Self {
        Self {
            due: BTreeMap::new(),
            added: 0,
            changed,
        }
    }

    pub(crate) fn add(&mut self, delay: Duration, wake: Wake) {
        // Past what an Instant can say is never.
        let Some(at) = Instant::now().checked_add(delay) else {
            return;
        };
        let first = self
            .due
            .first_key_value()
            .is_none_or(|((due, _), _)| at < *due);
        self.added += 1;
        self.due.insert((at, self.added), wake);
        if first {
            self.changed.notify_one();
        }
    }

    /// The next timer that is due by `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Wake> {
        let entry = self.due.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// When the next timer is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }
}
