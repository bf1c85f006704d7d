//! What racktick stands on: its living roles, the broker, the work that waits in it, dead letters, slots to come, and this history.

use axum::extract::State;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use model::name::RackName;
use rusqlite::Result;

use super::super::site::{Client, Moment, Site};
use super::parts::{job_link, machine_link, maybe_time, rack_link, time};
use super::table::table;
use super::{Page, action, action_of};
use crate::broker::{BrokerView, DeadView, StreamView, WorkView};
use crate::claims::ClaimView;
use crate::living::RoleView;
use crate::tokens::Role;
use crate::words;

/// Slots are shown this far ahead: so far the scheduler arms them.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// How many slots are shown at most.
const SLOTS: usize = 50;

pub(in super::super) async fn answer(State(site): State<Site>, client: Client) -> Response {
    site.page(client, |moment| page(moment).map(Some)).await
}

fn page(moment: &Moment) -> Result<Page> {
    let broker = moment.broker;
    let page = Page::new("System").at("/system");
    let page = match broker.at {
        None => page.section(
            "work",
            "Work",
            html! { p.quiet { "the broker was not asked yet" } },
        ),
        Some(_) => page
            .section("roles", "Roles", roles(broker))
            .section("work", "Work", work(broker))
            .section("claims", "Claims", claims(moment))
            .section("dead", "Dead letters", dead(moment))
            .section("broker", "Broker", streams(broker)),
    };
    Ok(page
        .section("slots", "Slots of the next 24 hours", slots(moment))
        .section("history", "History", history(moment)?))
}

/// Without one of these nothing goes on.
const NEEDED: [&str; 2] = ["scheduler", "worker"];

/// Which of them do not answer, as far as the broker lets the dashboard ask.
pub(super) fn missing(broker: &BrokerView) -> Vec<&'static str> {
    let roles = broker.roles.iter();
    let is_missing = |roles: &Vec<RoleView>, needed| roles.iter().all(|role| role.role != needed);
    let missing = |roles| {
        NEEDED
            .into_iter()
            .filter(move |needed| is_missing(roles, *needed))
    };
    roles.flat_map(missing).collect()
}

fn roles(broker: &BrokerView) -> Markup {
    let Some(roles) = &broker.roles else {
        return html! { p.quiet { "the broker does not let this dashboard ask who is alive: "
        code { "racktick setup --credentials" } " has the permissions of this version" } };
    };
    let row = |role: &RoleView| {
        [
            html! { bdi { (role.role) } },
            html! { bdi { (role.host.as_deref().unwrap_or("–")) } },
            html! { bdi { (role.name.as_deref().unwrap_or("–")) } },
            html! { bdi { (role.version) } },
            time(role.since),
            time(role.heard_at),
        ]
    };
    html! {
        @for needed in missing(broker) {
            p { span.badge.failed { "✖ no " (needed) " answers" } }
        }
        (table(&["role", "host", "name", "version", "since", "last heard"], roles.iter().map(row)))
    }
}

fn work(broker: &BrokerView) -> Markup {
    let row = |work: &WorkView| {
        let is_left = work.takers == 0 && work.at_work == 0;
        [
            html! { (work.kind) },
            html! { (work.waiting) },
            html! { (work.at_work) },
            html! { (work.again) },
            maybe_time(work.oldest),
            html! {
                @match (is_left, work.waiting) {
                    (false, _) => {},
                    (true, 0) => span.badge.lost { "▲ no worker asks for any" },
                    (true, _) => span.badge.failed { "✖ nobody takes them: does a worker run?" },
                }
                (not_in_step(&work.lacking))
            },
        ]
    };
    table(
        &[
            "kind",
            "waiting",
            "at work",
            "tried again",
            "oldest since",
            "remark",
        ],
        broker.work.iter().map(row),
    )
}

/// How many claims are shown: those that should be over soonest.
const CLAIMS: usize = 50;

fn claims(moment: &Moment) -> Markup {
    let now = moment.now();
    let claims = moment.claims();
    let Some(count) = claims.count() else {
        return html! { p.quiet { "the records of machines were not read yet" } };
    };
    let late = claims.late(now);
    let row = |claim: &ClaimView| {
        [
            machine_link(&claim.machine),
            rack_link(&claim.rack),
            job_link(claim.job, html! { (claim.state) }),
            maybe_time(claim.since),
            time(claim.until),
            html! { @match (&claim.by, claim.until < now) {
                (Some(by), true) => span.badge.lost { "▲ " bdi { (by) } " did not go on with it: does it run?" },
                (Some(by), false) => { "by " bdi { (by) } },
                (None, true) => span.badge.lost { "▲ its job is overdue" },
                (None, false) => {}
            } },
        ]
    };
    html! {
        p {
            (count) @if count == 1 { " machine is" } @else { " machines are" } " claimed by a job."
            @if late > 0 { " " span.badge.lost { "▲ " (late) " for longer than it should be" } }
        }
        @if count > 0 { (table(&["machine", "rack", "job", "since", "until", "remark"], claims.first(CLAIMS).iter().map(row))) }
        @if count > CLAIMS { p.quiet { "and " (count - CLAIMS) " more" } }
    }
}

/// How many dead letters there are.
pub(super) fn dead_letters(broker: &BrokerView) -> usize {
    usize::try_from(broker.dead_letters).unwrap_or(usize::MAX)
}

fn dead(moment: &Moment) -> Markup {
    let broker = moment.broker;
    let acts = moment.visitor.operator().is_some();
    let names = ["number", "given up", "subject", "attempts", "reason", "do"];
    let row = |letter: &DeadView| {
        let here = format!("/system/dead/{}", letter.number);
        [
            html! { (letter.number) },
            time(letter.at),
            html! { code { (letter.subject) } },
            html! { (letter.attempts) },
            html! { bdi { (letter.reason) } },
            html! {
                (action(moment, &format!("{here}/replay"), "Replay"))
                (action_of(Role::Admin, moment, &format!("{here}/drop"), "Drop"))
            },
        ]
    };
    html! {
        @if broker.dead_letters == 0 { p.quiet { "none" } } @else {
            p { (words::count(dead_letters(broker), "message")) " could not succeed. " code { "racktick dlq show N" } " shows one whole, "
                code { "racktick dlq replay N" } " tries it again." }
            @if acts { p.quiet { "A replayed message keeps its cycle and its job, so nothing is done twice. Mend what it failed on \
                first, or it fails again. The tick of a slot keeps the slot's time, too: past the slot's catch-up window it is \
                reported missed and deploys nothing; " q { "Tick now" } " on the rack's page starts a cycle." } }
            (table(&names[..names.len() - usize::from(!acts)], broker.newest_dead.iter().map(row)))
        }
    }
}

fn not_in_step(lacking: &[String]) -> Markup {
    html! { @if !lacking.is_empty() {
        span.badge.lost { "▲ not in step: " (lacking.join(", ")) }
    } }
}

fn streams(broker: &BrokerView) -> Markup {
    let row = |stream: &StreamView| {
        [
            html! { (stream.name) },
            html! { (stream.replicas) },
            html! { (stream.leader.as_deref().unwrap_or("–")) },
            not_in_step(&stream.lacking),
        ]
    };
    html! {
        @for silent in &broker.silent {
            p { span.badge.failed { "✖ no answer: " (silent) } " No server leads it. " code { "racktick doctor" } " says more." }
        }
        p { "nats-server " (broker.version) ", as of " (maybe_time(broker.at)) }
        (table(&["stream", "replicas", "leader", "remark"], broker.streams.iter().map(row)))
    }
}

fn slots(moment: &Moment) -> Markup {
    let coming = moment.schedules.coming(moment.now(), AHEAD, SLOTS);
    let row = |(slot, rack): &(Timestamp, RackName)| {
        [
            time(*slot),
            rack_link(rack),
            html! { @if moment.broker.at.is_some() {
                @match moment.broker.is_armed(rack, *slot) {
                    true => "armed",
                    false => span.badge.lost { "▲ not armed: does a scheduler run?" },
                }
            } },
        ]
    };
    html! {
        @if !moment.schedules.is_read { p.quiet { "the racks' schedules were not read yet" } }
        @else if coming.is_empty() { p.quiet { "none" } } @else {
            (table(&["slot", "rack", "remark"], coming.iter().map(row)))
        }
    }
}

fn history(moment: &Moment) -> Result<Markup> {
    let as_of = moment.reading.as_of()?;
    let quiet = as_of.newest_event.map(|at| moment.now().duration_since(at));
    Ok(html! {
        dl {
            dt { "Newest event" }
            dd {
                (maybe_time(as_of.newest_event))
                @if quiet.is_some_and(|quiet| quiet >= SignedDuration::from_hours(1)) {
                    " " span.badge.lost { "▲ no events for " (quiet.map_or(0, |quiet| quiet.as_hours())) " hours" }
                }
            }
            dt { "Followed up to" } dd { "message " (as_of.sequence) ", " (moment.progress.pending) " are to come" }
            dt { "Not understood" } dd { (as_of.ignored) " messages" }
        }
    })
}
