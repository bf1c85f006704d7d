//! What several pages show in the same way.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::outcome::Outcome;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::table::table;
use crate::history::standing::Health;
use crate::views::{Cell, CycleState, CycleSummary, Verdict};
use crate::words;

/// A time in UTC, which the script turns into one of the reader's own clock, and how long ago.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at.strftime("%Y-%m-%d %H:%M:%S UTC")) } }
}

/// A time, or a dash.
pub(super) fn maybe_time(at: Option<Timestamp>) -> Markup {
    html! { @match at { Some(at) => (time(at)), None => "–" } }
}

/// A time span.
pub(super) fn span(span: Option<Duration>) -> Markup {
    html! { @match span { Some(span) => span.took { (words::span(span)) }, None => "–" } }
}

/// What cannot stand for itself in a part of an address.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A part of an address.
pub(in super::super) fn in_address(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

pub(super) fn machine_link(machine: &MachineName) -> Markup {
    html! { a href={ "/machines/" (in_address(machine.as_str())) } { bdi { (machine) } } }
}

pub(super) fn rack_link(rack: &RackName) -> Markup {
    html! { a href={ "/racks/" (in_address(rack.as_str())) } { bdi { (rack) } } }
}

/// A cycle by the time when it began, which says more than its id.
pub(super) fn cycle_link(cycle: CycleId, at: Timestamp) -> Markup {
    html! { a href={ "/cycles/" (cycle) } title={ "cycle " (cycle) } { (time(at)) } }
}

pub(super) fn job_link(job: JobId, content: Markup) -> Markup {
    html! { a href={ "/jobs/" (job) } title={ "job " (job) } { (content) } }
}

/// A health as shape and word.
pub(super) fn health(health: Health) -> Markup {
    let word = health.as_str();
    html! {
        span class={ "badge " (word) } title=(words::health_meaning(health)) {
            span aria-hidden="true" { (words::shape(health)) } " " (word)
        }
    }
}

/// An outcome as shape and word.
pub(super) fn outcome(outcome: &Outcome) -> Markup {
    let word = outcome.word();
    html! {
        span class={ "badge " (word) } { span aria-hidden="true" { (words::outcome_shape(outcome)) } " " (word) }
    }
}

/// An outcome with what there is to say of it.
pub(super) fn outcome_in_full(of: &Outcome) -> Markup {
    html! { (outcome(of)) @if let Some(detail) = words::outcome_detail(of) { " " bdi { (detail) } } }
}

/// Outcomes side by side, the oldest first. Each is a link to its job.
pub(super) fn strip(verdicts: &[Verdict]) -> Markup {
    html! {
        @if verdicts.is_empty() { span.strip.quiet { "no job yet" } } @else {
            span.strip {
                @for verdict in verdicts {
                    a class=(verdict.outcome.word()) href={ "/jobs/" (verdict.job) }
                        title={ (verdict.outcome.word()) ", " (verdict.at.strftime("%Y-%m-%d %H:%M UTC")) }
                        aria-label={ (verdict.outcome.word()) " " (verdict.at.strftime("%Y-%m-%d %H:%M UTC")) } {
                        (words::outcome_shape(&verdict.outcome))
                    }
                }
            }
        }
    }
}

/// Since when a machine is how it is, in one line.
pub(super) fn since(cell: &Cell) -> Markup {
    html! {
        @match cell.since {
            None => (words::unproved(cell.health)),
            // Also one that is left alone because of what others did with it.
            Some(since) if cell.passed_at >= Some(since) => {
                "deploys since " (time(since)) (in_a_row(cell.streak))
            },
            Some(since) => {
                "fails since " (time(since)) (in_a_row(cell.streak)) "; "
                @match cell.passed_at {
                    Some(passed) => { "deployed last " (time(passed)) },
                    None => "never deployed",
                }
            },
        }
    }
}

/// What once is not.
fn in_a_row(streak: u32) -> Markup {
    html! { @if streak > 1 { ", " (streak) " in a row" } }
}

/// How far a cycle is: its word, and a bar while it runs.
pub(super) fn cycle_state(cycle: &CycleSummary) -> Markup {
    let word = words::cycle_word(&cycle.state);
    html! {
        span class={ "badge cycle-" (word) } { (word) }
        @match &cycle.state {
            CycleState::Planning => {},
            CycleState::Running => { " " (progress(cycle)) },
            CycleState::Finished { duration, .. } => { " in " (words::span(*duration)) },
            CycleState::Failed { cause, message, attempts, .. } => {
                " " bdi { (cause) ": " (message) } " after " (attempts) " attempts"
            },
            CycleState::Missed { cause, .. } => { ": " (words::missed(*cause)) },
        }
    }
}

/// How many machines of a running cycle have their outcome.
fn progress(cycle: &CycleSummary) -> Markup {
    let all = cycle.deploy.unwrap_or(0);
    let done = all.saturating_sub(cycle.open);
    html! {
        progress max=(all.max(1)) value=(done) { (done) " of " (all) }
        " " (done) " of " (all) " jobs are over"
    }
}

/// How many machines ended how.
pub(super) fn counts(cycle: &CycleSummary) -> Markup {
    html! {
        @if cycle.counts.outcomes.is_empty() { "–" } @else {
            @for (number, (word, count)) in cycle.counts.outcomes.iter().enumerate() {
                @if number > 0 { ", " }
                (count) " " (if *word == "skipped" { "left alone" } else { word })
            }
        }
    }
}

/// Cycles as a table, with the rack when they are of several.
pub(super) fn cycles(cycles: &[CycleSummary]) -> Markup {
    let row = |cycle: &CycleSummary| {
        [
            cycle_link(cycle.cycle, cycle.at),
            html! { bdi { (words::origin(cycle.origin.as_ref())) } },
            cycle_state(cycle),
            counts(cycle),
        ]
    };
    html! {
        @if cycles.is_empty() { p.quiet { "none yet" } } @else {
            (table(&["begun", "started by", "state", "machines"], cycles.iter().map(row)))
        }
    }
}

/// A link to the rest of a list.
pub(super) fn older(here: &str, next: Option<impl std::fmt::Display>) -> Markup {
    let joint = if here.contains('?') { '&' } else { '?' };
    html! {
        @if let Some(next) = next {
            p { a rel="next" href={ (here) (joint) "after=" (next) } { "older ones" } }
        }
    }
}
