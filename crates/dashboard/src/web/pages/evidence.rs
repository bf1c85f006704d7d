//! What is kept of a job that did not pass: where it failed, how, and the last lines that it wrote.

use maud::{Markup, html};
use model::evidence::{Evidence, Output};
use model::outcome::Phase;

use super::super::site::Moment;
use super::table::table;
use crate::evidence::{Found, last_lines, missing, plain};
use crate::views::{Difference, JobView};

/// How many lines are shown at once.
const LINES: usize = 15;

/// The evidence of a job, or why there is none.
pub(super) fn evidence(moment: &Moment, job: &JobView) -> Option<Markup> {
    let found = moment.evidence(job)?;
    Some(match (&found, missing(&found, job.job.outcome_at)) {
        (Found::Evidence(evidence), _) => logs(evidence, job),
        (_, missing) => html! { p.quiet { (missing.unwrap_or_default()) "." } },
    })
}

fn logs(evidence: &Evidence, job: &JobView) -> Markup {
    let status = |phase: Phase| {
        let mut phases = job.phases.iter();
        phases.find(|view| view.phase == phase)?.status
    };
    html! {
        @if evidence.output.is_empty() && evidence.serial.is_empty() {
            p.quiet { "No phase wrote anything that Testflinger still had." }
        }
        @for (phase, output) in &evidence.output {
            h3 { (phase) @if let Some(status) = status(*phase) { ", exit status " (status) } }
            (log(output, "Its last lines"))
        }
        @for (phase, output) in &evidence.serial {
            h3 { "Serial line during " (phase) }
            (log(output, "The last lines"))
        }
        p { a href={ "/api/v1/jobs/" (evidence.job) "/evidence" } { "All of it as JSON" } }
    }
}

/// The last lines, and all that is kept behind them.
fn log(output: &Output, name: &str) -> Markup {
    let text = plain(&output.end);
    let last = last_lines(&text, LINES);
    html! {
        pre.log tabindex="0" aria-label=(name) { (last) }
        @if last.len() < text.trim_end().len() {
            details {
                summary { "All that is kept" @if output.cut { ", which is the end" } }
                pre.log tabindex="0" aria-label="All that is kept" { (text) }
            }
        }
    }
}

/// A job that failed beside one that passed.
pub(super) fn differences(all: &[Difference]) -> Markup {
    let value = |value: &Option<String>| html! { bdi { (value.as_deref().unwrap_or("–")) } };
    let row = |row: &Difference| {
        [
            html! { bdi { (row.what) } },
            value(&row.failed),
            value(&row.passed),
            html! { @if row.differs { span.badge.suspect { "≠ differs" } } },
        ]
    };
    html! {
        @if !all.is_empty() {
            h3 { "What differs" }
            (table(&["what", "failed", "passed", "difference"], all.iter().map(row)))
        }
    }
}
