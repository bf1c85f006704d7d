//! What follows when Testflinger has a job more than once. It keeps one entry for each submit that arrived, hands each
//! to the agent, and takes results and cancels by id: they reach the first entry that fits. So the machine stays the
//! job's until no entry can work on it any more, and the one that is too many is cancelled once the verdict is known:
//! before that, a cancel would hit the entry that is wanted.

use model::outcome::Outcome;
use model::task::Watch;

use crate::look::{AGREEING, Counters, is_over, needs_agent, works_on};

/// What follows from a look at all entries of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// None of them works on the machine any more, or will.
    Over,
    /// One of them may. The counters go into the next look.
    NotOver(Counters),
    /// One of them may, and nobody needs it: it is to be cancelled.
    TooMany,
}

/// How many entries a settled job has in Testflinger, unless it is doubled.
pub fn expected(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Passed | Outcome::Failed { .. } | Outcome::Cancelled => 1,
        Outcome::Lost { .. } | Outcome::Rejected { .. } | Outcome::Skipped(_) => 0,
    }
}

/// Draws the conclusion of a look at a doubled job: `states` are those of all its entries, `agent_job` is the job that
/// its agent says to be working on, and `decided` says that the verdict is known.
pub fn conclude<'a>(
    task: &Watch,
    states: impl IntoIterator<Item = &'a str>,
    agent_job: Option<&str>,
    decided: bool,
) -> Rest {
    let mut cancelled = false;
    for state in states {
        cancelled |= needs_agent(state);
        if !is_over(state) && !needs_agent(state) {
            return if decided {
                Rest::TooMany
            } else {
                Rest::NotOver(Counters::default())
            };
        }
    }
    if !cancelled {
        return Rest::Over;
    }
    // As with one entry: an agent may go on with what is `cancelled`.
    if works_on(agent_job, task.job) {
        return Rest::NotOver(Counters::default());
    }
    let let_go = task.let_go.saturating_add(1);
    if let_go >= AGREEING {
        Rest::Over
    } else {
        Rest::NotOver(Counters { absent: 0, let_go })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::id::{CycleId, JobId};
    use model::name::{MachineName, RackName};
    use model::task::Pace;

    use super::*;

    fn look(let_go: u32) -> Watch {
        let rack = RackName::new("r1").unwrap();
        let machine = MachineName::new("m1").unwrap();
        let cycle = CycleId::of_slot(&rack, jiff::Timestamp::UNIX_EPOCH);
        Watch {
            v: Watch::VERSION,
            job: JobId::of(cycle, &machine),
            rack,
            machine,
            cycle,
            pace: Pace {
                first_look: Duration::from_secs(300),
                look_every: Duration::from_secs(300),
                deadline: Duration::from_secs(14_400),
            },
            look: 0,
            state: None,
            state_since: None,
            absent: 0,
            let_go,
            failed: 0,
            overdue: false,
            doubled: false,
            late: false,
            deadline: None,
            traceparent: None,
        }
    }

    const WAIT: Rest = Rest::NotOver(Counters {
        absent: 0,
        let_go: 0,
    });

    #[test]
    fn an_entry_that_waits_or_works_is_cancelled_only_when_the_verdict_is_known() {
        for other in ["waiting", "running", "provision", "unheard of"] {
            for states in [["complete", other], [other, "complete"]] {
                assert_eq!(conclude(&look(1), states, None, true), Rest::TooMany);
            }
            assert_eq!(conclude(&look(1), [other, "waiting"], None, false), WAIT);
            // The first was cancelled, and its agent still finishes a phase.
            let states = ["cancelled", other];
            assert_eq!(conclude(&look(1), states, None, false), WAIT);
        }
    }

    #[test]
    fn all_complete_is_over_and_so_is_none_at_all() {
        let states = ["complete", "completed"];
        assert_eq!(conclude(&look(0), states, None, true), Rest::Over);
        assert_eq!(conclude(&look(0), [], None, true), Rest::Over);
    }

    #[test]
    fn a_cancelled_entry_is_over_when_the_agent_was_elsewhere_on_two_looks() {
        let states = ["complete", "cancelled"];
        let at_it = look(1).job.to_string();
        assert_eq!(conclude(&look(1), states, Some(&at_it), true), WAIT);
        let once = Rest::NotOver(Counters {
            absent: 0,
            let_go: 1,
        });
        assert_eq!(conclude(&look(0), states, None, true), once);
        assert_eq!(conclude(&look(0), states, Some("another"), true), once);
        assert_eq!(
            conclude(&look(1), states, Some("another"), true),
            Rest::Over
        );
    }
}
