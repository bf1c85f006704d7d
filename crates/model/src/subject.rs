//! Every subject, stream, bucket and key of the system. Nothing else holds a subject literal.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use crate::id::{CycleId, JobId};
use crate::name::{MachineName, RackName};

/// How a slot's time is written in a subject: no dots, no colons, whole seconds, UTC.
const SLOT: &str = "%Y%m%dT%H%M%SZ";

/// A subject that racktick publishes on or reads from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// `rack.tick`: ticks. The body names the rack.
    Tick,
    /// `rack.schedule.<rack>.<slot>`: a slot armed ahead; fires onto `rack.tick`.
    Slot {
        /// Whose slot.
        rack: RackName,
        /// When it is due.
        slot: Timestamp,
    },
    /// `rack.schedule.<rack>.retry.<cycle>`: a tick that waits for its next attempt.
    Retry {
        /// Whose tick.
        rack: RackName,
        /// Its cycle.
        cycle: CycleId,
    },
    /// `task.submit.<rack>.<machine>`.
    Submit {
        /// The rack.
        rack: RackName,
        /// The machine to deploy.
        machine: MachineName,
    },
    /// `task.watch.<rack>.<machine>`.
    Watch {
        /// The rack.
        rack: RackName,
        /// The machine whose job is looked at.
        machine: MachineName,
    },
    /// `task.wait.submit.<job>`: a submit held back by the cycle's spread.
    WaitSubmit(JobId),
    /// `task.wait.watch.<job>`: a look held back until it is due.
    WaitWatch(JobId),
    /// `event.<about>.<rack>[.<machine>].<what>`.
    Event {
        /// `cycle`, `machine`, `job`, `tick` or `rack`.
        about: String,
        /// The rack.
        rack: RackName,
        /// The machine, for `machine` and `job`.
        machine: Option<MachineName>,
        /// The last word, such as `finished`.
        what: String,
    },
    /// `dlq.<original subject>`: a dead letter.
    Dead(String),
}

/// A text that is no subject of racktick's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a subject of racktick")]
pub struct UnknownSubject(String);

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick => f.write_str("rack.tick"),
            Self::Slot { rack, slot } => {
                write!(
                    f,
                    "rack.schedule.{rack}.{}",
                    slot.to_zoned(TimeZone::UTC).strftime(SLOT)
                )
            }
            Self::Retry { rack, cycle } => write!(f, "rack.schedule.{rack}.retry.{cycle}"),
            Self::Submit { rack, machine } => write!(f, "task.submit.{rack}.{}", machine.token()),
            Self::Watch { rack, machine } => write!(f, "task.watch.{rack}.{}", machine.token()),
            Self::WaitSubmit(job) => write!(f, "task.wait.submit.{job}"),
            Self::WaitWatch(job) => write!(f, "task.wait.watch.{job}"),
            Self::Event {
                about,
                rack,
                machine: Some(machine),
                what,
            } => {
                write!(f, "event.{about}.{rack}.{}.{what}", machine.token())
            }
            Self::Event {
                about,
                rack,
                machine: None,
                what,
            } => write!(f, "event.{about}.{rack}.{what}"),
            Self::Dead(subject) => write!(f, "dlq.{subject}"),
        }
    }
}

impl FromStr for Subject {
    type Err = UnknownSubject;

    fn from_str(text: &str) -> Result<Self, UnknownSubject> {
        let unknown = || {
            UnknownSubject(
                text.chars()
                    .take(128)
                    .collect::<String>()
                    .escape_debug()
                    .to_string(),
            )
        };
        let rack = |token: &str| RackName::new(token).map_err(|_| unknown());
        let machine = |token: &str| MachineName::from_token(token).map_err(|_| unknown());
        let tokens: Vec<&str> = text.split('.').collect();
        let subject = match tokens.as_slice() {
            ["rack", "tick"] => Self::Tick,
            ["rack", "schedule", name, "retry", cycle] => Self::Retry {
                rack: rack(name)?,
                cycle: cycle.parse().map_err(|_| unknown())?,
            },
            ["rack", "schedule", name, slot] => {
                let slot = strtime::parse(SLOT, slot)
                    .and_then(|parts| parts.to_datetime()?.to_zoned(TimeZone::UTC))
                    .map_err(|_| unknown())?;
                Self::Slot {
                    rack: rack(name)?,
                    slot: slot.timestamp(),
                }
            }
            ["task", "wait", "submit", job] => {
                Self::WaitSubmit(job.parse().map_err(|_| unknown())?)
            }
            ["task", "wait", "watch", job] => Self::WaitWatch(job.parse().map_err(|_| unknown())?),
            ["task", "submit", name, token] => Self::Submit {
                rack: rack(name)?,
                machine: machine(token)?,
            },
            ["task", "watch", name, token] => Self::Watch {
                rack: rack(name)?,
                machine: machine(token)?,
            },
            ["event", about @ ("cycle" | "tick" | "rack"), name, what] => Self::Event {
                about: (*about).into(),
                rack: rack(name)?,
                machine: None,
                what: (*what).into(),
            },
            ["event", about @ ("machine" | "job"), name, token, what] => Self::Event {
                about: (*about).into(),
                rack: rack(name)?,
                machine: Some(machine(token)?),
                what: (*what).into(),
            },
            ["dlq", _, ..] => Self::Dead(tokens[1..].join(".")),
            _ => return Err(unknown()),
        };
        // Ids and times can be written in several ways, and only one of them is ours: no two texts are one subject.
        if subject.to_string() == text {
            Ok(subject)
        } else {
            Err(unknown())
        }
    }
}

/// The streams.
pub mod stream {
    /// Ticks, and the slots armed ahead.
    pub const RACK: &str = "RACK";
    /// Submits and watches, and those held back.
    pub const TASK: &str = "TASK";
    /// Facts.
    pub const EVENTS: &str = "EVENTS";
    /// Dead letters.
    pub const DLQ: &str = "DLQ";
    /// The messages of the bucket of evidence.
    pub const EVIDENCE: &str = "OBJ_evidence";
}

/// The buckets.
pub mod bucket {
    /// Rack records by [`super::key::rack`].
    pub const RACKS: &str = "racks";
    /// Machine records by [`super::key::machine`].
    pub const MACHINES: &str = "machines";
    /// Cycle records by [`super::key::cycle`].
    pub const CYCLES: &str = "cycles";
    /// Evidence of jobs that did not pass, as objects by [`super::key::evidence`].
    pub const EVIDENCE: &str = "evidence";
}

/// Subject patterns for reading and purging.
pub mod filter {
    use crate::name::{MachineName, RackName};

    /// All events.
    pub const EVENTS: &str = "event.>";
    /// All dead letters.
    pub const DEAD: &str = "dlq.>";
    /// All submits held back.
    pub const WAITING_SUBMITS: &str = "task.wait.submit.*";
    /// All looks held back.
    pub const WAITING_LOOKS: &str = "task.wait.watch.*";
    /// All submits that may be taken.
    pub const SUBMITS: &str = "task.submit.>";
    /// Slots that are armed.
    pub const ARMED_SLOTS: &str = "rack.schedule.*.*";
    /// Ticks that wait for their next attempt.
    pub const RETRIES: &str = "rack.schedule.*.retry.*";
    /// All looks that may be taken.
    pub const WATCHES: &str = "task.watch.>";
    /// Everything armed for any rack, retries included.
    pub const ARMED: &str = "rack.schedule.>";

    /// The events of one rack.
    pub fn events_of(rack: &RackName) -> String {
        format!("event.*.{rack}.>")
    }

    /// The events about one machine and its jobs, in every rack.
    pub fn events_about(machine: &MachineName) -> String {
        format!("event.*.*.{}.>", machine.token())
    }

    /// The beginnings of all cycles.
    pub const BEGINNINGS: &str = "event.cycle.*.started";

    /// Jobs that came to Testflinger.
    pub const SUBMITTED: &str = "event.job.*.*.submitted";

    /// The events of looks that saw another state of a job, of one rack.
    pub fn looks_of(rack: &RackName) -> String {
        format!("event.job.{rack}.*.progressed")
    }

    /// The slots armed for one rack, retries not included.
    pub fn slots_of(rack: &RackName) -> String {
        format!("rack.schedule.{rack}.*")
    }

    /// The ticks of one rack that wait for their next attempt.
    pub fn retries_of(rack: &RackName) -> String {
        format!("rack.schedule.{rack}.retry.*")
    }
}

/// Keys of the buckets.
pub mod key {
    use crate::id::{CycleId, JobId};
    use crate::name::{MachineName, RackName};

    /// A rack's key.
    pub fn rack(rack: &RackName) -> String {
        rack.to_string()
    }

    /// A machine's key. Racks that share a machine share its record.
    pub fn machine(machine: &MachineName) -> String {
        machine.token()
    }

    /// The name of the evidence of a job, by its digest as the verdict says it: evidence that somebody else keeps of the
    /// job, however late, has another name or is the same.
    pub fn evidence(job: JobId, digest: &str) -> String {
        format!("{job}.{digest}")
    }

    /// A cycle's key.
    pub fn cycle(rack: &RackName, cycle: CycleId) -> String {
        format!("{rack}.{cycle}")
    }

    /// The pattern of the keys of a rack's cycles.
    pub fn cycles_of(rack: &RackName) -> String {
        format!("{rack}.*")
    }

    /// Reads back what [`machine`] wrote. `None` for a key that no name has.
    pub fn parse_machine(key: &str) -> Option<MachineName> {
        MachineName::from_token(key).ok()
    }

    /// Reads back what [`cycle`] wrote. `None` for anything else.
    pub fn parse_cycle(key: &str) -> Option<(RackName, CycleId)> {
        let (name, id) = key.split_once('.')?;
        let (rack, id) = (RackName::new(name).ok()?, id.parse().ok()?);
        (cycle(&rack, id) == key).then_some((rack, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_comes_back_from_its_text() {
        let rack = RackName::new("r7").unwrap();
        let machine = MachineName::new("node.3 a").unwrap();
        let slot: Timestamp = "2026-11-21T06:00:17Z".parse().unwrap();
        let cycle = CycleId::of_slot(&rack, slot);
        let job = JobId::of(cycle, &machine);
        let event = |about: &str, machine: Option<&MachineName>, what: &str| Subject::Event {
            about: about.into(),
            rack: rack.clone(),
            machine: machine.cloned(),
            what: what.into(),
        };
        let expected = [
            (Subject::Tick, "rack.tick".to_owned()),
            (
                Subject::Slot {
                    rack: rack.clone(),
                    slot,
                },
                "rack.schedule.r7.20261121T060017Z".into(),
            ),
            (
                Subject::Retry {
                    rack: rack.clone(),
                    cycle,
                },
                format!("rack.schedule.r7.retry.{cycle}"),
            ),
            (
                Subject::Submit {
                    rack: rack.clone(),
                    machine: machine.clone(),
                },
                "task.submit.r7.node=2E3=20a".into(),
            ),
            (
                Subject::Watch {
                    rack: rack.clone(),
                    machine: machine.clone(),
                },
                "task.watch.r7.node=2E3=20a".into(),
            ),
            (Subject::WaitSubmit(job), format!("task.wait.submit.{job}")),
            (Subject::WaitWatch(job), format!("task.wait.watch.{job}")),
            (
                event("cycle", None, "finished"),
                "event.cycle.r7.finished".into(),
            ),
            (
                event("job", Some(&machine), "finished"),
                "event.job.r7.node=2E3=20a.finished".into(),
            ),
            (
                Subject::Dead("task.submit.r7.a".into()),
                "dlq.task.submit.r7.a".into(),
            ),
        ];
        for (subject, text) in expected {
            assert_eq!(subject.to_string(), text);
            assert_eq!(text.parse::<Subject>().unwrap(), subject);
        }
    }

    #[test]
    fn other_texts_are_no_subjects() {
        for text in [
            "",
            "rack",
            "rack.tick.r1",
            "rack.schedule.r1.soon",
            "event.job.r1.finished",
            "task.wait.watch.x",
            "task.wait.watch.0e80414bc33759689125202c3315c33c",
            "task.wait.watch.0E80414B-C337-5968-9125-202C3315C33C",
            "rack.schedule.r1.20261121T6017Z",
        ] {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
    }

    #[test]
    fn keys_come_back_from_their_text() {
        let rack = RackName::new("r7").unwrap();
        let cycle = CycleId::of_slot(&rack, Timestamp::UNIX_EPOCH);
        assert_eq!(
            key::parse_cycle(&key::cycle(&rack, cycle)),
            Some((rack, cycle))
        );
        let machine = MachineName::new("node 3").unwrap();
        assert_eq!(key::parse_machine(&key::machine(&machine)), Some(machine));
        assert_eq!(key::parse_cycle("r7"), None);
        assert_eq!(
            key::parse_cycle("r7.0e80414bc33759689125202c3315c33c"),
            None
        );
    }
}
