//! What a look at a job means, and when the next one is due.

use std::time::Duration;

use jiff::Timestamp;
use model::id::JobId;
use model::task::{Pace, Watch};

use crate::slots::later;

/// How many looks in a row must agree before a job is taken for over although Testflinger has not said so.
pub(crate) const AGREEING: u32 = 2;
/// A look that failed is not repeated before this, unless looks are due more often anyway.
const SOONEST_REPEAT: Duration = Duration::from_secs(30);
/// A server that asks for more patience than this is asked again all the same.
const LONGEST_REPEAT: Duration = Duration::from_secs(3600);
/// Past its deadline a job is looked at so many times less often ...
const LATE_FACTOR: u32 = 4;
/// ... but at least this often.
const LATE_LONGEST: Duration = Duration::from_secs(3600);

/// What a look saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// The job is there.
    There {
        /// Its state.
        state: &'a str,
        /// The job that its agent says to be working on, if any. Needed only when [`needs_agent`] says so.
        agent_job: Option<&'a str>,
    },
    /// The job is not there: neither its result nor the job itself.
    Absent,
}

/// What follows from a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// The job is over: nothing works on the machine any more. Its verdict is due.
    Over,
    /// Testflinger has forgotten the job.
    Gone,
    /// The job may still work on the machine. The counters go into the next look.
    NotOver(Counters),
}

/// Looks in a row that saw the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// The job was not there.
    pub absent: u32,
    /// It was `cancelled`, and its agent did not work on it.
    pub let_go: u32,
}

/// Whether a state is final. `cancelled` is not: the agent finishes a phase first, and cleans up.
pub fn is_over(state: &str) -> bool {
    matches!(state, "complete" | "completed")
}

/// Whether a look has to read the agent, too.
pub fn needs_agent(state: &str) -> bool {
    state == "cancelled"
}

/// Whether an agent in this state works on nothing, whatever job its record names: an agent that was killed at work and
/// starts again posts that it waits, and leaves the job in its record until its next one.
pub fn waits_for_work(state: Option<&str>) -> bool {
    state == Some("waiting")
}

/// Draws the conclusion of a look. `running` says that the claim is `running`: before that, a job that is not there may
/// still arrive, and proves nothing.
pub fn conclude(task: &Watch, running: bool, seen: Seen<'_>) -> Conclusion {
    match seen {
        Seen::Absent if running && task.absent.saturating_add(1) >= AGREEING => Conclusion::Gone,
        Seen::Absent => Conclusion::NotOver(Counters {
            absent: if running {
                task.absent.saturating_add(1)
            } else {
                0
            },
            let_go: 0,
        }),
        Seen::There { state, .. } if is_over(state) => Conclusion::Over,
        Seen::There {
            state: "cancelled",
            agent_job,
        } if !works_on(agent_job, task.job) => {
            if task.let_go.saturating_add(1) >= AGREEING {
                Conclusion::Over
            } else {
                Conclusion::NotOver(Counters {
                    absent: 0,
                    let_go: task.let_go.saturating_add(1),
                })
            }
        }
        Seen::There { .. } => Conclusion::NotOver(Counters::default()),
    }
}

pub(crate) fn works_on(agent_job: Option<&str>, job: JobId) -> bool {
    agent_job.is_some_and(|named| named.parse() == Ok(job))
}

/// When a job that is not over is looked at again.
///
/// A look due after the deadline is brought forward to it, so that a job is overdue in time. Past the deadline looks
/// come four times less often (at least once an hour, and never more often than before), unless a second look is
/// needed to agree with this one.
pub fn next_look(
    pace: &Pace,
    deadline: Timestamp,
    now: Timestamp,
    counters: Counters,
) -> Timestamp {
    let usual = later(now, pace.look_every);
    if now < deadline {
        return usual.min(deadline);
    }
    if counters != Counters::default() {
        return usual;
    }
    let seldom = pace
        .look_every
        .saturating_mul(LATE_FACTOR)
        .min(LATE_LONGEST);
    later(now, seldom.max(pace.look_every))
}

/// When a look that failed is repeated; `failed` counts the failures in a row, this one included. Twice as long each
/// time, from 30 seconds up to the usual distance of looks, and never earlier than the server asked for.
pub fn repeat_look(
    pace: &Pace,
    failed: u32,
    now: Timestamp,
    retry_after: Option<Duration>,
) -> Timestamp {
    let doubled = 2_u32.saturating_pow(failed.saturating_sub(1));
    let wait = SOONEST_REPEAT.saturating_mul(doubled).min(pace.look_every);
    let asked = retry_after.unwrap_or_default().min(LONGEST_REPEAT);
    later(now, wait.max(asked))
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
