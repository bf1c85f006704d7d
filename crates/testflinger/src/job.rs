use std::collections::BTreeMap;

use jiff::Timestamp;
use rest::{Http, Object};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::date;

/// The phases of a job, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are Testflinger's own, and say it")]
pub enum Phase {
    Setup,
    Provision,
    FirmwareUpdate,
    Test,
    Allocate,
    Reserve,
    Cleanup,
}

/// What is known of a job that is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// `waiting`, `running`, a phase, `complete`, `cancelled`, or something we do not know.
    #[serde(default)]
    pub job_state: Option<String>,
    /// Exit code of each phase that ran, 0 to 255. One that was skipped has none.
    #[serde(default)]
    pub phases: BTreeMap<Phase, i64>,
    /// What the device said of itself, if that is short.
    #[serde(default)]
    pub device_info: Option<Value>,
}

/// Whether the server has a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It is stored.
    There,
    /// It was never stored, or it expired seven days after it was.
    Absent,
}

/// How a request to cancel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancel {
    /// It was taken. The agent may still be at work for a while.
    Cancelled,
    /// The server says the job is over already. It says the same of one that it does not know (yet).
    AlreadyOver,
}

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSummary {
    /// Its id.
    pub job_id: String,
    /// Its state, as in [`JobResult::job_state`].
    #[serde(default)]
    pub job_state: Option<String>,
    /// When it was stored.
    #[serde(default, deserialize_with = "date::lenient")]
    pub created_at: Option<Timestamp>,
}

/// A longer `device_info` is not kept, in bytes of JSON.
const LONGEST_DEVICE_INFO: usize = 8 << 10;

/// A result as the server writes it. Everything else in it, the logs above all, is skipped while it comes.
#[derive(Deserialize)]
pub(crate) struct Written {
    job_state: Option<String>,
    setup_status: Option<i64>,
    provision_status: Option<i64>,
    firmware_update_status: Option<i64>,
    test_status: Option<i64>,
    allocate_status: Option<i64>,
    reserve_status: Option<i64>,
    cleanup_status: Option<i64>,
    device_info: Option<Value>,
}

impl From<Written> for JobResult {
    fn from(written: Written) -> Self {
        let phases = [
            (Phase::Setup, written.setup_status),
            (Phase::Provision, written.provision_status),
            (Phase::FirmwareUpdate, written.firmware_update_status),
            (Phase::Test, written.test_status),
            (Phase::Allocate, written.allocate_status),
            (Phase::Reserve, written.reserve_status),
            (Phase::Cleanup, written.cleanup_status),
        ];
        let short = |info: &Value| info.to_string().len() <= LONGEST_DEVICE_INFO;
        Self {
            job_state: written.job_state,
            phases: phases
                .into_iter()
                .filter_map(|(phase, status)| Some((phase, status?)))
                .collect(),
            device_info: written.device_info.filter(short),
        }
    }
}

/// The one field of a job document that proves that it is this job.
#[derive(Deserialize)]
pub(crate) struct Identity {
    job_id: String,
}

impl Identity {
    pub(crate) fn expect(self, job_id: &str, http: &Http) -> Result<(), rest::Error> {
        if self.job_id == job_id {
            Ok(())
        } else {
            Err(http.malformed(&format!(
                "it is about job `{}`, not about `{job_id}`",
                self.job_id
            )))
        }
    }
}

pub(crate) type IdentityObject = Object<Identity>;
