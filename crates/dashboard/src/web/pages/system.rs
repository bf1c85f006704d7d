//! What racktick stands on: its living roles, the broker, the work that waits in it, dead letters, slots to come, and this history.

use axum::extract::State;
use axum::response::Response;
use jiff::SignedDuration;
use maud::{Markup, html};
use rusqlite::Result;

use super::super::site::{Client, Moment, Site};
use super::parts::{maybe_time, rack_link, time};
use super::{Page, action, action_of};
use crate::broker::BrokerView;
use crate::tokens::Role;

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
            .section("work", "Work", work(moment)?)
            .section("dead", "Dead letters", dead(moment))
            .section("broker", "Broker", streams(broker)),
    };
    Ok(page
        .section("slots", "Slots of the next 24 hours", slots(moment))
        .section("history", "History", history(moment)?))
}

/// Without one of these nothing goes on.
const NEEDED: [&str; 2] = ["scheduler", "worker"];

fn roles(broker: &BrokerView) -> Markup {
    let Some(roles) = &broker.roles else {
        return html! { p.quiet { "the broker does not let this dashboard ask who is alive: "
        code { "racktick setup --credentials" } " has the permissions of this version" } };
    };
    html! {
        @for needed in NEEDED.iter().filter(|needed| roles.iter().all(|role| role.role != **needed)) {
            p { span.badge.failed { "✖ no " (needed) " answers" } }
        }
        div.wide tabindex="0" { table {
            thead { tr { th { "role" } th { "host" } th { "name" } th { "version" } th { "since" } th { "last heard" } } }
            tbody { @for role in roles {
                tr {
                    th scope="row" { bdi { (role.role) } }
                    td { bdi { (role.host.as_deref().unwrap_or("–")) } }
                    td { bdi { (role.name.as_deref().unwrap_or("–")) } }
                    td { bdi { (role.version) } }
                    td { (time(role.since)) }
                    td { (time(role.heard_at)) }
                }
            } }
        } }
    }
}

fn work(moment: &Moment) -> Result<Markup> {
    let broker = moment.broker;
    let claims = moment.reading.open_jobs_count()?;
    Ok(html! {
        p { (claims) " machines are claimed by a job." }
        div.wide tabindex="0" { table {
            thead { tr { th { "kind" } th { "waiting" } th { "at work" } th { "not for the first time" } th { "oldest since" } th { "remark" } } }
            tbody { @for work in &broker.work {
                tr {
                    th scope="row" { (work.kind) }
                    td { (work.waiting) }
                    td { (work.at_work) }
                    td { (work.again) }
                    td { (maybe_time(work.oldest)) }
                    td {
                        @if work.waiting > 0 && work.takers == 0 && work.at_work == 0 {
                            span.badge.failed { "✖ nobody takes them: does a worker run?" }
                        } @else if work.takers == 0 && work.at_work == 0 {
                            span.badge.lost { "▲ no worker asks for any" }
                        }
                        (not_in_step(&work.lacking))
                    }
                }
            } }
        } }
    })
}

fn dead(moment: &Moment) -> Markup {
    let broker = moment.broker;
    let acts = moment.visitor.operator().is_some();
    html! {
        @if broker.dead_letters == 0 { p.quiet { "none" } } @else {
            p { (broker.dead_letters) " messages could not succeed. " code { "racktick dlq show N" } " shows one whole, "
                code { "racktick dlq replay N" } " tries it again." }
            div.wide.stack { table {
                thead { tr { th { "number" } th { "given up" } th { "subject" } th { "attempts" } th { "reason" } @if acts { th { "do" } } } }
                tbody { @for letter in &broker.newest_dead {
                    @let here = format!("/system/dead/{}", letter.number);
                    tr {
                        th scope="row" { (letter.number) }
                        td { (time(letter.at)) }
                        td { code { (letter.subject) } }
                        td { (letter.attempts) }
                        td { bdi { (letter.reason) } }
                        @if acts { td {
                            (action(moment, &format!("{here}/replay"), "Replay"))
                            (action_of(Role::Admin, moment, &format!("{here}/drop"), "Drop"))
                        } }
                    }
                } }
            } }
        }
    }
}

fn not_in_step(lacking: &[String]) -> Markup {
    html! { @if !lacking.is_empty() {
        span.badge.lost { "▲ not in step: " (lacking.join(", ")) }
    } }
}

fn streams(broker: &BrokerView) -> Markup {
    html! {
        @for silent in &broker.silent {
            p { span.badge.failed { "✖ no answer: " (silent) } " No server leads it. " code { "racktick doctor" } " says more." }
        }
        p { "nats-server " (broker.version) ", as of " (maybe_time(broker.at)) }
        div.wide tabindex="0" { table {
            thead { tr { th { "what" } th { "replicas" } th { "leader" } th { "remark" } } }
            tbody { @for stream in &broker.streams {
                tr {
                    th scope="row" { (stream.name) }
                    td { (stream.replicas) }
                    td { (stream.leader.as_deref().unwrap_or("–")) }
                    td { (not_in_step(&stream.lacking)) }
                }
            } }
        } }
    }
}

fn slots(moment: &Moment) -> Markup {
    let coming = moment.schedules.coming(moment.now(), AHEAD, SLOTS);
    html! {
        @if coming.is_empty() { p.quiet { "none" } } @else {
            div.wide tabindex="0" { table {
                thead { tr { th { "slot" } th { "rack" } th { "remark" } } }
                tbody { @for (slot, rack) in &coming { tr {
                    td { (time(*slot)) }
                    td { (rack_link(rack)) }
                    td { @if moment.broker.at.is_some() && !moment.broker.is_armed(rack, *slot) {
                        span.badge.lost { "▲ not armed: does a scheduler run?" }
                    } }
                } } }
            } }
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
