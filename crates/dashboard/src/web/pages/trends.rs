//! How the fleet does over days.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::response::Response;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use model::name::RackName;
use rusqlite::Result;
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::site::{Client, Moment, Site};
use super::parts::{health, machine_link, rack_link, since};
use super::table::table;
use super::{Page, bad};
use crate::history::tally::{day, start_of};
use crate::history::time::{nanos, time};
use crate::views::{Cell, Day, Trends};

/// The spans that can be chosen, in days.
const SPANS: [u16; 4] = [7, 30, 90, 365];

/// How wide the column of a day is, and how high the chart.
const DAY: (usize, usize) = (10, 40);

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct Span {
    /// How many days.
    #[param(minimum = 1, maximum = 3650, default = 30)]
    #[serde(default = "Span::default_days")]
    days: u16,
}

impl Span {
    fn default_days() -> u16 {
        30
    }

    /// From when on: the beginning of a day in UTC, so that it says the same all day.
    pub(in super::super) fn from(&self, now: Timestamp) -> Timestamp {
        let span = SignedDuration::from_hours(i64::from(self.days) * 24);
        let from = now.checked_sub(span).unwrap_or(Timestamp::MIN);
        time(start_of(day(nanos(from))))
    }

    pub(in super::super) fn is_sensible(&self) -> bool {
        (1..=3650).contains(&self.days)
    }
}

pub(in super::super) async fn answer(
    State(site): State<Site>,
    client: Client,
    Query(span): Query<Span>,
) -> Response {
    if !span.is_sensible() {
        return bad("`days` is a number from 1 to 3650");
    }
    site.page(client, move |moment| page(moment, &span).map(Some))
        .await
}

fn page(moment: &Moment, span: &Span) -> Result<Page> {
    let trends = moment.reading.trends(span.from(moment.now()))?;
    Ok(Page::new("Trends")
        .at("/trends")
        .part("span", choice(span, trends.from))
        .section("racks", "Pass rate by rack and day", racks(&trends))
        .section("flaky", "Most flaky machines", flaky(&trends))
        .section("longest", "Longest without a deployment", longest(&trends)))
}

fn choice(span: &Span, from: Timestamp) -> Markup {
    html! {
        p { "The last "
            @for days in SPANS {
                a.badge href={ "/trends?days=" (days) } aria-current=[(days == span.days).then_some("true")] {
                    (days) " days"
                }
                " "
            }
            a href={ "/api/v1/verdicts.csv?since=" (from) } download { "Verdicts as CSV" }
        }
    }
}

/// How many of how many jobs passed.
#[derive(Clone, Copy, Default)]
struct Rate {
    passed: usize,
    all: usize,
}

impl Rate {
    /// What proves something about the machine counts: what was cancelled or lost does not.
    fn of(day: &Day) -> Self {
        let count = |word: &str| day.outcomes.get(word).copied().unwrap_or(0);
        Self {
            passed: count("passed"),
            all: count("passed") + count("failed"),
        }
    }

    fn with(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            all: self.all + other.all,
        }
    }

    fn percent(self) -> Option<usize> {
        (self.passed * 100).checked_div(self.all)
    }
}

fn racks(trends: &Trends) -> Markup {
    let mut racks: BTreeMap<&RackName, Vec<(Date, Rate)>> = BTreeMap::new();
    for day in &trends.days {
        racks
            .entry(&day.rack)
            .or_default()
            .push((day.day, Rate::of(day)));
    }
    html! {
        @if racks.is_empty() { p.quiet { "no job has ended in this time" } } @else {
            div.wide tabindex="0" { table {
                thead { tr { th { "rack" } th { "passed" } th { "by day" } } }
                tbody { @for (rack, days) in &racks {
                    @let whole = days.iter().fold(Rate::default(), |sum, (_, rate)| sum.with(*rate));
                    tr {
                        th scope="row" { (rack_link(rack)) }
                        td { @match whole.percent() {
                            Some(percent) => { (percent) " % of " (whole.all) },
                            None => "–",
                        } }
                        td { (chart(days)) }
                    }
                } }
            } }
        }
    }
}

/// A column per day: how much of it passed is filled.
fn chart(days: &[(Date, Rate)]) -> Markup {
    let (width, height) = DAY;
    html! {
        svg width=(days.len() * width) height=(height) role="img" aria-label="pass rate by day" {
            @for (number, (day, rate)) in days.iter().enumerate() {
                @if let Some(percent) = rate.percent() {
                    @let filled = height * percent / 100;
                    g {
                        title { (day) ": " (rate.passed) " of " (rate.all) " passed" }
                        rect class="bar failed" x=(number * width) width=(width - 2) height=(height) {}
                        rect class="bar passed" x=(number * width) y=(height - filled) width=(width - 2) height=(filled) {}
                    }
                }
            }
        }
    }
}

fn flaky(trends: &Trends) -> Markup {
    html! {
        @if trends.flaky.is_empty() { p.quiet { "none" } } @else {
            div.wide tabindex="0" { table {
                thead { tr { th { "machine" } th { "changes between passed and failed" } th { "jobs" } } }
                tbody { @for machine in &trends.flaky {
                    tr {
                        th scope="row" { (machine_link(&machine.machine)) }
                        td { (machine.changes) }
                        td { (machine.verdicts) }
                    }
                } }
            } }
        }
    }
}

fn longest(trends: &Trends) -> Markup {
    let row = |cell: &Cell| {
        [
            machine_link(&cell.machine),
            health(cell.health),
            since(cell),
        ]
    };
    html! {
        @if trends.longest_without_pass.is_empty() { p.quiet { "none" } } @else {
            (table(&["machine", "health", "since"], trends.longest_without_pass.iter().map(row)))
        }
    }
}
