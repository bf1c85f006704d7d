//! The pages. Each is made of sections, which are sent again one by one as they change.

pub(super) mod access;
mod course;
pub(super) mod cycle;
mod decisions;
mod evidence;
pub(super) mod fleet;
pub(super) mod job;
pub(super) mod machine;
pub(super) mod now;
mod parts;
pub(super) mod rack;
pub(super) mod system;
mod table;
pub(super) mod trends;

use axum::Extension;
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use jiff::{SignedDuration, Timestamp};
use maud::{DOCTYPE, Markup, html};

use super::problem::Problem;
use super::site::Moment;
use super::stand::Stand;
use crate::tokens::Role;
use crate::words;
pub(super) use parts::in_address;
use parts::{maybe_time, time};

/// How long no event comes until that is said.
const SILENT: SignedDuration = SignedDuration::from_mins(5);

/// A page before it is dressed.
pub(super) struct Page {
    title: String,
    /// How many machines do not deploy, where it is about that: whoever has it open behind others sees it in its tab.
    failing: usize,
    /// Its entry in the navigation, if it has one.
    here: Option<&'static str>,
    sections: Vec<Section>,
}

/// A part of a page: one element with an id.
pub(super) struct Section {
    /// The id.
    pub(super) id: String,
    /// The element.
    pub(super) html: String,
}

/// Where the navigation leads.
const NAVIGATION: [(&str, &str); 4] = [
    ("/", "Fleet"),
    ("/now", "Now"),
    ("/trends", "Trends"),
    ("/system", "System"),
];

impl Page {
    fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            failing: 0,
            here: None,
            sections: Vec::new(),
        }
    }

    fn at(self, here: &'static str) -> Self {
        Self {
            here: Some(here),
            ..self
        }
    }

    fn failing(self, failing: usize) -> Self {
        Self { failing, ..self }
    }

    /// What a browser calls it.
    fn name(&self) -> String {
        match self.failing {
            0 => format!("{} · racktick", self.title),
            failing => format!("✖ {failing} · {} · racktick", self.title),
        }
    }

    /// Adds a part with a heading.
    fn section(self, id: &str, heading: &str, content: Markup) -> Self {
        self.part(id, html! { h2 { (heading) } (content) })
    }

    /// Adds a part with a heading where there is something in it.
    fn maybe_section(self, id: &str, heading: &str, content: Option<Markup>) -> Self {
        match content {
            Some(content) => self.section(id, heading, content),
            None => self,
        }
    }

    /// Adds a part without one.
    fn part(mut self, id: &str, content: Markup) -> Self {
        let html = html! { section id=(id) { (content) } };
        self.sections.push(Section {
            id: id.to_owned(),
            html: html.into_string(),
        });
        self
    }
}

/// The parts of a page, with how it stands with what they say at the top.
pub(super) fn sections(moment: &Moment, page: Page) -> rusqlite::Result<Vec<Section>> {
    let newest = moment.reading.as_of()?.newest_event;
    let standing = html! { div #standing data-name=(page.name()) { (standing(moment, newest)) } };
    let mut sections = vec![Section {
        id: "standing".into(),
        html: standing.into_string(),
    }];
    sections.extend(page.sections);
    Ok(sections)
}

/// The whole text of a page.
pub(super) fn whole(moment: &Moment, page: Option<Page>) -> rusqlite::Result<Option<String>> {
    let whole = page.map(|page| {
        let (name, title, here) = (page.name(), page.title.clone(), page.here);
        let parts = sections(moment, page)?;
        let stand = Stand::of(&parts).to_string();
        let parts: String = parts.into_iter().map(|section| section.html).collect();
        let content = html! { div #parts data-stand=(stand) { (maud::PreEscaped(parts)) } };
        Ok(document(&name, dressed(moment, &title, here, content)).into_string())
    });
    whole.transpose()
}

fn dressed(moment: &Moment, title: &str, here: Option<&str>, content: Markup) -> Markup {
    html! {
        a.skip href="#content" { "To the content" }
        header {
            a.brand href="/" { "racktick" }
            (navigation(here))
            (visitor(moment))
            p #live role="status" { "not live: this page shows the moment it was opened" }
            button #pause type="button" hidden aria-pressed="false" { "Pause" }
        }
        main #content tabindex="-1" {
            h1 { (title) }
            (content)
        }
        script src="/assets/live.js" {}
    }
}

fn navigation(here: Option<&str>) -> Markup {
    html! {
        nav aria-label="Main" {
            @for (path, name) in NAVIGATION {
                a href=(path) aria-current=[(here == Some(path)).then_some("page")] { (name) }
            }
        }
    }
}

/// Who is signed in, and the way in or out.
fn visitor(moment: &Moment) -> Markup {
    html! {
        @match moment.visitor.name() {
            Some(name) => form.visitor method="post" action="/logout" {
                bdi { (name) } " "
                @if moment.visitor.who_may(Role::Admin).is_some() { a href="/access" { "Access" } " " }
                @if moment.visitor.has_token() { button { "Sign out" } }
            },
            None => a.visitor href="/login" { "Sign in" },
        }
    }
}

/// A form of an action, for who may do it.
fn action(moment: &Moment, address: &str, name: &str) -> Markup {
    action_of(Role::Operator, moment, address, name)
}

/// A form of an action, for who has this role.
fn action_of(role: Role, moment: &Moment, address: &str, name: &str) -> Markup {
    let id = address.trim_matches('/').replace(['/', '%'], "-");
    html! {
        @if let Some((_, seal)) = moment.visitor.who_may(role) {
            form.action method="post" action=(address) aria-label=(name) {
                label for={ (id) "-reason" } { "Why" }
                input id={ (id) "-reason" } name="reason" required maxlength="1024" autocomplete="off";
                input type="hidden" name="seal" value=(seal);
                button { (name) }
            }
        }
    }
}

/// The page that tells what went wrong.
pub(super) fn of_problem(problem: &Problem) -> String {
    let title = match problem.status() {
        _ if problem.back().is_some() => "Not done",
        StatusCode::NOT_FOUND => "Nothing there",
        StatusCode::UNAUTHORIZED => "Not signed in",
        status if status.is_server_error() => "Out of order",
        _ => "Not understood",
    };
    let content = html! {
        p.alarm role="alert" { (words::sentence(problem.detail())) }
        p {
            @match problem.back() {
                Some(back) => a href=(back) { "Back" },
                None => a href="/" { "To the fleet" },
            }
            @if problem.status() == StatusCode::UNAUTHORIZED { " · " a href="/login" { "Sign in" } }
        }
    };
    bare(title, content).into_string()
}

/// A page that nothing can change on.
fn bare(title: &str, content: Markup) -> Markup {
    let body = html! {
        header { a.brand href="/" { "racktick" } (navigation(None)) }
        main { h1 { (title) } (content) }
    };
    document(&format!("{title} · racktick"), body)
}

fn document(name: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (name) }
                link rel="icon" href="/assets/icon.svg";
                link rel="stylesheet" href="/assets/style.css";
            }
            body { (body) }
        }
    }
}

/// As of when everything on the page is true, and a warning when that is not now.
fn standing(moment: &Moment, newest: Option<Timestamp>) -> Markup {
    let progress = moment.progress;
    let silence = newest
        .map(|at| moment.now().duration_since(at))
        .filter(|silence| *silence >= SILENT);
    html! {
        @match (progress.at, moment.cut_off_since()) {
            (None, _) => p.alarm role="alert" data-as-of {
                "The event stream was not read yet since the dashboard started: what is here may be old."
            },
            (Some(_), Some(since)) => p.alarm role="alert" data-as-of=(since) {
                "The broker was not heard of since " (time(since)) ": what is here is as of then. \
                 The dashboard tries again by itself; "
                code { "racktick doctor" } " says what is wrong."
            },
            (Some(_), None) if progress.pending > 0 => p.alarm role="status" {
                "Events are still being read: " (progress.pending) " are to come."
            },
            // Between cycles that is as it should be, and else it is not: whoever reads it sees which.
            (Some(_), None) => @if let Some(silence) = silence {
                p.quiet { "No events for " (words::roughly(silence)) ", since " (maybe_time(newest)) "." }
            }
        }
    }
}

/// The page on which a token is asked for, perhaps once more.
pub(super) fn login(next: &str, refused: bool) -> Response {
    let content = html! {
        @if refused { p.alarm role="alert" { "Nobody has this token." } }
        form.find method="post" action="/login" {
            label for="token" { "Token" }
            input #token type="password" name="token" required autofocus autocomplete="current-password" size="40";
            input type="hidden" name="next" value=(next);
            button { "Sign in" }
        }
        p.quiet {
            "Where the dashboard runs, " code { "racktick dashboard token add NAME --role operator" }
            " makes a token and prints it once. Without " code { "--role" } " it is for reading only."
        }
    };
    let page = Html(bare("Sign in", content).into_string());
    match refused {
        true => {
            let problem = Problem::new(StatusCode::FORBIDDEN, "nobody has this token");
            (problem.status(), Extension(problem), page).into_response()
        }
        false => page.into_response(),
    }
}

/// The answer to an address that is none. With a slash at its end it may be one without.
pub(super) async fn unknown(uri: Uri) -> Response {
    let path = uri.path().trim_end_matches('/');
    if path.len() < uri.path().len() && path.len() > 1 {
        let query = uri.query().map(|query| format!("?{query}"));
        let there = format!("{path}{}", query.unwrap_or_default());
        if super::access::here(&there) == there {
            return Redirect::permanent(&there).into_response();
        }
    }
    StatusCode::NOT_FOUND.into_response()
}

/// The answer when no event told of what is asked for.
pub(super) fn not_there() -> Problem {
    let says = "no event has told of this, or it is older than what is kept";
    Problem::new(StatusCode::NOT_FOUND, says)
}
