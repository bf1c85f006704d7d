//! One cycle.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use model::id::CycleId;
use rusqlite::Result;

use super::super::asked::Named;
use super::super::site::{Client, Moment, Site};
use super::Page;
use super::decisions::of_cycle;
use super::now::who_and_why;
use super::parts::{counts, cycle_state, maybe_time, rack_link, time};
use super::table::table;
use crate::views::{CycleView, EventView};
use crate::words;

pub(in super::super) async fn answer(
    State(site): State<Site>,
    client: Client,
    Named(cycle): Named<CycleId>,
) -> Response {
    site.page(client, move |moment| page(moment, cycle)).await
}

fn page(moment: &Moment, cycle: CycleId) -> Result<Option<Page>> {
    Ok(moment.reading.cycle(cycle)?.map(|view| {
        let title = format!(
            "Cycle of {} at {}",
            view.cycle.rack,
            view.cycle.at.strftime("%Y-%m-%d %H:%M UTC")
        );
        Page::new(title)
            .part("summary", summary(&view))
            .section("decisions", "Machines", decisions(&view))
            .section("timeline", "Time line", timeline(&view))
    }))
}

fn summary(view: &CycleView) -> Markup {
    let cycle = &view.cycle;
    html! {
        dl {
            dt { "Rack" } dd { (rack_link(&cycle.rack)) }
            dt { "State" } dd { (cycle_state(cycle)) }
            @if let Some(waits) = words::waits_for(view) { dt { "Waits for" } dd { (waits) } }
            dt { "Started by" } dd { bdi { (words::origin(cycle.origin.as_ref())) } }
            dt { "Decided" } dd { (maybe_time(cycle.planned_at)) }
            @if let Some(deploy_by) = cycle.deploy_by { dt { "Submits until" } dd { (time(deploy_by)) } }
            dt { "Machines" } dd { (counts(cycle)) }
            @if !cycle.counts.reasons.is_empty() {
                dt { "Left alone" }
                dd { ul { @for (reason, count) in &cycle.counts.reasons {
                    li { (count) " " code { (reason) } " " (reason.meaning()) }
                } } }
            }
            dt { "Id" } dd { code { (cycle.cycle) } }
        }
    }
}

fn decisions(view: &CycleView) -> Markup {
    html! {
        @if view.unsubmitted > 0 {
            p.quiet { (view.unsubmitted) " machines to deploy are not listed yet: their jobs are not submitted." }
        }
        (of_cycle(view))
    }
}

fn timeline(view: &CycleView) -> Markup {
    html! {
        (table(&["time", "event", "what"], view.timeline.iter().map(event)))
        @for retry in &view.retries {
            p { "Attempt " (retry.attempt) " failed at " (time(retry.at)) ": " bdi { (retry.cause) ": " (retry.message) } }
        }
    }
}

/// Something that happened to the cycle itself.
fn event(event: &EventView) -> [Markup; 3] {
    [
        time(event.at),
        html! { (event.kind) },
        html! {
            @if let Some(word) = &event.word { bdi { (word) } }
            @if let Some(by) = &event.by { " " (who_and_why(by, event.why.as_deref())) }
        },
    ]
}
