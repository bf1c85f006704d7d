//! Everything that a cycle's decisions see, as values. Saved by `racktick plan --save`, read by `--inputs`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use model::id::JobId;
use model::name::{MachineName, RackName};
use model::policy::Policy;
use serde::{Deserialize, Serialize};

/// What is known when a rack ticks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// Version of this form.
    pub v: u8,
    /// The time at which the decisions are made.
    pub now: Timestamp,
    /// The rack.
    pub rack: RackName,
    /// Whether the rack is paused.
    pub paused: bool,
    /// The rack's policy, settled.
    pub policy: Policy,
    /// The MAAS user whose key we use.
    pub whoami: String,
    /// The machines that carry the rack's tag.
    pub machines: Vec<Machine>,
    /// The agents of the Testflinger server; those with the name of none of these machines may be left out.
    pub agents: Vec<Agent>,
    /// Machines that a job of ours has, and the job.
    pub claims: BTreeMap<MachineName, JobId>,
    /// Restricted queues that our token opens.
    pub allowed_queues: BTreeSet<String>,
}

impl Inputs {
    /// The present version.
    pub const VERSION: u8 = 1;
}

/// A machine, as MAAS knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its short host name.
    pub hostname: MachineName,
    /// MAAS's own id of it.
    pub system_id: String,
    /// The number of its status.
    #[serde(default)]
    pub status: Option<i64>,
    /// The name of its status, for people.
    pub status_name: String,
    /// The user who has it.
    #[serde(default)]
    pub owner: Option<String>,
    /// Whether MAAS refuses to change it.
    #[serde(default)]
    pub locked: bool,
}

/// An agent, as Testflinger knows it. Every key but the name may be missing there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// What it is doing.
    #[serde(default)]
    pub state: Option<String>,
    /// The queues it listens on.
    #[serde(default)]
    pub queues: Vec<String>,
    /// Where it says that it is.
    #[serde(default)]
    pub location: Option<String>,
    /// When its record was last renewed.
    #[serde(default)]
    pub updated_at: Option<Timestamp>,
    /// `pass` or `fail`: how its last provisionings ended.
    #[serde(default)]
    pub streak_type: Option<String>,
    /// How many of them in a row.
    #[serde(default)]
    pub streak_count: u32,
    /// Its restricted queues, each with the clients that may use it.
    #[serde(default)]
    pub restricted_to: BTreeMap<String, Vec<String>>,
}
