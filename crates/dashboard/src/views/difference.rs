//! What was different about a job that failed from one that passed.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::job::JobView;
use crate::words;

/// Times count as different from this factor on, and never below this many seconds: looks are minutes apart.
const FACTOR: u32 = 2;
const NOTHING: Duration = Duration::from_secs(120);

/// One thing about both jobs, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// What: `distro`, `kernel`, a field of the device, a phase, `in all`.
    pub what: String,
    /// Of the job that failed; `None`: nobody knows.
    pub failed: Option<String>,
    /// Of the job that passed.
    pub passed: Option<String>,
    /// Whether that may matter.
    pub differs: bool,
}

/// Compares a job that failed with one that passed.
pub fn differences(failed: &JobView, passed: &JobView) -> Vec<Difference> {
    let mut all = Vec::new();
    let mut same_word = |what: &str, failed: Option<String>, passed: Option<String>| {
        if failed.is_some() || passed.is_some() {
            all.push(Difference {
                what: what.to_owned(),
                differs: failed != passed,
                failed,
                passed,
            });
        }
    };
    let (failed_image, passed_image) = (&failed.image, &passed.image);
    same_word(
        "distro",
        failed_image.distro.clone(),
        passed_image.distro.clone(),
    );
    same_word(
        "kernel",
        failed_image.kernel.clone(),
        passed_image.kernel.clone(),
    );
    for name in fields(failed)
        .chain(fields(passed))
        .collect::<BTreeSet<_>>()
    {
        // The agent's name is that of the host it deploys from.
        let what = match name.as_str() {
            "agent_name" => "agent",
            name => name,
        };
        same_word(
            &what.replace('_', " "),
            field(failed, name),
            field(passed, name),
        );
    }
    for phase in model::outcome::Phase::ALL {
        let lasted = |job: &JobView| {
            let mut phases = job.phases.iter();
            phases.find(|view| view.phase == *phase)?.lasted
        };
        all.extend(times(phase.as_str(), lasted(failed), lasted(passed)));
    }
    all.extend(times("in all", in_all(failed), in_all(passed)));
    all
}

fn times(what: &str, failed: Option<Duration>, passed: Option<Duration>) -> Option<Difference> {
    let differs = match (failed, passed) {
        (None, None) => return None,
        (Some(failed), Some(passed)) => {
            let (short, long) = (failed.min(passed), failed.max(passed));
            long - short >= NOTHING && long >= short.saturating_mul(FACTOR)
        }
        // One of them was too short to be seen, or did not run.
        _ => false,
    };
    Some(Difference {
        what: what.to_owned(),
        failed: failed.map(words::span),
        passed: passed.map(words::span),
        differs,
    })
}

fn in_all(job: &JobView) -> Option<Duration> {
    let (from, to) = (job.job.submitted_at?, job.job.outcome_at?);
    to.duration_since(from).try_into().ok()
}

fn device(job: &JobView) -> Option<&Map<String, Value>> {
    job.device.as_ref()?.as_object()
}

fn fields(job: &JobView) -> impl Iterator<Item = &String> {
    device(job).into_iter().flat_map(Map::keys)
}

fn field(job: &JobView, name: &str) -> Option<String> {
    match device(job)?.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
