use std::collections::BTreeMap;
use std::io::Read;

use jiff::Timestamp;
use model::body;
use rest::{Answer, Http, List, Object, Short};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::Testflinger;
use crate::date;
use crate::error::TestflingerError;

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

/// Nor is one that is nested deeper: it becomes a part of records and events, which a JSON reader follows down to 128
/// levels and no further.
const DEEPEST_DEVICE_INFO: usize = 32;

/// A result as the server writes it. Everything else in it, the logs above all, is skipped while it comes.
#[derive(Deserialize)]
struct Written {
    job_state: Option<Short>,
    setup_status: Option<i64>,
    provision_status: Option<i64>,
    firmware_update_status: Option<i64>,
    test_status: Option<i64>,
    allocate_status: Option<i64>,
    reserve_status: Option<i64>,
    cleanup_status: Option<i64>,
    device_info: Option<Value>,
}

/// Whether a value of a result is short and flat enough to be kept.
pub(crate) fn is_short(value: &Value) -> bool {
    body::depth(value) <= DEEPEST_DEVICE_INFO && value.to_string().len() <= LONGEST_DEVICE_INFO
}

impl Phase {
    /// The phase with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }
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
        Self {
            job_state: written.job_state.map(String::from),
            phases: phases
                .into_iter()
                .filter_map(|(phase, status)| Some((phase, status?)))
                .collect(),
            device_info: written.device_info.filter(is_short),
        }
    }
}

impl JobResult {
    /// Reads a result as the server answers it, without asking the server.
    ///
    /// # Errors
    /// Why it is none; the text may quote it.
    pub fn read(answer: impl Read) -> Result<Self, String> {
        let Object(written): Object<Written> =
            serde_json::from_reader(answer).map_err(|error| error.to_string())?;
        Ok(written.into())
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

/// Where a stored job belongs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Belonging {
    /// The queue it was submitted to.
    pub job_queue: String,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// More of a job document, and whose it is.
#[derive(Deserialize)]
struct Identified<T> {
    #[serde(flatten)]
    identity: Identity,
    #[serde(flatten)]
    rest: T,
}

pub(crate) type IdentityObject = Object<Identity>;

impl Testflinger {
    /// Whether a job is stored. Absent only for a clean 204, which a job older than seven days gives, too.
    pub async fn job(&self, job_id: &str) -> Result<Presence, TestflingerError> {
        const DOING: &str = "look for the job";
        let cap = self.http.limits().body_bytes;
        let stored: Option<Identity> = self
            .stored(DOING, "job", &["v1", "job", job_id], cap)
            .await?;
        let Some(identity) = stored else {
            return Ok(Presence::Absent);
        };
        identity
            .expect(job_id, &self.http)
            .map_err(|error| self.error(DOING, error))?;
        Ok(Presence::There)
    }

    /// Where a job belongs; none for a clean 204, as [`Self::job`].
    pub async fn belonging(&self, job_id: &str) -> Result<Option<Belonging>, TestflingerError> {
        const DOING: &str = "read the job";
        let cap = self.http.limits().body_bytes;
        let stored: Option<Identified<Belonging>> = self
            .stored(DOING, "job", &["v1", "job", job_id], cap)
            .await?;
        let Some(Identified { identity, rest }) = stored else {
            return Ok(None);
        };
        identity
            .expect(job_id, &self.http)
            .map_err(|error| self.error(DOING, error))?;
        Ok(Some(rest))
    }

    /// State and phases of a job; none for a clean 204, as [`Self::job`]. What the device said of itself becomes a part of
    /// events: it has no value behind a name that tells a secret, as what is kept of [logs](Self::logged).
    pub async fn result(&self, job_id: &str) -> Result<Option<JobResult>, TestflingerError> {
        const DOING: &str = "read the result of the job";
        let cap = self.http.limits().result_bytes;
        let written: Option<Written> = self
            .stored(DOING, "result", &["v1", "result", job_id], cap)
            .await?;
        let written = written.map(|written| Written {
            device_info: written.device_info.filter(is_short).map(|info| {
                let (_, info) = self.http.field_without_secrets("device_info", info);
                info
            }),
            ..written
        });
        Ok(written.map(JobResult::from))
    }

    /// The object that is stored there; none for a clean 204.
    async fn stored<T: DeserializeOwned + Send + 'static>(
        &self,
        doing: &'static str,
        endpoint: &'static str,
        segments: &[&str],
        cap: u64,
    ) -> Result<Option<T>, TestflingerError> {
        let answer = self.get(doing, endpoint, segments).await?;
        if answer.status() == 204 {
            answer
                .nothing()
                .await
                .map_err(|error| self.error(doing, error))?;
            return Ok(None);
        }
        let Object(stored): Object<T> = self.read(doing, answer, cap).await?;
        Ok(Some(stored))
    }

    /// How many jobs are before this one in its queue; none once it is not waiting any more, or unknown.
    pub async fn position(&self, job_id: &str) -> Result<Option<u64>, TestflingerError> {
        const DOING: &str = "read the position of the job";
        let answer = self
            .get(DOING, "position", &["v1", "job", job_id, "position"])
            .await?;
        let position = match answer.status() {
            200 => answer.text().await.and_then(|text| {
                text.trim()
                    .parse()
                    .map(Some)
                    .map_err(|_| self.http.malformed(&format!("`{text}` is no position")))
            }),
            _ => match answer.refused().await {
                error
                    if error
                        .refusal()
                        .is_some_and(|refusal| refusal.status == 410 && !refusal.html) =>
                {
                    Ok(None)
                }
                error => Err(error),
            },
        };
        position.map_err(|error| self.error(DOING, error))
    }

    /// All jobs of a queue, over or not, of the last seven days. An unknown queue has none.
    pub async fn queue_jobs(&self, queue: &str) -> Result<Vec<JobSummary>, TestflingerError> {
        const DOING: &str = "read the jobs of the queue";
        let answer = self
            .get(DOING, "queue_jobs", &["v1", "queues", queue, "jobs"])
            .await?;
        self.jobs(DOING, answer).await
    }

    /// The jobs that bear all of these tags.
    pub async fn search_by_tags(&self, tags: &[&str]) -> Result<Vec<JobSummary>, TestflingerError> {
        const DOING: &str = "search for jobs";
        let query: Vec<_> = tags
            .iter()
            .map(|tag| ("tags", *tag))
            .chain([("match", "all")])
            .collect();
        let request = self.http.get(&["v1", "job", "search"]).query(&query);
        let answer = self
            .call("search", request)
            .await
            .map_err(|failure| self.failed(DOING, failure))?;
        self.jobs(DOING, answer).await
    }

    /// Asks for the end of a job. That it was taken does not mean that the agent has stopped.
    pub async fn cancel(&self, job_id: &str) -> Result<Cancel, TestflingerError> {
        const DOING: &str = "cancel the job";
        let request = self
            .http
            .post(&["v1", "job", job_id, "action"])
            .json(&json!({"action": "cancel"}));
        let answer = self
            .call("cancel", request)
            .await
            .map_err(|failure| self.failed(DOING, failure))?;
        let cancel = match answer.status() {
            200 => answer
                .text()
                .await
                .and_then(|text| match text.trim().trim_matches('"') {
                    "OK" => Ok(Cancel::Cancelled),
                    other => Err(self.http.malformed(&format!("`{other}` instead of `OK`"))),
                }),
            _ => match answer.refused().await {
                error if says_over(&error) => Ok(Cancel::AlreadyOver),
                error => Err(error),
            },
        };
        cancel.map_err(|error| self.error(DOING, error))
    }

    async fn jobs(
        &self,
        doing: &'static str,
        answer: Answer,
    ) -> Result<Vec<JobSummary>, TestflingerError> {
        if answer.status() == 204 {
            answer
                .nothing()
                .await
                .map_err(|error| self.error(doing, error))?;
            return Ok(Vec::new());
        }
        let List(jobs): List<Object<JobSummary>> = self
            .read(doing, answer, self.http.limits().list_bytes)
            .await?;
        Ok(jobs.into_iter().map(|Object(job)| job).collect())
    }
}

/// The 400 that a second cancel gets, and the cancel of a job that ended by itself.
fn says_over(error: &rest::Error) -> bool {
    error.refusal().is_some_and(|refusal| {
        refusal.status == 400
            && !refusal.html
            && refusal.excerpt().contains("already completed or cancelled")
    })
}
