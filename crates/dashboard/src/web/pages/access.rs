//! Who may sign in, for admins.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};

use super::super::access::Visitor;
use super::super::problem::Problem;
use super::super::site::{Client, Moment, Site};
use super::parts::{in_address, time};
use super::table::table;
use super::{Page, action_of, bare};
use crate::tokens::{Holder, Role, TokenError, Tokens};

pub(in super::super) async fn answer(
    State(site): State<Site>,
    visitor: Visitor,
    client: Client,
) -> Response {
    if visitor.who_may(Role::Admin).is_none() {
        let why = "this page needs the role admin: `racktick dashboard token add NAME --role admin` makes a token that \
                   has it";
        return Problem::refused(StatusCode::FORBIDDEN, why, "/").into_response();
    }
    let tokens = site.access().tokens.clone();
    site.page(client, move |moment| Ok(Some(page(moment, &tokens))))
        .await
}

fn page(moment: &Moment, tokens: &Tokens) -> Page {
    Page::new("Access")
        .at("/access")
        .section("holders", "Who may sign in", list(moment, tokens.holders()))
        .section("add", "Make a token", add(moment))
}

fn list(moment: &Moment, holders: Result<Vec<Holder>, TokenError>) -> Markup {
    let holders = match holders {
        Ok(holders) => holders,
        Err(error) => return html! { p.alarm role="alert" { (error) } },
    };
    let row = |holder: &Holder| {
        let remove = format!("/access/{}/remove", in_address(&holder.name));
        [
            html! { bdi { (holder.name) } },
            html! { (holder.role.name()) },
            time(holder.added_at),
            action_of(Role::Admin, moment, &remove, "Remove"),
        ]
    };
    table(
        &["name", "role", "since", "remove"],
        holders.iter().map(row),
    )
}

fn add(moment: &Moment) -> Markup {
    html! {
        @if let Some((_, seal)) = moment.visitor.who_may(Role::Admin) {
            form.action method="post" action="/access/add" {
                label for="add-name" { "Name" }
                input #add-name name="name" required maxlength="64" autocomplete="off";
                label for="add-role" { "Role" }
                select #add-role name="role" {
                    @for role in Role::ALL { option value=(role.name()) { (role.name()) } }
                }
                label for="add-reason" { "Why" }
                input #add-reason name="reason" required maxlength="1024" autocomplete="off";
                input type="hidden" name="seal" value=(seal);
                button { "Make" }
            }
        }
    }
}

/// The token that was made: this once.
pub(in super::super) fn made(name: &str, token: &str) -> Response {
    let page = bare(
        "Token",
        html! {
            p { "This is the token of " bdi { (name) } ". It is not shown again." }
            p { code { (token) } }
            p { a href="/access" { "Back" } }
        },
    );
    let mut answer = Html(page.into_string()).into_response();
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
