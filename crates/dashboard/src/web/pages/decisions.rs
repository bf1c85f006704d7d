//! Decisions about machines, with what became of them.

use maud::{Markup, html};
use model::outcome::Skip;

use super::parts::{cycle_link, job_link, machine_link, outcome_in_full};
use super::table;
use crate::views::{Decision, JobSummary};
use crate::words;

/// What a table of decisions has in its first column.
pub(super) enum First {
    /// The machine: the table is about one cycle.
    Machine,
    /// The cycle: the table is about one machine.
    Cycle,
}

pub(super) fn table(first: &First, decisions: &[Decision]) -> Markup {
    let name = match first {
        First::Machine => "machine",
        First::Cycle => "cycle",
    };
    let row = |decision: &Decision| {
        let about = match first {
            First::Machine => machine_link(&decision.machine),
            First::Cycle => cycle_link(decision.cycle, decision.at),
        };
        [about, decided(decision), became(decision)]
    };
    html! {
        @if decisions.is_empty() { p.quiet { "none yet" } } @else {
            (table::table(&[name, "decision", "outcome"], decisions.iter().map(row)))
        }
    }
}

/// Whether it was to be deployed, and if not, why.
pub(super) fn decided(decision: &Decision) -> Markup {
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
