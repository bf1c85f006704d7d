use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// Every limit of an HTTP call. The defaults hold for a lab's servers behind a slow link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection stands: name, TCP and TLS together.
    pub connect: Duration,
    /// From the start of the request until the head of the answer is there.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub silence: Duration,
    /// The whole call, for everything that is not a list of machines.
    pub total: Duration,
    /// The whole call for a list of machines: MAAS has no paging and takes its time.
    pub list_total: Duration,
    /// The longest body that is neither a list nor a result, in bytes.
    pub body_bytes: u64,
    /// The longest list, in bytes.
    pub list_bytes: u64,
    /// The longest result document, in bytes: every look carries the whole log.
    pub result_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_byte: Duration::from_secs(30),
            silence: Duration::from_secs(30),
            total: Duration::from_secs(30),
            list_total: Duration::from_secs(5 * 60),
            body_bytes: 16 << 20,
            list_bytes: 256 << 20,
            result_bytes: 1 << 30,
        }
    }
}

impl Limits {
    /// The same limits with every time changed by `change`; sizes stay. For compressed time.
    pub fn with_times(self, change: impl Fn(Duration) -> Duration) -> Self {
        Self {
            connect: change(self.connect),
            first_byte: change(self.first_byte),
            silence: change(self.silence),
            total: change(self.total),
            list_total: change(self.list_total),
            ..self
        }
    }
}

/// Which time limit struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::connect`].
    Connect,
    /// [`Limits::first_byte`].
    FirstByte,
    /// [`Limits::silence`].
    Silence,
    /// [`Limits::total`] or [`Limits::list_total`].
    Total,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection within",
            Self::FirstByte => "no answer within",
            Self::Silence => "nothing more came for",
            Self::Total => "the answer was not complete within",
        })
    }
}

/// So much time from now. A setting may be longer than any clock can count.
pub(crate) fn from_now(wait: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + wait.min(YEAR)
}

/// When a call has to be over, and how long that was from its start.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    pub(crate) total: Duration,
    pub(crate) at: Instant,
}

impl Deadline {
    /// So much time from now.
    pub fn after(total: Duration) -> Self {
        Self {
            total,
            at: from_now(total),
        }
    }

    /// The moment itself.
    pub fn at(&self) -> Instant {
        self.at
    }
}
