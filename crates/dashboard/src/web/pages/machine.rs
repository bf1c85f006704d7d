//! One machine: how it is, why it was left alone, and what failed.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use model::name::MachineName;
use rusqlite::Result;

use super::super::asked::{Asked, Named};
use super::super::site::{Client, Moment, Site};
use super::Page;
use super::decisions;
use super::evidence;
use super::job::phases;
use super::parts::{
    cycle_link, health, in_address, job_link, maybe_time, older, outcome_in_full, rack_link, since,
    strip,
};
use super::rack::After;
use crate::history::standing::Health;
use crate::views::{Cursor, JobView, MachineView};
use crate::words;

/// How many decisions a page of older ones has.
const DECISIONS: usize = 50;

pub(in super::super) async fn answer(
    State(site): State<Site>,
    client: Client,
    Named(machine): Named<MachineName>,
    Asked(After { after }): Asked<After>,
) -> Response {
    site.page(client, move |moment| page(moment, &machine, after))
        .await
}

fn page(moment: &Moment, machine: &MachineName, after: Option<Cursor>) -> Result<Option<Page>> {
    let here = format!("/machines/{}", in_address(machine.as_str()));
    let page = Page::new(format!("Machine {machine}"));
    if let Some(after) = after {
        let found = moment
            .reading
            .decisions_about(machine, Some(after), DECISIONS)?;
        let list = html! { (decisions::of_machine(&found.items)) (older(&here, found.next)) };
        return Ok(Some(page.section("decisions", "Older decisions", list)));
    }
    let Some(view) = moment.reading.machine(machine)? else {
        return Ok(None);
    };
    let list = html! {
        (decisions::of_machine(&view.decisions.items)) (older(&here, view.decisions.next))
    };
    let mut page = page.part("summary", summary(moment, &view));
    if let Some(job) = &view.current {
        page = page.section("current", "The job it has now", current(job));
    }
    if let Some(failure) = &view.last_failure {
        page = page.section("failure", "Last failure", comparison(failure, &view));
        page = page.maybe_section(
            "evidence",
            "What it wrote last",
            evidence::evidence(moment, failure),
        );
    } else if let Some(pass) = &view.last_pass {
        page = page.section("pass", "Last good deployment", alone(pass));
    }
    Ok(Some(page.section("decisions", "Decisions", list)))
}

fn summary(moment: &Moment, view: &MachineView) -> Markup {
    let cell = &view.cell;
    html! {
        p.lead {
            (health(cell.health)) " " (words::health_meaning(cell.health))
            @if cell.since.is_some() || cell.health == Health::Quarantined { " It " (since(cell)) "." }
        }
        dl {
            dt { "Last decision" }
            dd {
                @match &cell.decision.skip {
                    None => "deploy.",
                    Some(skip) => (decisions::left_alone(skip)),
                }
                " In the cycle of " (cycle_link(cell.decision.cycle, cell.decision.at))
            }
            dt { "Last job" }
            dd { @match &cell.last {
                Some(last) => (job_link(last.job, outcome_in_full(&last.outcome))),
                None => "none yet",
            } }
            dt { "Deployed last" } dd { (maybe_time(cell.passed_at)) }
            dt { "Last jobs" } dd { (strip(&view.verdicts)) }
            dt { @if view.racks.len() == 1 { "Rack" } @else { "Racks" } }
            dd { @for rack in &view.racks { (rack_link(rack)) " " } }
            dt { "Elsewhere" }
            dd {
                @let name = in_address(cell.machine.as_str());
                a href={ (moment.testflinger) "agents/" (name) } { "its agent in Testflinger" }
                // Its page there has an id of MAAS's in its address, which no event tells; the list finds it by name.
                @if let Some(maas) = moment.maas { " · " a href={ (maas) "r/machines?hostname=%3D" (name) } { "MAAS" } }
            }
        }
    }
}

fn current(job: &JobView) -> Markup {
    html! {
        p { (job_link(job.job.job, decisions::state(&job.job))) " in the cycle of "
            a href={ "/cycles/" (job.job.cycle) } { (job.job.rack) } }
        (phases(&job.phases))
    }
}

/// The last failure beside the last good deployment.
fn comparison(failure: &JobView, view: &MachineView) -> Markup {
    html! {
        p { (job_link(failure.job.job, outcome_of(failure))) " at " (maybe_time(failure.job.outcome_at)) }
        div.beside {
            div { h3 { "It failed" } (phases(&failure.phases)) }
            div {
                @match &view.last_pass {
                    Some(pass) => {
                        h3 { "The last good deployment, " (maybe_time(pass.job.outcome_at)) }
                        (phases(&pass.phases))
                        p { (job_link(pass.job.job, html! { "that job" })) }
                    },
                    None => { h3 { "It never deployed" } p.quiet { "as far back as the history reaches" } },
                }
            }
        }
        (evidence::differences(&view.differences))
    }
}

fn alone(pass: &JobView) -> Markup {
    html! {
        p { (job_link(pass.job.job, outcome_of(pass))) " at " (maybe_time(pass.job.outcome_at)) }
        (phases(&pass.phases))
    }
}

fn outcome_of(job: &JobView) -> Markup {
    html! { @if let Some(outcome) = &job.job.outcome { (outcome_in_full(outcome)) } }
}
