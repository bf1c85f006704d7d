//! Facts that happened, as CloudEvents 1.0 in structured mode. Every fact has one id, made from what it is about, so
//! that a repeated publish is the same event. `docs/events.md` shows each of them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::body;
use crate::cycle::{MissedCause, Origin};
use crate::envelope::{Content, Received};
use crate::evidence::Keeping;
use crate::id::{CycleId, JobId};
use crate::image::Image;
use crate::machine::CancelRequest;
use crate::name::{MachineName, RackName};
use crate::outcome::{Counts, Outcome, Phase, Skip, SkipReason};
use crate::subject::Subject;

/// One fact of a cycle, and what it is about. What people do to a rack is a [`RackEvent`](crate::action::RackEvent).
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// When it happened.
    pub time: Timestamp,
    /// The rack.
    pub rack: RackName,
    /// The cycle.
    pub cycle: CycleId,
    /// What happened.
    pub fact: Fact,
}

/// A machine and its job, for facts about one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The machine.
    pub machine: MachineName,
    /// The job.
    pub job: JobId,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Fact {
    /// A tick was taken up.
    #[serde(rename = "racktick.cycle.started")]
    CycleStarted {
        /// What started it.
        origin: Origin,
    },
    /// Every machine of the rack has its decision.
    #[serde(rename = "racktick.cycle.planned")]
    CyclePlanned {
        /// How many machines get a job.
        deploy: usize,
        /// How many do not, by reason.
        skip: BTreeMap<SkipReason, usize>,
        /// After this nobody submits a job of the cycle.
        deploy_by: Timestamp,
        /// The time over which the submits leave.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        spread: Duration,
    },
    /// The rack's machines could not be learnt; it will be tried again.
    #[serde(rename = "racktick.cycle.retrying")]
    CycleRetrying {
        /// Which attempt failed, from 1.
        attempt: u32,
        /// Why, in one word.
        cause: String,
        /// Why, in a sentence.
        message: String,
        /// When it is tried again.
        next_at: Timestamp,
    },
    /// The rack's machines could not be learnt in time.
    #[serde(rename = "racktick.cycle.failed")]
    CycleFailed {
        /// How often it was tried.
        attempts: u32,
        /// The last cause, in one word.
        cause: String,
        /// The last cause, in a sentence.
        message: String,
    },
    /// Every machine of the cycle has an outcome.
    #[serde(rename = "racktick.cycle.finished")]
    CycleFinished {
        /// How many machines ended how.
        #[serde(flatten)]
        counts: Counts,
        /// From the tick to the last outcome.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        duration: Duration,
    },
    /// A machine was left alone.
    #[serde(rename = "racktick.machine.skipped")]
    MachineSkipped {
        /// The machine.
        machine: MachineName,
        /// Why.
        #[serde(flatten)]
        skip: Skip,
    },
    /// A job is in Testflinger.
    #[serde(rename = "racktick.job.submitted")]
    JobSubmitted {
        /// Which.
        #[serde(flatten)]
        job: Job,
        /// When it becomes overdue.
        deadline: Timestamp,
        /// What it asks to be deployed.
        #[serde(flatten)]
        image: Image,
    },
    /// Testflinger refused a job for good.
    #[serde(rename = "racktick.job.rejected")]
    JobRejected {
        /// Which.
        #[serde(flatten)]
        job: Job,
        /// HTTP status.
        status: u16,
        /// What it said, shortened.
        message: String,
    },
    /// A look saw another state than the one before.
    #[serde(rename = "racktick.job.progressed")]
    JobProgressed {
        /// Which.
        #[serde(flatten)]
        job: Job,
        /// Testflinger's word for the state.
        state: String,
    },
    /// A job ran past its deadline, and is being cancelled.
    #[serde(rename = "racktick.job.overdue")]
    JobOverdue {
        /// Which.
        #[serde(flatten)]
        job: Job,
        /// The deadline.
        deadline: Timestamp,
    },
    /// Testflinger has a job more often than it should: a submit that was given up for lost arrived after all.
    #[serde(rename = "racktick.job.doubled")]
    JobDoubled {
        /// Which.
        #[serde(flatten)]
        job: Job,
        /// How many entries Testflinger had under the job's id.
        entries: usize,
    },
    /// A job is over.
    #[serde(rename = "racktick.job.finished")]
    JobFinished {
        /// Which.
        #[serde(flatten)]
        job: Job,
        /// What it proved.
        verdict: Outcome,
        /// Statuses of the phases that ran.
        statuses: BTreeMap<Phase, i64>,
        /// When it was submitted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        submitted_at: Option<Timestamp>,
        /// Who asked to cancel it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cancel: Option<CancelRequest>,
        /// What the agent said of the device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<Value>,
        /// What became of its evidence; none of a job that passed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evidence: Option<Keeping>,
    },
    /// A tick was not run.
    #[serde(rename = "racktick.tick.missed")]
    TickMissed {
        /// What would have started the cycle.
        origin: Origin,
        /// Why not.
        cause: MissedCause,
    },
}

impl Fact {
    /// All kinds of facts: what they are about and what happened, with a dot between.
    pub const KINDS: [&str; 13] = [
        "cycle.started",
        "cycle.planned",
        "cycle.retrying",
        "cycle.failed",
        "cycle.finished",
        "tick.missed",
        "machine.skipped",
        "job.submitted",
        "job.rejected",
        "job.progressed",
        "job.overdue",
        "job.doubled",
        "job.finished",
    ];

    /// What it is about, and what happened: the second and the last word of the subject.
    pub fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::CycleStarted { .. } => ("cycle", "started"),
            Self::CyclePlanned { .. } => ("cycle", "planned"),
            Self::CycleRetrying { .. } => ("cycle", "retrying"),
            Self::CycleFailed { .. } => ("cycle", "failed"),
            Self::CycleFinished { .. } => ("cycle", "finished"),
            Self::MachineSkipped { .. } => ("machine", "skipped"),
            Self::JobSubmitted { .. } => ("job", "submitted"),
            Self::JobRejected { .. } => ("job", "rejected"),
            Self::JobProgressed { .. } => ("job", "progressed"),
            Self::JobOverdue { .. } => ("job", "overdue"),
            Self::JobDoubled { .. } => ("job", "doubled"),
            Self::JobFinished { .. } => ("job", "finished"),
            Self::TickMissed { .. } => ("tick", "missed"),
        }
    }

    /// The machine it is about.
    pub fn machine(&self) -> Option<&MachineName> {
        match self {
            Self::MachineSkipped { machine, .. } => Some(machine),
            Self::JobSubmitted { job, .. }
            | Self::JobRejected { job, .. }
            | Self::JobProgressed { job, .. }
            | Self::JobOverdue { job, .. }
            | Self::JobDoubled { job, .. }
            | Self::JobFinished { job, .. } => Some(&job.machine),
            _ => None,
        }
    }
}

impl Event {
    /// Where it is published.
    pub fn subject(&self) -> Subject {
        let (about, what) = self.fact.words();
        Subject::Event {
            about: about.into(),
            rack: self.rack.clone(),
            machine: self.fact.machine().cloned(),
            what: what.into(),
        }
    }

    /// Its id: the same whenever the same fact is published again.
    pub fn id(&self) -> String {
        let cycle = self.cycle;
        let what = self.fact.words().1;
        match &self.fact {
            Fact::CycleRetrying { attempt, .. } => format!("{cycle}.{what}.{attempt}"),
            Fact::MachineSkipped { machine, .. } => format!("{cycle}.{}.{what}", machine.token()),
            Fact::JobProgressed { job, state } => {
                // States are Testflinger's words, but nothing keeps a server from sending others.
                let state: String = state
                    .chars()
                    .take(64)
                    .map(|c| if c.is_ascii_graphic() { c } else { '_' })
                    .collect();
                format!("{}.{what}.{state}", job.job)
            }
            Fact::JobSubmitted { job, .. }
            | Fact::JobRejected { job, .. }
            | Fact::JobOverdue { job, .. }
            | Fact::JobDoubled { job, .. }
            | Fact::JobFinished { job, .. } => format!("{}.{what}", job.job),
            Fact::CycleStarted { .. }
            | Fact::CyclePlanned { .. }
            | Fact::CycleFailed { .. }
            | Fact::CycleFinished { .. }
            | Fact::TickMissed { .. } => format!("{cycle}.{what}"),
        }
    }

    /// The body.
    pub fn to_json(&self) -> Vec<u8> {
        let told = serde_json::to_value(&self.fact)
            .expect("a fact holds only text, numbers, lists and maps by text");
        let content = Content {
            told,
            id: self.id(),
            rack: &self.rack,
            of: Some(("cycle", self.cycle.to_string())),
            machine: self.fact.machine(),
            time: self.time,
            traceparent: Some(self.cycle.traceparent()),
        };
        content.to_json()
    }

    /// Reads a body back.
    pub fn from_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        let Received::<ReceivedData> {
            kind,
            time,
            mut data,
        } = body::read(body)?;
        data.rest.insert("type".into(), kind.into());
        let fact = serde_json::from_value(Value::Object(data.rest))?;
        Ok(Self {
            time,
            rack: data.rack,
            cycle: data.cycle,
            fact,
        })
    }
}

#[derive(Deserialize)]
struct ReceivedData {
    rack: RackName,
    cycle: CycleId,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
