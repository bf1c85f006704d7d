//! Who is let in: everybody where that is switched on, and otherwise whoever has a token. A browser keeps it in a cookie
//! that no script can read; programs send it as a bearer token.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::header::{
    AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderValue, LOCATION, ORIGIN, SET_COOKIE,
    WWW_AUTHENTICATE,
};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::asked::{Asked, Posted};
use super::compression::Private;
use super::pages;
use super::problem::Problem;
use super::proxy::{Forwarded, Proxy};
use super::site::Site;
use crate::tokens::{Holder, Role, TokenError, Tokens};

/// The cookie with the token.
const NAME: &str = "racktick_token";

/// How long a browser stays signed in, in seconds: 30 days.
const STAYS: u32 = 30 * 24 * 60 * 60;

/// Who is let in.
#[derive(Debug, Clone)]
pub struct Access {
    /// Those who can sign in.
    pub tokens: Tokens,
    /// Whether everybody may read who reaches the address.
    pub public_read: bool,
    /// A proxy in front that signs visitors in.
    pub proxy: Option<Proxy>,
    /// The names under which the dashboard is reached, besides those of this machine. None: on the loopback address
    /// those of this machine alone, on any other all.
    pub hosts: Vec<String>,
}

impl Access {
    /// Whether a visitor may still read: a page that is left open outlives the token it was opened with.
    pub(super) fn admits(&self, visitor: &Visitor) -> bool {
        let is_held = |known: &SignedIn| {
            // Whether a proxy would still let somebody in, nobody knows before they come again.
            known.holder.as_ref().is_none_or(|holder| {
                let holders = self.tokens.holders().unwrap_or_default();
                holders.contains(holder)
            })
        };
        visitor.0.as_ref().map_or(self.public_read, is_held)
    }
}

/// Whoever asks: nobody in particular, or the holder of a token.
#[derive(Debug, Clone, Default)]
pub(super) struct Visitor(Option<SignedIn>);

#[derive(Debug, Clone)]
struct SignedIn {
    name: String,
    role: Role,
    /// Of the token; `None`: a proxy has signed them in.
    holder: Option<Holder>,
    /// Shown by the forms of this dashboard to this visitor, and by no other page.
    seal: String,
}

impl Visitor {
    /// The name, of who signed in.
    pub(super) fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|known| known.name.as_str())
    }

    /// Whether they signed in here, and so can sign out here.
    pub(super) fn has_token(&self) -> bool {
        let holder = |known: &SignedIn| known.holder.is_some();
        self.0.as_ref().is_some_and(holder)
    }

    /// The name and the seal of who may do what this role may.
    pub(super) fn who_may(&self, role: Role) -> Option<(&str, &str)> {
        let known = self.0.as_ref()?;
        (known.role >= role).then_some((known.name.as_str(), known.seal.as_str()))
    }

    /// The name and the seal of who may act.
    pub(super) fn operator(&self) -> Option<(&str, &str)> {
        self.who_may(Role::Operator)
    }

    /// Visitors of the same audience see the same parts of a page.
    pub(super) fn audience(&self) -> Option<(Role, String)> {
        let (_, seal) = self.operator()?;
        let role = self.0.as_ref()?.role;
        Some((role, seal.to_owned()))
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// Lets a request pass, or says how to be let in.
pub(super) async fn check(
    State(site): State<Site>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let access = site.access();
    let forwarded = match &access.proxy {
        Some(proxy) => proxy.visitor(peer, request.headers()),
        None => Ok(None),
    };
    let signed_in = match (forwarded, token(request.headers())) {
        (Err(says), _) => return Problem::new(StatusCode::BAD_REQUEST, says).into_response(),
        (Ok(Some(Forwarded { name, role })), _) => Some(SignedIn {
            // No token is written like this.
            seal: site.seal(&format!("{} by a proxy: {name}", role.name())),
            name,
            role,
            holder: None,
        }),
        (Ok(None), Some(token)) => match access.tokens.holder(token) {
            Ok(holder) => holder.map(|holder| SignedIn {
                seal: site.seal(token),
                name: holder.name.clone(),
                role: holder.role,
                holder: Some(holder),
            }),
            Err(error) => return out_of_order(&error),
        },
        (Ok(None), None) => None,
    };
    if signed_in.is_none() && !access.public_read {
        return shut_out(&request);
    }
    let visitor = Visitor(signed_in);
    let holds_seal = visitor.operator().is_some();
    request.extensions_mut().insert(visitor);
    let mut answer = next.run(request).await;
    if holds_seal {
        answer.extensions_mut().insert(Private);
    }
    answer
}

fn shut_out(request: &Request) -> Response {
    let uri = request.uri();
    let is_page = matches!(*request.method(), Method::GET | Method::HEAD)
        && !uri.path().starts_with("/api/")
        && uri.path() != "/metrics"
        && !Site::is_live(request.headers());
    if is_page {
        let next = uri.path_and_query().map_or("/", |path| path.as_str());
        return to(&format!("/login?next={}", pages::in_address(next)));
    }
    let says = "send a token as `Authorization: Bearer ...`: `racktick dashboard token add NAME` makes one";
    let mut answer = Problem::new(StatusCode::UNAUTHORIZED, says).into_response();
    let headers = answer.headers_mut();
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

fn out_of_order(error: &TokenError) -> Response {
    let error = error as &dyn std::error::Error;
    tracing::error!(error, "nobody can be let in");
    let says = "nobody can be let in: the dashboard's log says why";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, says).into_response()
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let cookies = headers.get_all(COOKIE).iter();
    bearer.map(str::trim).or_else(|| {
        cookies
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .find_map(|cookie| cookie.trim().strip_prefix(NAME)?.strip_prefix('='))
    })
}

/// Where somebody wanted to go who was not let in yet.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: String,
}

pub(super) async fn ask(Asked(wanted): Asked<Wanted>) -> Response {
    pages::login(here(&wanted.next), false)
}

/// What the form of the page says.
#[derive(Deserialize)]
pub(super) struct SignIn {
    token: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn sign_in(
    State(site): State<Site>,
    headers: HeaderMap,
    Posted(form): Posted<SignIn>,
) -> Response {
    let next = here(&form.next);
    let token = form.token.trim();
    match site.access().tokens.holder(token) {
        Ok(Some(holder)) => {
            tracing::info!(name = holder.name, "signed in");
            keep(to(next), &headers, token, STAYS)
        }
        Ok(None) => pages::login(next, true),
        Err(error) => out_of_order(&error),
    }
}

pub(super) async fn sign_out(headers: HeaderMap) -> Response {
    keep(to("/"), &headers, "", 0)
}

/// Has the browser keep a token for so many seconds.
fn keep(mut answer: Response, headers: &HeaderMap, token: &str, seconds: u32) -> Response {
    // Behind a proxy that speaks TLS, the cookie must not go over anything else.
    let secure = match headers.get("x-forwarded-proto") {
        Some(proto) if proto == "https" => "; Secure",
        _ => "",
    };
    let cookie =
        format!("{NAME}={token}; HttpOnly; SameSite=Lax; Path=/; Max-Age={seconds}{secure}");
    if let Ok(cookie) = cookie.parse() {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

/// Whether a form came from a page of this dashboard, where the browser says where it came from.
pub(super) fn is_from_here(headers: &HeaderMap) -> bool {
    match (headers.get(ORIGIN), headers.get(HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            let origin = origin.to_str().unwrap_or_default();
            let (_, authority) = origin.split_once("://").unwrap_or_default();
            host.to_str().is_ok_and(|host| host == authority)
        }
        (Some(_), None) => false,
    }
}

/// A path of this dashboard; anything else would lead elsewhere whoever signs in.
pub(super) fn here(next: &str) -> &str {
    let mut start = next.chars();
    let is_path = start.next() == Some('/') && !matches!(start.next(), Some('/' | '\\'));
    match is_path && !next.contains(|c: char| c.is_control()) {
        true => next,
        false => "/",
    }
}

pub(super) fn to(path: &str) -> Response {
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_nowhere_else() {
        for path in ["/", "/racks/r7?after=1.2", "/now?kind=job.finished"] {
            assert_eq!(here(path), path);
        }
        for path in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\nb",
        ] {
            assert_eq!(here(path), "/");
        }
    }

    #[test]
    fn a_form_of_another_page_is_told_by_its_origin() {
        let from = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "racks.example:8000".parse().unwrap());
            headers.insert(ORIGIN, origin.parse().unwrap());
            is_from_here(&headers)
        };
        assert!(from("http://racks.example:8000") && from("https://racks.example:8000"));
        for origin in [
            "http://racks.example",
            "http://evil.example",
            "null",
            "racks.example:8000",
        ] {
            assert!(!from(origin), "{origin}");
        }
        assert!(is_from_here(&HeaderMap::new()));
    }

    #[test]
    fn a_token_comes_as_cookie_or_bearer() {
        let with = |name, value: &str| {
            let mut headers = HeaderMap::new();
            headers.append(name, value.parse().unwrap());
            token(&headers).map(str::to_owned)
        };
        assert_eq!(
            with(AUTHORIZATION, "Bearer racktick_x").as_deref(),
            Some("racktick_x")
        );
        assert_eq!(with(AUTHORIZATION, "Basic racktick_x"), None);
        let cookies = "a=b; racktick_token=racktick_x; c=d";
        assert_eq!(with(COOKIE, cookies).as_deref(), Some("racktick_x"));
        assert_eq!(with(COOKIE, "racktick_token_x=y"), None);
    }
}
