//! Bodies of the messages that are work.

mod tick;

use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::body;
use crate::id::{CycleId, JobId};
use crate::name::{MachineName, NameError, RackName};

pub use tick::{LONGEST_WORDS, NoCycle, Place, Resume, Tick, too_long};

/// A kind of work. Its word is also the name of the consumer that hands it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Start a cycle.
    Tick,
    /// Turn one decision into one job.
    Submit,
    /// Look at one job.
    Watch,
}

impl TaskKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::Submit => "submit",
            Self::Watch => "watch",
        }
    }
}

/// Work that comes in a message.
pub trait Task: Sized + Send + Sync + 'static {
    /// Which kind.
    const KIND: TaskKind;

    /// Reads a message's body.
    fn parse(body: &[u8]) -> Result<Self, BadTask>;

    /// The W3C trace context of its cycle, where the body carries one.
    fn traceparent(&self) -> Option<&str> {
        None
    }
}

/// A body that is no task. Such a message is a dead letter with this text as its reason.
#[derive(Debug, thiserror::Error)]
pub enum BadTask {
    /// Neither a rack name nor a JSON object.
    #[error("the body is neither a rack name nor a JSON object: {0}")]
    Tick(#[source] NameError),
    /// The body is not text.
    #[error("the body is not UTF-8 text")]
    NotText,
    /// JSON, but not of this task.
    #[error("the body is not a {kind} task: {source}")]
    Json {
        /// Which task was expected.
        kind: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A cycle's record, which names its rack as a tick does. The broker can be made to deliver a copy of one to any
    /// subject, by whoever may read it and may not tick.
    #[error("the body is the record of a cycle, not a tick")]
    Record,
    /// A tick says too much. The cycle's record, the event and every later attempt carry it.
    #[error("the tick's `{field}` is {length} bytes long; at most {LONGEST_WORDS} are allowed")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// Written by a later racktick.
    #[error(
        "the body has version {found}, and this racktick knows {known}: upgrade the workers, then replay it"
    )]
    Version {
        /// The version in the body.
        found: u8,
        /// The version known here.
        known: u8,
    },
}

/// When a job is looked at. Frozen with the cycle's decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// From the submit to the first look.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub first_look: Duration,
    /// From one look to the next.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub look_every: Duration,
    /// From the submit to the deadline.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub deadline: Duration,
}

/// `task.submit.<rack>.<machine>`: turn one decision into one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submit {
    /// Version of this body's form.
    pub v: u8,
    /// The rack.
    pub rack: RackName,
    /// The machine, which is also the agent and the queue.
    pub machine: MachineName,
    /// The cycle.
    pub cycle: CycleId,
    /// The job's id.
    pub job: JobId,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// After this nobody submits it.
    pub deploy_by: Timestamp,
    /// When it is looked at.
    pub pace: Pace,
    /// The job document, less what racktick adds.
    pub document: Value,
    /// True when the sweep brought the task back: there may have been attempts whose deliveries nobody counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swept: bool,
    /// W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// `task.watch.<rack>.<machine>`: look at one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Version of this body's form.
    pub v: u8,
    /// The rack.
    pub rack: RackName,
    /// The machine.
    pub machine: MachineName,
    /// The cycle.
    pub cycle: CycleId,
    /// The job.
    pub job: JobId,
    /// When it is looked at.
    pub pace: Pace,
    /// Which look this is, from 0. For pacing and display only: a look is never dropped by its number.
    #[serde(default)]
    pub look: u32,
    /// The state the last look saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// When a look saw that state first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_since: Option<Timestamp>,
    /// On how many looks in a row Testflinger did not know the job.
    #[serde(default)]
    pub absent: u32,
    /// On how many looks in a row the job was `cancelled` and its agent no longer worked on it.
    #[serde(default)]
    pub let_go: u32,
    /// How many looks in a row failed.
    #[serde(default)]
    pub failed: u32,
    /// Whether a look before this one told that the job is overdue.
    #[serde(default)]
    pub overdue: bool,
    /// Whether a look before this one told that the job is doubled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubled: bool,
    /// Whether a submit of the job may have arrived after its settle time: the look has something to find out even when
    /// the job is settled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// When the job becomes overdue. Set only where its claim was running and never renewed, and nobody had asked to
    /// cancel it when this look was armed, and only on a look that replaced none: such a look need not read the claim to
    /// find the job at work and arm the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Submit {
    /// The present version.
    pub const VERSION: u8 = 1;

    /// The first look at the job that this task leads to.
    pub fn first_look(&self) -> Watch {
        Watch {
            v: Watch::VERSION,
            rack: self.rack.clone(),
            machine: self.machine.clone(),
            cycle: self.cycle,
            job: self.job,
            pace: self.pace,
            look: 0,
            state: None,
            state_since: None,
            absent: 0,
            let_go: 0,
            failed: 0,
            overdue: false,
            doubled: false,
            late: false,
            deadline: None,
            traceparent: self.traceparent.clone(),
        }
    }
}

impl Watch {
    /// The present version.
    pub const VERSION: u8 = 1;
}

impl Task for Submit {
    const KIND: TaskKind = TaskKind::Submit;

    fn parse(body: &[u8]) -> Result<Self, BadTask> {
        versioned("submit", body, Self::VERSION, |task: &Self| task.v)
    }

    fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }
}

impl Task for Watch {
    const KIND: TaskKind = TaskKind::Watch;

    fn parse(body: &[u8]) -> Result<Self, BadTask> {
        versioned("watch", body, Self::VERSION, |task: &Self| task.v)
    }

    fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }
}

fn versioned<T: DeserializeOwned>(
    kind: &'static str,
    body: &[u8],
    known: u8,
    version: impl Fn(&T) -> u8,
) -> Result<T, BadTask> {
    let task: T = body::read(body).map_err(|source| BadTask::Json { kind, source })?;
    match version(&task) {
        found if found > known => Err(BadTask::Version { found, known }),
        _ => Ok(task),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_body_makes_a_parser_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Tick::parse(&body);
            let _ = Submit::parse(&body);
            let _ = Watch::parse(&body);
        }
    }
}
