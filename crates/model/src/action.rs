//! What people do to a rack. It stands in the rack's record until it is told as an event of its own,
//! `event.rack.<rack>.<what>`, so that who and why are not lost when whoever did it dies in between.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::body;
use crate::envelope::{Content, Received};
use crate::name::RackName;
use crate::policy::PolicyChange;
use crate::schedule::Schedule;
use crate::subject::Subject;

/// What somebody did to a rack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why; empty when they did not say.
    #[serde(default)]
    pub why: String,
    /// What.
    #[serde(flatten)]
    pub deed: Deed,
}

/// What is done to racks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Deed {
    /// It was given a schedule.
    #[serde(rename = "racktick.rack.added")]
    Added {
        /// The schedule.
        schedule: Schedule,
        /// What it sets differently from the configured policy.
        policy: PolicyChange,
    },
    /// Its schedule or its policy was changed.
    #[serde(rename = "racktick.rack.changed")]
    Changed {
        /// The schedule, when that was changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schedule: Option<Schedule>,
        /// All that it sets differently from the configured policy, when that was changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<PolicyChange>,
    },
    /// Its schedule was switched off.
    #[serde(rename = "racktick.rack.paused")]
    Paused,
    /// Its schedule was switched on again.
    #[serde(rename = "racktick.rack.resumed")]
    Resumed,
    /// Its schedule was taken away.
    #[serde(rename = "racktick.rack.removed")]
    Removed,
    /// A dead letter of it was given back to the workers.
    #[serde(rename = "racktick.rack.replayed")]
    Replayed {
        /// Which.
        letter: Letter,
    },
    /// A dead letter of it was dropped for good.
    #[serde(rename = "racktick.rack.dropped")]
    Dropped {
        /// Which.
        letter: Letter,
    },
}

/// A dead letter, by what is left to know of it once it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Its number.
    pub number: u64,
    /// Where the message was.
    pub subject: String,
    /// Why it could not succeed.
    pub reason: String,
    /// When it was given up.
    pub at: Timestamp,
}

impl Deed {
    /// All kinds of events about racks: what they are about and what was done, with a dot between.
    pub const KINDS: [&str; 7] = [
        "rack.added",
        "rack.changed",
        "rack.paused",
        "rack.resumed",
        "rack.removed",
        "rack.replayed",
        "rack.dropped",
    ];

    /// The last word of the subject.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Added { .. } => "added",
            Self::Changed { .. } => "changed",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Removed => "removed",
            Self::Replayed { .. } => "replayed",
            Self::Dropped { .. } => "dropped",
        }
    }

    /// The dead letter that it is about.
    pub fn letter(&self) -> Option<&Letter> {
        match self {
            Self::Replayed { letter } | Self::Dropped { letter } => Some(letter),
            _ => None,
        }
    }
}

/// An action as an event.
#[derive(Debug, Clone, PartialEq)]
pub struct RackEvent {
    /// The rack.
    pub rack: RackName,
    /// What was done to it.
    pub action: Action,
}

impl RackEvent {
    /// Where it is published.
    pub fn subject(&self) -> Subject {
        Subject::Event {
            about: "rack".into(),
            rack: self.rack.clone(),
            machine: None,
            what: self.action.deed.word().into(),
        }
    }

    /// Its id: the same whenever the same action is published again. A dead letter is replayed once, however many ask
    /// for it.
    pub fn id(&self) -> String {
        let (rack, what) = (&self.rack, self.action.deed.word());
        match self.action.deed.letter() {
            Some(letter) => format!("{rack}.{what}.{}.{}", letter.number, letter.at),
            None => format!("{rack}.{what}.{}", self.action.at),
        }
    }

    /// The body.
    pub fn to_json(&self) -> Vec<u8> {
        let mut told = serde_json::to_value(&self.action)
            .expect("an action holds only text, numbers, lists and maps by text");
        if let Value::Object(told) = &mut told {
            told.remove("at");
        }
        let content = Content {
            told,
            id: self.id(),
            rack: &self.rack,
            of: None,
            machine: None,
            time: self.action.at,
            traceparent: None,
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
        data.rest.insert("at".into(), serde_json::to_value(time)?);
        Ok(Self {
            rack: data.rack,
            action: serde_json::from_value(Value::Object(data.rest))?,
        })
    }
}

#[derive(Deserialize)]
struct ReceivedData {
    rack: RackName,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The actions among these that this racktick knows. A record with one of a later version is read all the same: the rack
/// must go on ticking, and whoever wrote it tells it as well.
pub(crate) fn known<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Action>, D::Error> {
    let actions = Vec::<Value>::deserialize(from)?.into_iter();
    Ok(actions
        .filter_map(|action| serde_json::from_value(action).ok())
        .collect())
}

#[cfg(test)]
#[path = "action_tests.rs"]
mod tests;
