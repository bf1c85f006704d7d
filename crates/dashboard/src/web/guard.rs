//! What every answer says of itself, and which requests are answered at all.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// Nothing from elsewhere, no script but our own file, and no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
];

pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    answer.headers_mut().extend(HEADERS);
    answer
}

/// The names to which a dashboard answers.
#[derive(Clone)]
pub(super) struct Hosts {
    /// Only this machine reaches it.
    pub(super) is_loopback: bool,
    /// Those that somebody has listed, besides the names of this machine.
    pub(super) names: Arc<[String]>,
}

/// A dashboard that only this machine reaches answers to this machine's names alone, and one whose names are listed to
/// those: a page from elsewhere, open in the same browser, could otherwise read it under a name of its own that leads
/// here (DNS rebinding).
pub(super) async fn hosts(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    if hosts.answer_to(host) {
        return next.run(request).await;
    }
    let says = match hosts.names.is_empty() {
        true => {
            "this dashboard listens on the loopback address only: open it as http://127.0.0.1 or http://localhost, or \
             list the name in `dashboard.hosts`"
        }
        false => {
            "this dashboard has another name: `dashboard.hosts` lists those that it answers to"
        }
    };
    Problem::new(StatusCode::MISDIRECTED_REQUEST, says).into_response()
}

impl Hosts {
    fn answer_to(&self, host: Option<&str>) -> bool {
        let is_open = !self.is_loopback && self.names.is_empty();
        is_open || host.is_some_and(|host| is_loopback(host) || self.lists(host))
    }

    fn lists(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        let mut names = self.names.iter();
        names.any(|name| name.eq_ignore_ascii_case(authority.host()))
    }
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host().trim_matches(['[', ']']);
    name == "localhost"
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lists_names_answers_to_those_and_its_own() {
        let answers = |is_loopback, names: &[&str], host| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            Hosts { is_loopback, names }.answer_to(Some(host))
        };
        let (name, other) = ("Racks.example:8000", "evil.example");
        assert!(answers(false, &[], name) && answers(false, &[], other));
        assert!(!answers(true, &[], name) && answers(true, &[], "localhost:8000"));
        for is_loopback in [true, false] {
            let answers = |host| answers(is_loopback, &["racks.example"], host);
            assert!(answers(name) && answers("127.0.0.1:8000"));
            assert!(!answers(other) && !answers("racks.example.evil.example"));
        }
        let silent = Hosts {
            is_loopback: false,
            names: ["a".to_owned()].into(),
        };
        assert!(!silent.answer_to(None));
    }

    #[test]
    fn only_names_of_this_machine_lead_here() {
        for host in [
            "localhost",
            "localhost:8000",
            "127.0.0.1:8000",
            "[::1]:8000",
            "127.1.2.3",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example:8000",
            "10.0.0.1",
            "a b",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
