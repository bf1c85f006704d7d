//! How the fleet does over days.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use rusqlite::Result;
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::asked::{Asked, bad};
use super::super::site::{Client, Moment, Site};
use super::Page;
use super::parts::{health, machine_link, maybe_time, rack_link, since, span};
use super::table::table;
use crate::history::standing::Health;
use crate::history::tally::{day, start_of};
use crate::history::time::{nanos, time};
use crate::views::{Cell, Day, Flaky, PhaseLength, Trends};

/// The spans that can be chosen, in days.
const SPANS: [u16; 4] = [7, 30, 90, 365];

/// How wide the column of a day is, and how high the chart.
const DAY: (i64, usize) = (10, 40);

/// How many of the slowest phases are shown.
const SLOWEST: usize = 20;

/// How long the bar of the slowest phase is, and how high a bar is.
const BAR: (f64, u32) = (160.0, 12);

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
    Asked(span): Asked<Span>,
) -> Response {
    if !span.is_sensible() {
        return bad("`days` is a number from 1 to 3650").into_response();
    }
    site.page(client, move |moment| page(moment, &span).map(Some))
        .await
}

fn page(moment: &Moment, span: &Span) -> Result<Page> {
    let trends = moment.reading.trends(span.from(moment.now()))?;
    Ok(Page::new("Trends")
        .at("/trends")
        .part("span", choice(span, trends.from))
        .section(
            "racks",
            "Pass rate by rack and day",
            rates(&trends, "rack", |day| &day.rack, rack_link),
        )
        .section(
            "distros",
            "Pass rate by distro and day",
            rates(
                &trends,
                "distro",
                |day| &day.distro,
                |distro| named(distro.as_deref()),
            ),
        )
        .section("phases", "Slowest phases", phases(&trends.phases, span))
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

/// A distro, as jobs name it.
fn named(distro: Option<&str>) -> Markup {
    html! { @match distro { Some(distro) => bdi { (distro) }, None => span.quiet { "not said" } } }
}

/// Pass rates of what a day is of, by day.
fn rates<'t, K: Ord + 't>(
    trends: &'t Trends,
    what: &str,
    of: impl Fn(&'t Day) -> &'t K,
    show: impl Fn(&K) -> Markup,
) -> Markup {
    let mut all: BTreeMap<&K, BTreeMap<Date, Rate>> = BTreeMap::new();
    for day in &trends.days {
        let days = all.entry(of(day)).or_default();
        let rate = days.entry(day.day).or_default();
        *rate = rate.with(Rate::of(day));
    }
    let days = || trends.days.iter().map(|day| day.day);
    let Some((first, last)) = days().min().zip(days().max()) else {
        return html! { p.quiet { "no job has ended in this time" } };
    };
    let row = |(of, days): (&&K, &BTreeMap<Date, Rate>)| {
        let whole = days
            .values()
            .fold(Rate::default(), |sum, rate| sum.with(*rate));
        [
            show(of),
            html! { @match whole.percent() {
                Some(percent) => { (percent) " % of " (whole.all) },
                None => "–",
            } },
            chart(days, first, last),
        ]
    };
    html! {
        p.quiet {
            "A column per day from " (first) " to " (last) " (UTC): as much of it as is filled has passed. A day without a \
             verdict is empty."
        }
        (table(&[what, "passed", "by day"], all.iter().map(row)))
    }
}

/// A column per day, all from the same day to the same day: how much of it passed is filled.
fn chart(days: &BTreeMap<Date, Rate>, first: Date, last: Date) -> Markup {
    let (width, height) = DAY;
    let place = |day: Date| width * day.duration_since(first).as_hours() / 24;
    let whole = place(last) + width;
    html! {
        svg.days width=(whole) height=(height) viewBox={ "0 0 " (whole) " " (height) } preserveAspectRatio="none"
            role="img" aria-label="pass rate by day" {
            @for (day, rate) in days {
                @if let Some(percent) = rate.percent() {
                    @let filled = height * percent / 100;
                    g {
                        title { (day) ": " (rate.passed) " of " (rate.all) " passed" }
                        rect class="bar rest" x=(place(*day)) width=(width - 2) height=(height) {}
                        rect class="bar" x=(place(*day)) y=(height - filled) width=(width - 2) height=(filled) {}
                    }
                }
            }
        }
    }
}

fn phases(phases: &[PhaseLength], asked: &Span) -> Markup {
    let shown = &phases[..phases.len().min(SLOWEST)];
    let longest = shown
        .iter()
        .map(|phase| phase.p95)
        .max()
        .unwrap_or_default();
    let row = |phase: &PhaseLength| {
        [
            rack_link(&phase.rack),
            named(phase.distro.as_deref()),
            html! { (phase.phase) },
            html! { (phase.jobs) },
            html! { (span(Some(phase.median))) },
            html! { (span(Some(phase.p95))) },
            bar(phase, longest),
        ]
    };
    html! {
        @if phases.is_empty() { p.quiet { "no phase was seen in this time" } } @else {
            p.quiet {
                "Of jobs that passed or failed. Half of them took at most the median, to which the bar is thick, and 95 of \
                 100 at most what its line reaches to."
            }
            (table(&["rack", "distro", "phase", "jobs", "median", "95 of 100", "compared"], shown.iter().map(row)))
            @if phases.len() > shown.len() {
                p.quiet { "The slowest " (shown.len()) " of " (phases.len()) "; all are in " a href={ "/api/v1/trends?days=" (asked.days) } { "the API" } "." }
            }
        }
    }
}

/// Filled to the median, and a line to what 95 of 100 do not exceed.
fn bar(phase: &PhaseLength, longest: Duration) -> Markup {
    let (most, height) = BAR;
    let long = |length: Duration| match longest.is_zero() {
        true => "0".to_owned(),
        false => format!("{:.1}", most * length.as_secs_f64() / longest.as_secs_f64()),
    };
    html! {
        svg width=(most) height=(height) aria-hidden="true" {
            rect.bar y=(height / 2 - 1) width=(long(phase.p95)) height="2" {}
            rect.bar width=(long(phase.median)) height=(height) rx="2" {}
        }
    }
}

fn flaky(trends: &Trends) -> Markup {
    let row = |machine: &Flaky| {
        [
            machine_link(&machine.machine),
            html! { (machine.changes) },
            html! { (machine.verdicts) },
        ]
    };
    html! {
        @if trends.flaky.is_empty() { p.quiet { "none" } } @else {
            p.quiet { "How often each changed between passed and failed, and in how many jobs." }
            (table(&["machine", "changes", "jobs"], trends.flaky.iter().map(row)))
        }
    }
}

fn longest(trends: &Trends) -> Markup {
    let row = |cell: &Cell| {
        [
            machine_link(&cell.machine),
            health(cell.health),
            match cell.health {
                Health::Stale => html! { "deployed last " (maybe_time(cell.passed_at)) },
                _ => since(cell),
            },
        ]
    };
    html! {
        @if trends.longest_without_pass.is_empty() { p.quiet { "none" } } @else {
            (table(&["machine", "health", "since"], trends.longest_without_pass.iter().map(row)))
        }
    }
}
