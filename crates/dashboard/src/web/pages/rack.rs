//! One rack.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use model::name::RackName;
use rusqlite::Result;
use serde::Deserialize;

use super::super::asked::{Asked, Named};
use super::super::site::{Client, Moment, Site};
use super::decisions::left_alone;
use super::now::who_and_why;
use super::parts::{
    cycle_link, cycle_state, cycles, health, in_address, machine_link, maybe_time, older, since,
    strip, time,
};
use super::table::table;
use super::{Page, action};
use crate::views::{ACTIONS, ActionView, Cursor, RackMachine, RackView};

/// How many cycles a page of older ones has.
const CYCLES: usize = 50;

/// From where on a list is wanted.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in super::super) struct After {
    pub(super) after: Option<Cursor>,
}

pub(in super::super) async fn answer(
    State(site): State<Site>,
    client: Client,
    Named(rack): Named<RackName>,
    Asked(After { after }): Asked<After>,
) -> Response {
    site.page(client, move |moment| page(moment, &rack, after))
        .await
}

fn page(moment: &Moment, rack: &RackName, after: Option<Cursor>) -> Result<Option<Page>> {
    let here = format!("/racks/{}", in_address(rack.as_str()));
    let page = Page::new(format!("Rack {rack}"));
    if let Some(after) = after {
        let found = moment.reading.cycles(Some(rack), Some(after), CYCLES)?;
        let list = html! { (cycles(&found.items)) (older(&here, found.next)) };
        return Ok(Some(page.section("cycles", "Older cycles", list)));
    }
    let view = moment.reading.rack(rack)?;
    let record = moment.schedules.racks.contains_key(rack);
    let done = moment.reading.actions(rack, ACTIONS)?;
    if view.is_none() && !record && done.is_empty() {
        return Ok(None);
    }
    let page = page
        .part("schedule", schedule(moment, rack))
        .part("actions", actions(moment, rack, &here));
    let page = match done.is_empty() {
        true => page,
        false => page.section("done", "What people did", actions_done(&done)),
    };
    let Some(view) = view else {
        let none = html! { p { "It has not ticked yet." } };
        return Ok(Some(page.section("machines", "Machines", none)));
    };
    let list = html! {
        (cycles(&view.cycles.items))
        (older(&here, view.cycles.next))
        p { a href={ "/api/v1/verdicts.csv?rack=" (in_address(rack.as_str())) } download { "All verdicts as CSV" } }
    };
    Ok(Some(
        page.part("running", running(&view))
            .section("machines", "Machines", machines(&view))
            .section("cycles", "Cycles", list),
    ))
}

fn schedule(moment: &Moment, rack: &RackName) -> Markup {
    let Some(record) = moment.schedules.racks.get(rack) else {
        if !moment.schedules.is_read {
            return html! { p.quiet { "its schedule was not read yet" } };
        }
        return html! {
            p {
                "It has no schedule: it is ticked by hand only. "
                code { "racktick rack add " bdi { (rack) } } " gives it one."
            }
        };
    };
    let changes = record.policy.clone();
    let changes = serde_json::to_value(changes).ok();
    let changes = changes
        .as_ref()
        .and_then(|changes| changes.as_object())
        .filter(|changes| !changes.is_empty());
    html! {
        dl {
            dt { "Schedule" } dd { (record.schedule) }
            dt { "Next slot" } dd { (maybe_time(moment.schedules.next_slot(rack, moment.now()))) }
            @if let Some(pause) = &record.paused {
                dt { "Paused" }
                dd {
                    span.badge.paused { "paused" } " by " bdi { (pause.by) } " since " (time(pause.at))
                    @if !pause.why.is_empty() { ": " bdi { (pause.why) } }
                }
            }
            dt { "Policy" }
            dd {
                @match changes {
                    None => "the default",
                    Some(changes) => {
                        "the default, but "
                        @for (number, (name, value)) in changes.iter().enumerate() {
                            @if number > 0 { ", " }
                            code { (name) " = " (value) }
                        }
                    },
                }
            }
            dt { "Added" } dd { (time(record.added_at)) }
        }
    }
}

/// What people did to it.
fn actions_done(actions: &[ActionView]) -> Markup {
    html! {
        ul { @for action in actions {
            li {
                (time(action.at)) " " (action.what)
                @if let Some(letter) = action.letter { " dead letter " (letter) }
                " " (who_and_why(&action.by, Some(&action.why)))
            }
        } }
    }
}

/// What an operator may do with it.
fn actions(moment: &Moment, rack: &RackName, here: &str) -> Markup {
    let paused = moment
        .schedules
        .racks
        .get(rack)
        .map(|record| record.paused.is_some());
    html! {
        div.actions {
            (action(moment, &format!("{here}/tick"), "Tick now"))
            @match paused {
                Some(true) => (action(moment, &format!("{here}/resume"), "Resume")),
                Some(false) => (action(moment, &format!("{here}/pause"), "Pause schedule")),
                None => {},
            }
        }
    }
}

fn running(view: &RackView) -> Markup {
    html! {
        @for cycle in &view.running {
            p { "Running: cycle of " (cycle_link(cycle.cycle, cycle.at)) " " (cycle_state(cycle)) }
        }
    }
}

fn machines(view: &RackView) -> Markup {
    let row = |machine: &RackMachine| {
        let cell = &machine.cell;
        let decision = match (&cell.job, &cell.decision.skip) {
            (Some(job), _) => html! {
                a.badge.deploying href={ "/jobs/" (job.job) } { "▶ " (job.state.as_deref().unwrap_or("submitted")) }
            },
            (None, Some(skip)) => left_alone(skip),
            (None, None) => html! { "deploy" },
        };
        [
            machine_link(&cell.machine),
            health(cell.health),
            since(cell),
            strip(&machine.verdicts),
            decision,
        ]
    };
    table(
        &["machine", "health", "since", "last jobs", "last decision"],
        view.machines.iter().map(row),
    )
}
