//! What happens, as it happens.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use model::action::Deed;
use model::event::Fact;
use model::name::{MachineName, RackName};
use rusqlite::Result;
use serde::Deserialize;

use super::super::asked::{Asked, bad, repeated};
use super::super::site::{Client, Moment, Site};
use super::Page;
use super::parts::{in_address, job_link, machine_link, older, rack_link, time};
use super::table::sentences;
use crate::views::{Cursor, EventFilter, EventView};

/// How many events one page has.
const EVENTS: usize = 100;

/// Which events are wanted, as the form says it: what is empty is not asked for.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in super::super) struct Filter {
    #[serde(default)]
    rack: String,
    #[serde(default)]
    machine: String,
    #[serde(default)]
    kind: String,
    after: Option<Cursor>,
}

pub(in super::super) async fn answer(
    State(site): State<Site>,
    client: Client,
    Asked(form): Asked<Filter>,
) -> Response {
    match form.filter() {
        Ok(filter) => {
            site.page(client, move |moment| page(moment, &form, &filter).map(Some))
                .await
        }
        Err(why) => bad(why).into_response(),
    }
}

impl Filter {
    fn filter(&self) -> std::result::Result<EventFilter, String> {
        let set = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let rack = set(&self.rack).map(RackName::new).transpose();
        let machine = set(&self.machine).map(MachineName::new).transpose();
        let kind = set(&self.kind);
        if let Some(kind) = kind
            .as_ref()
            .filter(|kind| kinds().all(|known| known != *kind))
        {
            let known: Vec<_> = kinds().collect();
            return Err(format!(
                "`kind`: {} is none of {}",
                repeated(kind),
                known.join(", ")
            ));
        }
        Ok(EventFilter {
            rack: rack.map_err(|why| why.to_string())?,
            machine: machine.map_err(|why| why.to_string())?,
            cycle: None,
            kind,
        })
    }

    /// The address of this page without its place in the list.
    fn address(&self) -> String {
        format!(
            "/now?rack={}&machine={}&kind={}",
            in_address(&self.rack),
            in_address(&self.machine),
            in_address(&self.kind)
        )
    }
}

fn page(moment: &Moment, form: &Filter, filter: &EventFilter) -> Result<Page> {
    let events = moment.reading.events(filter, form.after, EVENTS)?;
    let list = html! { (table(&events.page.items)) (older(&form.address(), events.page.next)) };
    Ok(Page::new("Now")
        .at("/now")
        .part("find", find(form))
        .part("events", list))
}

fn find(form: &Filter) -> Markup {
    html! {
        form.find method="get" action="/now" role="search" {
            label for="rack" { "Rack" } input #rack name="rack" value=(form.rack) size="12";
            label for="machine" { "Machine" } input #machine name="machine" value=(form.machine) size="20";
            label for="kind" { "Kind" }
            select #kind name="kind" {
                option value="" selected[form.kind.is_empty()] { "any" }
                @for kind in kinds() { option value=(kind) selected[form.kind == kind] { (kind) } }
            }
            button { "Show" }
        }
    }
}

/// The kinds that events are of.
fn kinds() -> impl Iterator<Item = &'static str> {
    Fact::KINDS.into_iter().chain(Deed::KINDS)
}

/// Events as a table.
pub(super) fn table(events: &[EventView]) -> Markup {
    let row = |event: &EventView| {
        [
            time(event.at),
            html! { @match event.cycle {
                Some(cycle) => a href={ "/cycles/" (cycle) } { (event.kind) },
                None => (event.kind),
            } },
            rack_link(&event.rack),
            html! { @if let Some(machine) = &event.machine { (machine_link(machine)) } },
            html! {
                @match (&event.word, event.job) {
                    (Some(word), Some(job)) => (job_link(job, html! { bdi { (word) } })),
                    (None, Some(job)) => (job_link(job, html! { "job" })),
                    (Some(word), None) => bdi { (word) },
                    (None, None) => {},
                }
                @if let Some(by) = &event.by { " " (who_and_why(by, event.why.as_deref())) }
            },
        ]
    };
    html! {
        @if events.is_empty() { p.quiet { "no events" } } @else {
            (sentences(&["time", "event", "rack", "machine", "what"], events.iter().map(row)))
        }
    }
}

/// Who did something, and why if they said.
pub(super) fn who_and_why(by: &str, why: Option<&str>) -> Markup {
    html! {
        "by " bdi { (by) }
        @if let Some(why) = why.filter(|why| !why.is_empty()) { ": " bdi { (why) } }
    }
}
