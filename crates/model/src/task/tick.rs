//! `rack.tick`: what starts a cycle.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{BadTask, Task, TaskKind};
use crate::cycle::{CycleRecord, Origin};
use crate::id::CycleId;
use crate::name::{NameError, RackName};
use crate::subject::Subject;

/// The largest body of a tick that is looked at, in bytes: far above what any rack name and reason need.
const LARGEST_TICK: usize = 64 * 1024;

/// The longest `by` and the longest `reason`, in bytes each.
pub const LONGEST_WORDS: usize = 1024;

/// `rack.tick`: start a cycle for a rack. The plain rack name means the same with nothing else said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// The rack.
    pub rack: RackName,
    /// Why, in a person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Another spread than the policy's, for this cycle.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional"
    )]
    pub spread: Option<Duration>,
    /// Believe lists that are suddenly much smaller.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_shrink: bool,
    /// Chosen at random by whoever wants to know the cycle beforehand: it is [`CycleId::of_request`]. Ticks of one rack
    /// with one nonce are one cycle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Uuid>,
    /// Set when this goes on with a tick that was begun before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

/// Which cycle a tick means, and which attempt at it this is: the same however often the tick is delivered, put off or
/// replayed, so that it never becomes a second cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The cycle. It must follow from what the tick says: see [`Tick::cycle_of`].
    pub cycle: CycleId,
    /// What started it.
    pub origin: Origin,
    /// When the first attempt's message was stored.
    pub ticked_at: Timestamp,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Where the first attempt's message was, if the cycle follows from that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A message's place among all that were ever stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// When its stream was made.
    pub stream_created: Timestamp,
    /// Its number in the stream.
    pub sequence: u64,
    /// When it was stored.
    pub stored_at: Timestamp,
}

/// Why a tick begins no cycle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCycle {
    /// It came out of a message that waited, and not of a slot of its rack.
    #[error("{scheduler} does not schedule ticks of rack {rack}")]
    Scheduler {
        /// Where that message waited.
        scheduler: Subject,
        /// The rack that the tick names.
        rack: RackName,
    },
    /// Its cycle follows from its place, and that is not known.
    #[error("nobody knows any more which stream it was in")]
    NoPlace,
}

impl Resume {
    /// Whether a slot started it.
    pub fn is_slot(&self) -> bool {
        matches!(self.origin, Origin::Slot { .. })
    }
}

impl Place {
    /// The cycle of a manual tick that was stored here and has no nonce.
    pub fn cycle(&self, rack: &RackName) -> CycleId {
        CycleId::of_message(rack, self.stream_created, self.sequence, self.stored_at)
    }
}

impl Tick {
    /// A tick with nothing said but the rack.
    pub fn of(rack: RackName) -> Self {
        Self {
            rack,
            reason: None,
            by: None,
            spread: None,
            accept_shrink: false,
            nonce: None,
            resume: None,
        }
    }

    /// The first attempt at a tick that goes on with nothing. `scheduler` is the subject on which its message had waited,
    /// if it had; only a tick without slot and nonce needs its place.
    ///
    /// # Errors
    /// When the message begins no cycle of the tick's rack.
    pub fn first_attempt(
        &self,
        scheduler: Option<&Subject>,
        stored_at: Timestamp,
        place: Option<Place>,
    ) -> Result<Resume, NoCycle> {
        let by_hand = || Origin::Manual {
            by: self.by.clone(),
            reason: self.reason.clone(),
        };
        let (cycle, origin, place) = match (scheduler, self.nonce, place) {
            (Some(Subject::Slot { rack, slot }), _, _) if *rack == self.rack => (
                CycleId::of_slot(rack, *slot),
                Origin::Slot { slot: *slot },
                None,
            ),
            (Some(scheduler), _, _) => {
                return Err(NoCycle::Scheduler {
                    scheduler: scheduler.clone(),
                    rack: self.rack.clone(),
                });
            }
            (None, Some(nonce), _) => (CycleId::of_request(&self.rack, nonce), by_hand(), None),
            (None, None, Some(place)) => (place.cycle(&self.rack), by_hand(), Some(place)),
            (None, None, None) => return Err(NoCycle::NoPlace),
        };
        Ok(Resume {
            cycle,
            origin,
            ticked_at: stored_at,
            attempt: 1,
            place,
        })
    }

    /// The cycle that one which goes on must have: the ids of all cycles can be read from events, and whoever may tick
    /// any rack could otherwise join another rack's. `None` when nothing said here leads to one.
    pub fn cycle_of(&self, resume: &Resume) -> Option<CycleId> {
        match (&resume.origin, self.nonce, resume.place) {
            (Origin::Slot { slot }, _, _) => Some(CycleId::of_slot(&self.rack, *slot)),
            (Origin::Manual { .. }, Some(nonce), _) => Some(CycleId::of_request(&self.rack, nonce)),
            (Origin::Manual { .. }, None, place) => place.map(|place| place.cycle(&self.rack)),
        }
    }

    fn checked(self) -> Result<Self, BadTask> {
        let (mut by, mut reason) = (vec![&self.by], vec![&self.reason]);
        if let Some(Resume {
            origin:
                Origin::Manual {
                    by: who,
                    reason: why,
                },
            ..
        }) = &self.resume
        {
            by.push(who);
            reason.push(why);
        }
        for (field, words) in [("by", by), ("reason", reason)] {
            for words in words.into_iter().flatten() {
                if let Some(length) = too_long(words) {
                    return Err(BadTask::TooLong { field, length });
                }
            }
        }
        Ok(self)
    }
}

/// The length of a `by` or a `reason`, in bytes, if that is more than [`LONGEST_WORDS`].
pub fn too_long(words: &str) -> Option<usize> {
    (words.len() > LONGEST_WORDS).then_some(words.len())
}

impl Task for Tick {
    const KIND: TaskKind = TaskKind::Tick;

    fn parse(body: &[u8]) -> Result<Self, BadTask> {
        if body.len() > LARGEST_TICK {
            let start = String::from_utf8_lossy(&body[..32])
                .escape_debug()
                .to_string();
            return Err(BadTask::Tick(NameError::TooLong {
                what: "rack name",
                start,
                length: body.len(),
            }));
        }
        // A shell adds a line end.
        let text = str::from_utf8(body).map_err(|_| BadTask::NotText)?.trim();
        if text.starts_with('{') {
            if serde_json::from_str::<CycleRecord>(text).is_ok() {
                return Err(BadTask::Record);
            }
            return serde_json::from_str(text)
                .map_err(|source| BadTask::Json {
                    kind: "tick",
                    source,
                })
                .and_then(Self::checked);
        }
        RackName::new(text).map(Self::of).map_err(BadTask::Tick)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reason(body: &[u8]) -> String {
        Tick::parse(body).unwrap_err().to_string()
    }

    #[test]
    fn a_tick_is_a_rack_name_or_a_json_object() {
        let r7 = Tick::of(RackName::new("r7").unwrap());
        assert_eq!(Tick::parse(b"r7").unwrap(), r7);
        assert_eq!(Tick::parse(b"  r7\r\n").unwrap(), r7);
        assert_eq!(
            Tick::parse(b"{\"rack\": \"r7\", \"colour\": 1}").unwrap(),
            r7
        );
        let tick =
            Tick::parse(br#" {"rack": "r7", "reason": "new firmware", "spread": "0s"}"#).unwrap();
        assert_eq!(
            (tick.reason.as_deref(), tick.spread),
            (Some("new firmware"), Some(Duration::ZERO))
        );
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        assert_eq!(
            reason(b""),
            "the body is neither a rack name nor a JSON object: the rack name is empty"
        );
        assert!(reason(b"r 7").contains("`r 7` is not a rack name"));
        assert!(reason(b"{\"rock\": \"r7\"}").contains("missing field `rack`"));
        assert!(reason(b"{\"rack\": \"r.7\"}").contains("`r.7` is not a rack name"));
        assert!(reason(b"{\"rack\": \"r7\", \"nonce\": \"7\"}").contains("not a tick task"));
        assert_eq!(reason(b"\xff\xfe"), "the body is not UTF-8 text");
        let record = include_bytes!("../../golden/cycle.json");
        assert_eq!(
            reason(record),
            "the body is the record of a cycle, not a tick"
        );
        assert!(reason(&vec![b'x'; 100_000]).contains("100000 bytes"));
    }

    #[test]
    fn words_may_be_a_kibibyte_long_wherever_they_are() {
        let resume = |by: &str, reason: &str| {
            let mut golden: serde_json::Value =
                serde_json::from_str(include_str!("../../golden/tick.json")).unwrap();
            golden["resume"]["origin"] = json!({"kind": "manual", "by": by, "reason": reason});
            golden
        };
        let most = "é".repeat(LONGEST_WORDS / 2);
        let more = format!("{most}x");
        for body in [
            json!({"rack": "r7", "by": most, "reason": most}),
            resume(&most, &most),
        ] {
            assert!(Tick::parse(body.to_string().as_bytes()).is_ok());
        }
        for (field, body) in [
            ("by", json!({"rack": "r7", "by": more})),
            ("reason", json!({"rack": "r7", "reason": more})),
            ("by", resume(&more, "")),
            ("reason", resume("", &more)),
        ] {
            assert_eq!(
                reason(body.to_string().as_bytes()),
                format!("the tick's `{field}` is 1025 bytes long; at most 1024 are allowed")
            );
        }
    }

    #[test]
    fn what_a_first_attempt_says_leads_back_to_its_cycle() {
        let (r7, r8) = (RackName::new("r7").unwrap(), RackName::new("r8").unwrap());
        let at = Timestamp::UNIX_EPOCH;
        let place = Place {
            stream_created: at,
            sequence: 7,
            stored_at: at,
        };
        let nonce = Some(Uuid::from_u128(7));
        let slot = |rack: &RackName| Subject::Slot {
            rack: rack.clone(),
            slot: at,
        };
        let tick = |nonce| Tick {
            nonce,
            ..Tick::of(r7.clone())
        };
        for (tick, scheduler, place) in [
            (tick(None), Some(slot(&r7)), None),
            (tick(nonce), Some(slot(&r7)), Some(place)),
            (tick(nonce), None, Some(place)),
            (tick(None), None, Some(place)),
        ] {
            let first = tick.first_attempt(scheduler.as_ref(), at, place).unwrap();
            assert_eq!(first.is_slot(), scheduler.is_some());
            assert_eq!(tick.cycle_of(&first), Some(first.cycle));
        }
        let foreign = tick(nonce).first_attempt(Some(&slot(&r8)), at, Some(place));
        assert!(matches!(foreign, Err(NoCycle::Scheduler { .. })));
        assert_eq!(
            tick(None).first_attempt(None, at, None),
            Err(NoCycle::NoPlace)
        );
    }

    #[test]
    fn a_cycle_follows_from_what_the_tick_says_of_it() {
        let old = Tick::parse(include_bytes!("../../golden/0.1.0/tick.json")).unwrap();
        let resume = old.resume.clone().unwrap();
        assert_eq!(old.cycle_of(&resume), Some(resume.cycle));

        let (r7, r8) = (RackName::new("r7").unwrap(), RackName::new("r8").unwrap());
        let place = Place {
            stream_created: Timestamp::UNIX_EPOCH,
            sequence: 7,
            stored_at: Timestamp::UNIX_EPOCH,
        };
        let nonce = Uuid::from_u128(7);
        let manual = |place| Resume {
            origin: Origin::Manual {
                by: None,
                reason: None,
            },
            place,
            ..resume.clone()
        };
        let tick = |rack: &RackName, nonce| Tick {
            nonce,
            ..Tick::of(rack.clone())
        };
        assert_eq!(tick(&r7, None).cycle_of(&manual(None)), None);
        for (nonce, place) in [(None, Some(place)), (Some(nonce), None)] {
            let cycle = |rack| tick(rack, nonce).cycle_of(&manual(place)).unwrap();
            assert_ne!(cycle(&r7), cycle(&r8));
            assert_eq!(cycle(&r7), cycle(&r7));
        }
        assert_eq!(
            tick(&r7, Some(nonce)).cycle_of(&manual(Some(place))),
            Some(CycleId::of_request(&r7, nonce)),
            "a place does not take the nonce's part"
        );
    }
}
