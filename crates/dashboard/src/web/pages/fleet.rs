//! The front page: which machines deploy, since when, what goes on, what comes next, and who was left alone.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use model::name::{MachineName, RackName};
use model::outcome::SkipReason;
use rusqlite::Result;
use serde::Deserialize;

use super::super::asked::{Asked, bad, repeated};
use super::super::site::{Client, Moment, Site};
use super::parts::{
    cycle_link, cycle_state, health, job_link, machine_link, outcome_in_full, rack_link, since,
    time,
};
use super::table::table;
use super::{Page, decisions, system};
use crate::history::standing::Health;
use crate::views::{Cell, Fleet, RackCard, Totals};
use crate::words;

/// How many of the machines that do not deploy are listed at the top; the cells show all.
const LISTED: usize = 30;

/// How many of the machines that were left alone for the same reason are named at the top.
const NAMED: usize = 12;

/// Which machines are wanted. Nothing means all.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in super::super) struct Filter {
    /// A part of the machine's or the rack's name, or of the code why it was left alone.
    #[serde(default)]
    q: String,
    /// A health by its word, `deploying`, or `left_alone`.
    #[serde(default)]
    state: String,
}

/// What can be chosen beside a health.
const DEPLOYING: &str = "deploying";
const LEFT_ALONE: &str = "left_alone";

pub(in super::super) async fn answer(
    State(site): State<Site>,
    client: Client,
    Asked(filter): Asked<Filter>,
) -> Response {
    if !filter.is_sensible() {
        let known: Vec<_> = states().collect();
        let (state, known) = (repeated(&filter.state), known.join(", "));
        return bad(format!("`state`: {state} is none of {known}")).into_response();
    }
    site.page(client, move |moment| page(moment, &filter).map(Some))
        .await
}

/// What may be asked for.
fn states() -> impl Iterator<Item = &'static str> {
    let healths = Health::ALL.map(Health::as_str).into_iter();
    healths.chain([DEPLOYING, LEFT_ALONE])
}

fn page(moment: &Moment, filter: &Filter) -> Result<Page> {
    let mut fleet = moment.reading.fleet()?;
    if filter.is_set() {
        for rack in &mut fleet.racks {
            rack.cells
                .retain(|cell| filter.lets_through(rack.rack.as_str(), cell));
        }
        fleet.racks.retain(|rack| !rack.cells.is_empty());
    }
    let failing = fleet
        .totals
        .health
        .iter()
        .filter(|(health, _)| health.fails());
    let mut page = Page::new("Fleet")
        .at("/")
        .failing(failing.map(|(_, count)| count).sum())
        .part("totals", totals(moment, &fleet, filter));
    if filter.is_set() || !fleet.racks.is_empty() {
        page = page.part("find", find(filter));
    }
    let silent = match filter.is_set() {
        true => Vec::new(),
        false => silent(moment, &fleet),
    };
    if fleet.racks.is_empty() && silent.is_empty() {
        let empty = match filter.is_set() {
            true => html! { p { "No machine is like that. " a href="/" { "Show all" } } },
            false if !moment.schedules.is_read => {
                html! { p.quiet { "the racks were not read yet" } }
            }
            false => html! {
                p { "There is no rack yet. " code { "racktick rack add <MAAS tag> --every 6h" } " adds one, and "
                    code { "racktick tick <MAAS tag>" } " deploys its machines at once." }
            },
        };
        return Ok(page.part("none", empty));
    }
    page = page
        .part("attention", attention(&fleet))
        .part("left-alone", left_alone(&fleet));
    for rack in fleet.racks.iter().chain(&silent) {
        let id = format!("rack-{}", rack.rack);
        page = page.part(&id, card(moment, rack));
    }
    Ok(page)
}

/// The racks that have a schedule and did not tick yet.
fn silent(moment: &Moment, fleet: &Fleet) -> Vec<RackCard> {
    let is_told = |rack: &RackName| fleet.racks.iter().any(|card| card.rack == *rack);
    let silent = moment.schedules.racks.keys().filter(|rack| !is_told(rack));
    let card = |rack: &RackName| RackCard {
        rack: rack.clone(),
        running: Vec::new(),
        last: None,
        cells: Vec::new(),
    };
    silent.map(card).collect()
}

impl Filter {
    fn is_set(&self) -> bool {
        !self.q.is_empty() || !self.state.is_empty()
    }

    fn is_sensible(&self) -> bool {
        self.state.is_empty() || states().any(|state| state == self.state)
    }

    fn lets_through(&self, rack: &str, cell: &Cell) -> bool {
        let skip = cell.decision.skip.as_ref();
        let state = match self.state.as_str() {
            "" => true,
            DEPLOYING => cell.job.is_some(),
            LEFT_ALONE => skip.is_some(),
            word => cell.health.as_str() == word,
        };
        let q = self.q.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&q);
        state
            && (has(cell.machine.as_str())
                || has(rack)
                || skip.is_some_and(|skip| has(skip.reason.as_str())))
    }
}

fn totals(moment: &Moment, fleet: &Fleet, filter: &Filter) -> Markup {
    let Totals {
        racks,
        machines,
        health,
        deploying,
        cycles,
    } = &fleet.totals;
    let left_alone = fleet
        .racks
        .iter()
        .flat_map(|rack| &rack.cells)
        .filter(|cell| cell.decision.skip.is_some());
    let chosen = |state: &str| (filter.state == state).then_some("true");
    html! {
        @if *machines > 0 { p.totals {
            (words::count(*machines, "machine")) " in " (words::count(*racks, "rack")) ": "
            @for state in Health::ALL {
                @if let Some(count) = health.get(&state) {
                    a class={ "badge " (state.as_str()) } href={ "/?state=" (state.as_str()) }
                        aria-current=[chosen(state.as_str())] title=(words::health_meaning(state)) {
                        span aria-hidden="true" { (words::shape(state)) } " " (count) " " (state.as_str())
                    }
                    " "
                }
            }
            a.badge.deploying href={ "/?state=" (DEPLOYING) } aria-current=[chosen(DEPLOYING)] {
                span aria-hidden="true" { "▶" } " " (deploying) " deploying now"
            }
            " "
            a.badge.skipped href={ "/?state=" (LEFT_ALONE) } aria-current=[chosen(LEFT_ALONE)] {
                span aria-hidden="true" { "–" } " " (left_alone.count()) " left alone"
            }
            " · " (words::count(*cycles, "cycle")) " running"
        } }
        p.quiet {
            @match fleet.as_of.newest_event {
                Some(at) => { "newest event " (time(at)) },
                None => "no event yet",
            }
        }
        (trouble(moment))
    }
}

/// What is wrong with racktick itself, and where there is more about it.
fn trouble(moment: &Moment) -> Markup {
    let broker = moment.broker;
    let missing = system::missing(broker);
    html! {
        @if !missing.is_empty() || broker.dead_letters > 0 {
            p {
                @for role in missing { a.badge.failed href="/system#roles" { "✖ no " (role) " answers" } " " }
                @if broker.dead_letters > 0 {
                    a.badge.failed href="/system#dead" { "✖ " (words::count(system::dead_letters(broker), "dead letter")) }
                }
            }
        }
    }
}

fn find(filter: &Filter) -> Markup {
    html! {
        form.find method="get" action="/" role="search" {
            label for="q" { "Find" }
            input #q type="search" name="q" value=(filter.q) placeholder="machine, rack or reason";
            label for="state" { "State" }
            select #state name="state" {
                option value="" selected[filter.state.is_empty()] { "any" }
                @for state in states() {
                    option value=(state) selected[filter.state == state] { (state.replace('_', " ")) }
                }
            }
            button { "Show" }
            @if filter.is_set() { a href="/" { "Show all" } }
        }
    }
}

/// The machines that were left alone, by reason, the first rule that objects first.
fn left_alone(fleet: &Fleet) -> Markup {
    let mut reasons: BTreeMap<SkipReason, BTreeSet<&MachineName>> = BTreeMap::new();
    for cell in fleet.racks.iter().flat_map(|rack| &rack.cells) {
        if let Some(skip) = &cell.decision.skip {
            reasons
                .entry(skip.reason)
                .or_default()
                .insert(&cell.machine);
        }
    }
    let row = |(reason, machines): (&SkipReason, &BTreeSet<&MachineName>)| {
        let more = machines.len().saturating_sub(NAMED);
        [
            html! { code { (reason) } },
            html! { (reason.meaning()) },
            html! { span.names {
                @for (number, machine) in machines.iter().take(NAMED).enumerate() {
                    @if number > 0 { " " }
                    span { (machine_link(machine)) @if number + 1 < machines.len() { "," } }
                }
                @if more > 0 { " " a href={ "/?q=" (reason) } { "and " (more) " more" } }
            } },
        ]
    };
    let all: usize = reasons.values().map(BTreeSet::len).sum();
    html! {
        @if all > 0 {
            h2 { (words::count(all, "machine")) " left alone by the last cycle" }
            (table(&["reason", "meaning", "machines"], reasons.iter().map(row)))
        }
    }
}

/// The machines that do not deploy, with what failed.
fn attention(fleet: &Fleet) -> Markup {
    let mut bad: Vec<&Cell> = fleet
        .racks
        .iter()
        .flat_map(|rack| &rack.cells)
        .filter(|cell| cell.health.fails())
        .collect();
    bad.sort_by_key(|cell| (cell.health, cell.since, &cell.machine));
    bad.dedup_by_key(|cell| &cell.machine);
    let more = bad.len().saturating_sub(LISTED);
    let row = |cell: &&Cell| {
        let last = match (&cell.last, &cell.decision.skip) {
            (Some(last), _) => job_link(last.job, outcome_in_full(&last.outcome)),
            (None, Some(skip)) => decisions::left_alone(skip),
            (None, None) => html! {},
        };
        [
            machine_link(&cell.machine),
            health(cell.health),
            since(cell),
            last,
        ]
    };
    html! {
        @if !bad.is_empty() {
            h2 { (bad.len()) @if bad.len() == 1 { " machine does not deploy" } @else { " machines do not deploy" } }
            (table(&["machine", "health", "since", "last job"], bad.iter().take(LISTED).map(row)))
            @if more > 0 { p.quiet { "and " (more) " more below" } }
        }
    }
}

fn card(moment: &Moment, card: &RackCard) -> Markup {
    let record = moment.schedules.racks.get(&card.rack);
    html! {
        h2 { "Rack " (rack_link(&card.rack)) }
        p {
            @match (record.map(|record| &record.paused), moment.schedules.next_slot(&card.rack, moment.now())) {
                (Some(Some(pause)), _) => {
                    span.badge.paused { "paused" } " by " bdi { (pause.by) } " since " (time(pause.at))
                    @if !pause.why.is_empty() { ": " bdi { (pause.why) } }
                },
                (Some(None), Some(slot)) => { "next slot " (time(slot)) },
                (Some(None), None) => "no slot comes any more",
                (None, _) if !moment.schedules.is_read => "its schedule was not read yet",
                (None, _) => "ticked by hand only: it has no schedule",
            }
        }
        @for cycle in &card.running {
            p { "cycle of " (cycle_link(cycle.cycle, cycle.at)) " " (cycle_state(cycle)) }
        }
        @if let (true, Some(last)) = (card.running.is_empty(), &card.last) {
            p { "last cycle " (cycle_link(last.cycle, last.at)) " " (cycle_state(last)) }
        }
        @if card.last.is_none() {
            p.quiet { "It has not ticked yet. " code { "racktick tick " bdi { (card.rack) } } " ticks it now." }
        }
        ul.cells { @for cell in &card.cells { li { (self::cell(cell)) } } }
    }
}

/// A machine as a link: its shape, its name, and in words what is not as it should be.
fn cell(cell: &Cell) -> Markup {
    let skip = cell.decision.skip.as_ref();
    html! {
        a class={ "cell " (cell.health.as_str()) }
            href={ "/machines/" (super::parts::in_address(cell.machine.as_str())) } {
            span aria-hidden="true" { (words::shape(cell.health)) } " "
            bdi.name { (cell.machine) }
            @if cell.health == Health::Ok { span.hidden { " ok" } } @else { " " span.word { (cell.health.as_str()) } }
            @if let Some(job) = &cell.job {
                " " span.now { "▶ " (job.state.as_deref().unwrap_or("submitted")) @if job.overdue { ", overdue" } }
            }
            @if let Some(skip) = skip { " " span.skip title=(words::skip_words(skip)) { "– " (skip.reason) } }
        }
    }
}
