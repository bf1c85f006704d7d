//! Jobs that reached the lab more than once, and whether the one race that only Testflinger could close explains it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::id::JobId;

use super::Findings;
use crate::facts::Facts;
use crate::fault::Role;

/// What a process needs to run on after a pause, besides the POST itself, on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    for (cycle, machines) in &facts.posted {
        for (machine, count) in machines.iter().filter(|(_, count)| **count > 1) {
            let job = JobId::of(*cycle, machine).to_string();
            let what = format!("{machine} in {cycle}: job {job} {count} times");
            let times = times(facts, &job);
            if facts.injected.forgotten.contains(&job) {
                findings.apart("jobs_posted_again_after_forgotten", what);
            } else if is_by_pause(facts, &times, *count) {
                let is_reported = facts
                    .events
                    .iter()
                    .any(|told| told.subject.ends_with(".doubled") && told.id.contains(&job));
                if !is_reported {
                    findings.wrong("jobs_doubled_by_pause_and_not_reported", what.clone());
                }
                findings.apart("jobs_doubled_by_pause", what);
            } else {
                findings.wrong("machines_with_two_jobs_in_one_cycle", what.clone());
                for _ in 1..times.len() {
                    findings.wrong("jobs_with_same_id", what.clone());
                }
            }
        }
    }
}

/// When the lab stored the job, each time.
fn times(facts: &Facts, job: &str) -> Vec<Timestamp> {
    let mut times: Vec<Timestamp> = facts
        .jobs
        .iter()
        .filter(|stored| stored.id == job)
        .map(|stored| stored.created_at)
        .collect();
    times.sort();
    times
}

/// A worker stood still for longer than the settle time, somebody else posted meanwhile, and it posted right after. Its
/// claim was at most so old that a POST still fitted in, so that nobody else posted sooner than a POST's limit after
/// the pause began. Every double after the first must be explained.
fn is_by_pause(facts: &Facts, times: &[Timestamp], count: u64) -> bool {
    let Some((first, later)) = times.split_first() else {
        return false;
    };
    let is_whole = u64::try_from(times.len()) == Ok(count);
    let reach = signed(facts.post_limit + SLACK);
    let explained = |again: &Timestamp| {
        facts.injected.pauses.iter().any(|pause| {
            let is_long = pause.until.duration_since(pause.from) > signed(facts.settle);
            let after = again.duration_since(pause.until);
            matches!(pause.role, Role::Worker(_))
                && is_long
                && *first >= pause.from + signed(facts.post_limit)
                && *first <= pause.until + reach
                && !after.is_negative()
                && after <= reach
        })
    };
    is_whole && later.iter().all(explained)
}

fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}
