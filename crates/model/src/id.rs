//! Ids that follow from their cause, so that whoever handles the same message again arrives at the same id.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::name::{MachineName, RackName};

/// The namespace of all ids made here. Chosen once at random; changing it would make every id a different one.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d0f_2f6a_5c1b_4c0e_9d53_7a1e_8b42_c9d0);

/// One cycle: everything done for one tick of one rack.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
#[schema(value_type = String, format = "uuid")]
pub struct CycleId(Uuid);

/// One job that racktick submits. Testflinger stores it as we write it: lower case, with dashes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
#[schema(value_type = String, format = "uuid")]
pub struct JobId(Uuid);

impl CycleId {
    /// The cycle of a rack's slot.
    pub fn of_slot(rack: &RackName, slot: Timestamp) -> Self {
        Self(Uuid::new_v5(
            &NAMESPACE,
            format!("slot|{rack}|{}", slot.as_second()).as_bytes(),
        ))
    }

    /// The cycle of a manual tick: the message's place in its stream. The sequence alone is not enough, because it
    /// starts again when a stream is deleted and made anew, or restored.
    pub fn of_message(
        rack: &RackName,
        stream_created: Timestamp,
        sequence: u64,
        stored: Timestamp,
    ) -> Self {
        let (created, stored) = (stream_created.as_nanosecond(), stored.as_nanosecond());
        Self(Uuid::new_v5(
            &NAMESPACE,
            format!("message|{rack}|{created}|{sequence}|{stored}").as_bytes(),
        ))
    }

    /// The cycle of a manual tick that names a nonce. Without the nonce nobody arrives at it, and no other rack does.
    pub fn of_request(rack: &RackName, nonce: Uuid) -> Self {
        Self(Uuid::new_v5(
            &NAMESPACE,
            format!("request|{rack}|{}", nonce.hyphenated()).as_bytes(),
        ))
    }

    /// A W3C `traceparent` for work done in this cycle.
    pub fn traceparent(&self) -> String {
        let cycle = self.0.simple().to_string();
        format!("00-{cycle}-{}-01", &cycle[16..])
    }
}

impl JobId {
    /// The one job of a machine in a cycle.
    pub fn of(cycle: CycleId, machine: &MachineName) -> Self {
        Self(Uuid::new_v5(&cycle.0, machine.as_str().as_bytes()))
    }
}

macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// The 16 bytes of it, for whoever keeps many.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }

            /// Reads back what `to_bytes` gave.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}
text!(CycleId);
text!(JobId);

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn ids_follow_from_their_cause_and_never_change() {
        let rack = RackName::new("r7").unwrap();
        let cycle = CycleId::of_slot(&rack, time("2026-11-21T06:00:00Z"));
        assert_eq!(cycle, CycleId::of_slot(&rack, time("2026-11-21T06:00:00Z")));
        let machine = MachineName::new("node3").unwrap();
        // Written down, so that a change of the derivation shows: it would submit every armed job twice.
        assert_eq!(cycle.to_string(), CYCLE);
        assert_eq!(JobId::of(cycle, &machine).to_string(), JOB);
        let requested = CycleId::of_request(&rack, Uuid::from_u128(7));
        assert_eq!(requested.to_string(), REQUESTED);
    }
    const REQUESTED: &str = "de1413db-0cf9-56d8-b039-9b31da417f01";
    const CYCLE: &str = "b0d36a39-1ae7-5a22-a3e2-72fbc35a4300";
    const JOB: &str = "0e80414b-c337-5968-9125-202c3315c33c";

    #[test]
    fn an_id_comes_back_from_its_bytes() {
        let job: JobId = JOB.parse().unwrap();
        assert_eq!(JobId::from_bytes(job.to_bytes()), job);
    }

    #[test]
    fn every_part_of_a_message_identity_counts() {
        let rack = RackName::new("r7").unwrap();
        let (a, b) = (
            time("2026-11-21T06:00:00Z"),
            time("2026-11-21T06:00:00.000000001Z"),
        );
        let id = CycleId::of_message(&rack, a, 1, a);
        assert_ne!(id, CycleId::of_message(&rack, b, 1, a));
        assert_ne!(id, CycleId::of_message(&rack, a, 2, a));
        assert_ne!(id, CycleId::of_message(&rack, a, 1, b));
        assert_ne!(id, CycleId::of_slot(&rack, a));
    }

    #[test]
    fn a_traceparent_has_the_standard_form() {
        let rack = RackName::new("r7").unwrap();
        let text = CycleId::of_slot(&rack, time("2026-11-21T06:00:00Z")).traceparent();
        let parts: Vec<&str> = text.split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [2, 32, 16, 2]
        );
    }
}
