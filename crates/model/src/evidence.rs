//! What is kept of a job that did not pass: an object in the bucket `evidence`, named
//! [by the job and its digest](crate::subject::key::evidence).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::id::{CycleId, JobId};
use crate::name::{MachineName, RackName};
use crate::outcome::Phase;

/// The longest end of an output that is kept, in bytes.
pub const LONGEST_OUTPUT: usize = 64 << 10;

/// The object itself, in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// Version of this form.
    pub v: u8,
    /// The job.
    pub job: JobId,
    /// Its cycle.
    pub cycle: CycleId,
    /// Its rack.
    pub rack: RackName,
    /// Its machine.
    pub machine: MachineName,
    /// Testflinger's result of the job, as it was, without the output and serial logs of phases.
    pub result: Map<String, Value>,
    /// What the phases wrote that failed. Of a job without one: the last phase before cleanup that wrote anything.
    pub output: BTreeMap<Phase, Output>,
    /// What came over the serial line meanwhile, where the agent has one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub serial: BTreeMap<Phase, Output>,
}

/// The end of what a phase wrote, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Output {
    /// At most [`LONGEST_OUTPUT`] bytes.
    pub end: String,
    /// Whether there was more before it.
    pub cut: bool,
}

/// What became of a job's evidence: part of its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Keeping {
    /// It is in the bucket, for as long as that keeps it.
    Kept {
        /// What the object's bytes have to be: `SHA-256=` and their digest in base64 for addresses.
        digest: String,
        /// How many bytes.
        size: u64,
    },
    /// It could not be had or kept. The verdict does not wait for it.
    Failed {
        /// Why, in one word.
        cause: String,
    },
}

impl Evidence {
    /// The present version.
    pub const VERSION: u8 = 1;
}
