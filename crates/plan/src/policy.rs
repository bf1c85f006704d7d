//! Whether a policy can be used.

use std::time::Duration;

use globset::Glob;
use model::body;
use model::policy::Policy;

/// Testflinger forgets a job 7 days after its submit, so whatever waits for one must be well within that.
const LONGEST: Duration = Duration::from_secs(6 * 24 * 3600);

/// The longest job document, in bytes of JSON. Every submit carries it, and a dead letter keeps twice as much whole.
const LARGEST_JOB: usize = 128 << 10;

/// The deepest job document. It becomes a part of records and messages, which a JSON reader follows down to 128 levels.
const DEEPEST_JOB: usize = 64;

/// A policy that cannot be used. The text names the value and what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A pattern of `exclude` is no glob.
    #[error(
        "`exclude` has the pattern `{pattern}`, which is not a glob: put a `\\` before characters meant literally"
    )]
    Exclude {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// No machine could ever be deployed.
    #[error(
        "`locations` is empty, so no machine could be deployed: list the locations of your agents, such as `TOR3`"
    )]
    NoLocation,
    /// A wait that must not be zero.
    #[error("`{what}` is 0: write a time, such as `{example}`")]
    Zero {
        /// The setting.
        what: &'static str,
        /// A good value.
        example: &'static str,
    },
    /// A wait that outlives the job.
    #[error("`{what}` is longer than 6 days: Testflinger forgets a job after 7")]
    TooLong {
        /// The setting or settings.
        what: &'static str,
    },
    /// The job document is not an object.
    #[error(
        "`job` is not an object: write the job document, such as `{{\"provision_data\": {{\"distro\": \"noble\"}}}}`"
    )]
    Job,
    /// The job document is longer than a message should be.
    #[error(
        "`job` is {0} bytes of JSON: at most {LARGEST_JOB} are allowed; let the job fetch what it needs"
    )]
    LargeJob(usize),
    /// The job document could not be read again where it is stored.
    #[error("`job` is nested {0} levels deep: at most {DEEPEST_JOB} are allowed")]
    DeepJob(usize),
}

/// Checks a policy with every value settled.
pub fn check(policy: &Policy) -> Result<(), PolicyError> {
    for pattern in &policy.exclude {
        Glob::new(pattern).map_err(|source| PolicyError::Exclude {
            pattern: pattern.clone(),
            source,
        })?;
    }
    if policy.locations.is_empty() {
        return Err(PolicyError::NoLocation);
    }
    let waits = [
        ("agent_silent_after", policy.agent_silent_after, "26h"),
        ("submit_window", policy.submit_window, "30m"),
        ("catch_up", policy.catch_up, "1h"),
        ("look_every", policy.look_every, "5m"),
        ("deadline", policy.deadline, "4h"),
    ];
    if let Some((what, _, example)) = waits.into_iter().find(|(_, wait, _)| wait.is_zero()) {
        return Err(PolicyError::Zero { what, example });
    }
    let limits = [
        ("deadline", policy.deadline),
        ("first_look", policy.first_look),
        ("look_every", policy.look_every),
        (
            "spread and submit_window together",
            policy.spread.saturating_add(policy.submit_window),
        ),
    ];
    if let Some((what, _)) = limits.into_iter().find(|(_, wait)| *wait > LONGEST) {
        return Err(PolicyError::TooLong { what });
    }
    if !policy.job.is_object() {
        return Err(PolicyError::Job);
    }
    let (depth, length) = (body::depth(&policy.job), policy.job.to_string().len());
    if depth > DEEPEST_JOB {
        return Err(PolicyError::DeepJob(depth));
    }
    if length > LARGEST_JOB {
        return Err(PolicyError::LargeJob(length));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::policy::PolicyChange;

    use super::*;

    fn problem(change: &str) -> String {
        let change: PolicyChange = serde_json::from_str(change).unwrap();
        check(&Policy::default().with(&change))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_defaults_are_good() {
        check(&Policy::default()).unwrap();
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        assert!(problem(r#"{"exclude": ["ok-*", "bad[" ]}"#).contains("`bad[`"));
        assert!(problem(r#"{"locations": []}"#).contains("`locations` is empty"));
        assert!(problem(r#"{"look_every": "0s"}"#).contains("`look_every` is 0"));
        assert!(problem(r#"{"deadline": "150h"}"#).contains("`deadline` is longer than 6 days"));
        assert!(
            problem(r#"{"spread": "100h", "submit_window": "100h"}"#)
                .contains("spread and submit_window")
        );
        assert!(problem(r#"{"job": "noble"}"#).contains("`job` is not an object"));
        let deep = |levels: usize| {
            let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
            format!(r#"{{"job": {{"a": {open}{close}}}}}"#)
        };
        assert!(problem(&deep(65)).contains("`job` is nested 65 levels deep"));
        let change: PolicyChange = serde_json::from_str(&deep(64)).unwrap();
        check(&Policy::default().with(&change)).unwrap();
        let long = format!(r#"{{"job": {{"a": "{}"}}}}"#, "x".repeat(LARGEST_JOB));
        assert!(problem(&long).contains("bytes of JSON: at most 131072"));
    }

    #[test]
    fn no_spread_and_a_look_at_once_are_allowed() {
        let change: PolicyChange =
            serde_json::from_str(r#"{"spread": "0s", "first_look": "0s"}"#).unwrap();
        check(&Policy::default().with(&change)).unwrap();
    }
}
