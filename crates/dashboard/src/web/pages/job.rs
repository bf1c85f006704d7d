//! One job.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use model::id::JobId;
use rusqlite::Result;
use serde_json::Value;

use super::super::asked::Named;
use super::super::site::{Client, Moment, Site};
use super::parts::{machine_link, maybe_time, rack_link, span, time};
use super::{Page, action};
use super::{decisions, evidence};
use crate::views::{JobView, PhaseView};

/// How long the bar of the longest phase is, and how high a bar is.
const BAR: (f64, u32) = (160.0, 12);

pub(in super::super) async fn answer(
    State(site): State<Site>,
    client: Client,
    Named(job): Named<JobId>,
) -> Response {
    site.page(client, move |moment| page(moment, job)).await
}

fn page(moment: &Moment, job: JobId) -> Result<Option<Page>> {
    Ok(moment.reading.job(job)?.map(|view| {
        Page::new(format!("Job of {}", view.job.machine))
            .part("summary", summary(moment, &view))
            .part("actions", actions(moment, &view))
            .section("phases", "Phases", phases(&view.phases))
            .maybe_section("evidence", "Evidence", evidence::evidence(moment, &view))
            .section("looks", "Looks", looks(&view))
    }))
}

/// What an operator may do with it.
fn actions(moment: &Moment, view: &JobView) -> Markup {
    html! {
        @if view.job.outcome.is_none() && view.cancel.is_none() {
            (action(moment, &format!("/jobs/{}/cancel", view.job.job), "Cancel"))
        }
    }
}

fn summary(moment: &Moment, view: &JobView) -> Markup {
    let job = &view.job;
    html! {
        dl {
            dt { "State" } dd { (decisions::state(job)) }
            dt { "Machine" } dd { (machine_link(&job.machine)) }
            dt { "Rack" } dd { (rack_link(&job.rack)) }
            dt { "Cycle" } dd { a href={ "/cycles/" (job.cycle) } { (job.cycle) } }
            dt { "Submitted" } dd { (maybe_time(job.submitted_at)) }
            @match job.outcome_at {
                Some(at) => { dt { "Over" } dd { (time(at)) } },
                None => { dt { "Overdue" } dd { (maybe_time(job.deadline)) } },
            }
            @for (name, word) in [("Distro", &view.image.distro), ("Kernel", &view.image.kernel)] {
                @if let Some(word) = word { dt { (name) } dd { bdi { (word) } } }
            }
            @if let Some(cancel) = &view.cancel {
                dt { "Cancelled by" }
                dd { bdi { (cancel.by) } " at " (time(cancel.at)) @if !cancel.why.is_empty() { ": " bdi { (cancel.why) } } }
            }
            @if let Some(device) = view.device.as_ref().and_then(Value::as_object) {
                @for (name, value) in device.iter().filter(|(_, value)| !value.is_null()) {
                    dt { bdi { (name.replace('_', " ")) } }
                    dd { bdi { @match value { Value::String(text) => (text), other => (other) } } }
                }
            }
            dt { "Id" }
            dd {
                code { (job.job) }
                " " a href={ (moment.testflinger) "jobs/" (job.job) } { "in Testflinger" }
            }
        }
    }
}

/// Phases with how long they took, as a table with a bar each.
pub(super) fn phases(phases: &[PhaseView]) -> Markup {
    let longest = phases
        .iter()
        .filter_map(|phase| phase.lasted)
        .max()
        .unwrap_or_default();
    html! {
        @if phases.is_empty() { p.quiet { "no phase was seen" } } @else {
            div.wide tabindex="0" { table {
                thead { tr { th { "phase" } th { "result" } th colspan="2" { "took about" } } }
                tbody { @for phase in phases {
                    tr {
                        th scope="row" { (phase.phase) }
                        td { @match phase.status {
                            Some(0) => span.badge.passed { "● ok" },
                            Some(status) => span.badge.failed { "✖ exit status " (status) },
                            None => "–",
                        } }
                        td { (span(phase.lasted)) }
                        td { (bar(phase, longest)) }
                    }
                } }
            } }
        }
    }
}

fn bar(phase: &PhaseView, longest: Duration) -> Markup {
    let (most, height) = BAR;
    let share = match (phase.lasted, longest.is_zero()) {
        (Some(lasted), false) => lasted.as_secs_f64() / longest.as_secs_f64(),
        _ => 0.0,
    };
    let class = if phase.status.unwrap_or(0) == 0 {
        "bar"
    } else {
        "bar failed"
    };
    html! {
        svg.share width=(most) height=(height) viewBox={ "0 0 " (most) " " (height) } preserveAspectRatio="none" aria-hidden="true" {
            rect class=(class) width=(format!("{:.1}", most * share)) height=(height) rx="2" {}
        }
    }
}

fn looks(view: &JobView) -> Markup {
    html! {
        @if view.looks.is_empty() { p.quiet { "no look has seen a state yet" } } @else {
            ol { @for look in &view.looks { li { (time(look.at)) " " bdi { (look.state) } } } }
        }
    }
}
