//! Decisions about machines, with what became of them.

use maud::{Markup, html};
use model::outcome::Skip;

use super::course::Course;
use super::parts::{cycle_link, job_link, machine_link, outcome_in_full};
use super::table::table;
use crate::views::{CycleView, Decision, JobSummary};
use crate::words;

/// A cycle's decisions, by machine, with when their jobs were at work.
pub(super) fn of_cycle(view: &CycleView) -> Markup {
    let course = Course::of(view);
    let row = |decision: &Decision| {
        let worked = decision.job.as_ref().map(|job| course.of_job(job));
        [
            machine_link(&decision.machine),
            decided(decision),
            became(decision),
            worked.unwrap_or_default(),
        ]
    };
    made(
        &["machine", "decision", "outcome", "at work"],
        view.decisions.iter().map(row),
    )
}

/// Decisions about a machine, by cycle.
pub(super) fn of_machine(decisions: &[Decision]) -> Markup {
    let row = |decision: &Decision| {
        [
            cycle_link(decision.cycle, decision.at),
            decided(decision),
            became(decision),
        ]
    };
    made(&["cycle", "decision", "outcome"], decisions.iter().map(row))
}

fn made<const N: usize>(
    names: &[&str; N],
    rows: impl ExactSizeIterator<Item = [Markup; N]>,
) -> Markup {
    html! {
        @if rows.len() == 0 { p.quiet { "none yet" } } @else { (table(names, rows)) }
    }
}

/// Whether it was to be deployed, and if not, why.
fn decided(decision: &Decision) -> Markup {
    html! {
        @match &decision.skip {
            None => "deploy",
            Some(skip) => (left_alone(skip)),
        }
    }
}

/// Why a machine was left alone: the code and what it means.
pub(super) fn left_alone(skip: &Skip) -> Markup {
    html! {
        span.badge.skipped { "– left alone" } " " code { (skip.reason) } " " bdi { (words::skip_words(skip)) }
    }
}

fn became(decision: &Decision) -> Markup {
    html! {
        @match &decision.job {
            Some(job) => (job_link(job.job, state(job))),
            None if decision.skip.is_some() => {},
            None => "no job yet",
        }
    }
}

/// A job's outcome, or where it is.
pub(super) fn state(job: &JobSummary) -> Markup {
    html! {
        @match &job.outcome {
            Some(outcome) => (outcome_in_full(outcome)),
            None => {
                span.badge.deploying { "▶ " (job.state.as_deref().unwrap_or("submitted")) }
                @if job.overdue_at.is_some() { " " span.badge.failed { "overdue" } }
            },
        }
        @if let Some(doubled) = &job.doubled {
            " " span.badge.failed { "seen " (doubled.entries) " times in Testflinger" }
        }
    }
}
