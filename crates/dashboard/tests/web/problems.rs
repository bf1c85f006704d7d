//! What makes no sense is told in words: to people as a page, to programs as problem+json, at every address.

use std::collections::BTreeSet;

use dashboard::tokens::Role;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, ALLOW, CONTENT_TYPE, LOCATION};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::dashboard::Dashboard;

/// Where the routes of pages and actions are made.
const ROUTES: [&str; 2] = [
    include_str!("../../src/web/mod.rs"),
    include_str!("../../src/web/actions.rs"),
];

const HTML: &str = "text/html; charset=utf-8";
const PROBLEM: &str = "application/problem+json";

/// Words of the libraries beneath, which say nothing to whoever reads them.
const TECHNICAL: [&str; 5] = [
    "deserialize",
    "Invalid URL",
    "Invalid UTF-8",
    "buffer",
    "Form requests",
];

/// The routes of pages and actions, as they are written, and those of the API, as it describes itself.
async fn routes(dashboard: &Dashboard) -> BTreeSet<String> {
    let written = ROUTES
        .iter()
        .flat_map(|text| text.split(".route(\"").skip(1));
    let pages = written.map(|after| after.split('"').next().unwrap().to_owned());
    let described = dashboard.json("/api/v1/openapi.json").await;
    let api = described["paths"].as_object().unwrap().keys();
    pages
        .chain(api.map(|path| format!("/api/v1{path}")))
        .collect()
}

/// A route with this in the place of its open part, if it has one.
fn filled(route: &str, value: &str) -> Option<String> {
    let (before, rest) = route.split_once('{')?;
    let (_, after) = rest.split_once('}')?;
    Some(format!("{before}{value}{after}"))
}

/// An answer that says what is wrong: its words.
async fn told(what: &str, answer: Response, kind: &str) -> String {
    let status = answer.status();
    assert_eq!(answer.headers()[CONTENT_TYPE], kind, "{what}");
    assert_eq!(answer.headers()["cache-control"], "no-store", "{what}");
    let text = answer.text().await.unwrap();
    let words = match kind {
        HTML => {
            assert!(
                text.contains("<h1>") && text.contains("<a href="),
                "{what}: {text}"
            );
            let (_, alarm) = text
                .split_once("<p class=\"alarm\" role=\"alert\">")
                .unwrap();
            alarm.split("</p>").next().unwrap().to_owned()
        }
        _ => {
            let problem: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(problem["status"], status.as_u16(), "{what}");
            problem["detail"].as_str().unwrap().to_owned()
        }
    };
    for technical in TECHNICAL {
        assert!(!words.contains(technical), "{what}: {words}");
    }
    assert!(words.split_whitespace().count() > 3, "{what}: {words}");
    words
}

/// A dashboard, and somebody who may do everything there.
struct Asker {
    dashboard: Dashboard,
    token: String,
}

impl Asker {
    async fn new() -> Self {
        let dashboard = Dashboard::told(51).await;
        let token = dashboard.tokens.add("ann", Role::Admin, Timestamp::now());
        let token = token.unwrap();
        Self { dashboard, token }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.dashboard.address);
        let request = self.dashboard.client.request(method, url);
        request.bearer_auth(&self.token)
    }

    /// What a request is refused with, as each would be told who may ask.
    async fn refused(&self, path: &str, ask: impl Fn() -> RequestBuilder) -> (StatusCode, String) {
        let status = ask().send().await.unwrap().status();
        let is_for_people = !["/api", "/metrics", "/healthz", "/readyz"]
            .iter()
            .any(|start| path.starts_with(start));
        let what = format!("{status} of {path}");
        let mut words = BTreeSet::new();
        for accept in [
            "*/*",
            "text/html,application/json;q=0.9",
            "application/json",
        ] {
            let answer = ask().header(ACCEPT, accept).send().await.unwrap();
            assert_eq!(answer.status(), status, "{what}");
            let kind = match is_for_people && accept != "application/json" {
                true => HTML,
                false => PROBLEM,
            };
            let told = told(&what, answer, kind).await;
            let told = told.replace("&quot;", "\"").replace("&amp;", "&");
            // On a page it is a whole sentence.
            words.insert(told.trim_end_matches('.').to_lowercase());
        }
        assert_eq!(words.len(), 1, "{what}: {words:?}");
        (status, words.pop_first().unwrap())
    }
}

#[tokio::test]
async fn what_no_route_can_read_is_named_everywhere() {
    let asker = Asker::new().await;
    let routes = routes(&asker.dashboard).await;
    assert!(routes.len() > 35, "{routes:?}");
    for route in &routes {
        let is_form = asker.request(Method::GET, &filled(route, "x").unwrap_or(route.clone()));
        let method = match is_form.send().await.unwrap().status() {
            StatusCode::METHOD_NOT_ALLOWED => Method::POST,
            _ => Method::GET,
        };
        for (value, shown) in [
            ("%ff", "%ff"),
            ("no%20such%0Athing", "no such\\nthing"),
            (&"x".repeat(3000), "xxx"),
        ] {
            let Some(path) = filled(route, value) else {
                continue;
            };
            let ask = || {
                let request = asker.request(method.clone(), &path);
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            };
            let status = ask().send().await.unwrap().status();
            // Any text may be a machine's name, and of a holder's the form is looked at first.
            if status == StatusCode::OK {
                assert!(route.ends_with("/decisions") && value != "%ff", "{path}");
                continue;
            }
            let (status, words) = asker.refused(&path, ask).await;
            assert!(status.is_client_error(), "{path}: {status} {words}");
            if status == StatusCode::BAD_REQUEST && !route.starts_with("/access/") {
                assert!(words.contains(shown), "{path}: {words}");
            }
            assert!(words.len() < 400, "{path}: {words}");
        }
    }
}

#[tokio::test]
async fn what_no_parameter_can_be_is_named_everywhere() {
    let asker = Asker::new().await;
    for (path, name) in [
        ("/?state=broken", "state"),
        ("/?q=a&q=b", "q"),
        ("/racks/r0?after=first", "after"),
        ("/machines/node0?after=first", "after"),
        ("/now?after=first", "after"),
        ("/now?kind=job.eaten", "kind"),
        ("/now?rack=a%20b", "a b"),
        ("/trends?days=many", "days"),
        ("/trends?days=0", "days"),
        ("/login?next=a&next=b", "next"),
        ("/api/v1/cycles?limit=all", "limit"),
        ("/api/v1/cycles?after=first", "after"),
        ("/api/v1/events?cycle=first", "cycle"),
        ("/api/v1/events?last_event_id=first", "last_event_id"),
        ("/api/v1/verdicts.csv?since=once", "since"),
        ("/api/v1/trends?days=-1", "days"),
        ("/api/v1/racks/r0/cycles?limit=1&limit=2", "limit"),
    ] {
        let (status, words) = asker
            .refused(path, || asker.request(Method::GET, path))
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {words}");
        assert!(words.contains(name), "{path}: {words}");
        let value = path.split('=').next_back().unwrap();
        let is_named = words.contains(value) || name.len() == 1 || path.contains('&');
        assert!(
            is_named || value == "0" || value.contains('%'),
            "{path}: {words}"
        );
    }
    // What nobody asks for is no reason to refuse: later versions may know it.
    asker.dashboard.page("/?colour=red&stand=0").await;
}

#[tokio::test]
async fn what_no_address_takes_is_told_everywhere() {
    let asker = Asker::new().await;
    for route in routes(&asker.dashboard).await {
        let path = filled(&route, "x").unwrap_or(route);
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let answer = asker.request(method.clone(), &path).send().await.unwrap();
            let allowed = answer.headers()[ALLOW].to_str().unwrap().replace(',', ", ");
            let ask = || asker.request(method.clone(), &path);
            let (status, words) = asker.refused(&path, ask).await;
            assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            for part in [path.as_str(), method.as_str(), &allowed] {
                let part = part.to_lowercase();
                assert!(words.contains(&part), "{path}: {words}");
            }
        }
    }
    for path in [
        "/nothing",
        "/racks",
        "/assets/other.css",
        "/api",
        "/api/v1",
        "/api/v2/fleet",
        "/api/v1/racks/r0/x",
        "/machines/a%2Fb/c",
        "//",
    ] {
        let ask = || asker.request(Method::GET, path);
        let (status, words) = asker.refused(path, ask).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(words.contains(&path.to_lowercase()), "{path}: {words}");
    }
    // Of a slash too many nobody has to be told, unless it leads elsewhere.
    for (path, there) in [
        ("/now/", Some("/now")),
        ("/racks/r0/?after=1.2", Some("/racks/r0?after=1.2")),
        ("/api/v1/fleet//", Some("/api/v1/fleet")),
        ("//evil.example/", None),
        ("/\\evil.example/", None),
    ] {
        let answer = asker.request(Method::GET, path).send().await.unwrap();
        let location = answer.headers().get(LOCATION);
        assert_eq!(
            location.map(|there| there.to_str().unwrap()),
            there,
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_no_form_can_say_is_told_everywhere() {
    let asker = Asker::new().await;
    let (form, json) = ("application/x-www-form-urlencoded", "application/json");
    let job = asker
        .dashboard
        .json("/api/v1/events?kind=job.finished&limit=1")
        .await;
    let job = job["items"][0]["job"].as_str().unwrap().to_owned();
    for path in [
        "/racks/r0/tick",
        "/racks/r0/pause",
        "/racks/r0/resume",
        &format!("/jobs/{job}/cancel"),
        "/system/dead/1/replay",
        "/system/dead/1/drop",
        "/access/add",
        "/access/ann/remove",
        "/login",
    ] {
        let missing = if path == "/login" { "token" } else { "seal" };
        for (kind, body, status, part) in [
            (
                form,
                String::new(),
                StatusCode::UNPROCESSABLE_ENTITY,
                missing,
            ),
            (
                form,
                "%ff".into(),
                StatusCode::UNPROCESSABLE_ENTITY,
                missing,
            ),
            (json, "{}".into(), StatusCode::UNSUPPORTED_MEDIA_TYPE, form),
            (
                form,
                format!("{missing}={}", "x".repeat(70_000)),
                StatusCode::PAYLOAD_TOO_LARGE,
                "65536",
            ),
        ] {
            let ask = || {
                let request = asker.request(Method::POST, path);
                request.header(CONTENT_TYPE, kind).body(body.clone())
            };
            let (found, words) = asker.refused(path, ask).await;
            assert_eq!(found, status, "{path}: {words}");
            assert!(words.contains(part), "{path}: {words}");
        }
    }
    let stranger = || {
        let url = format!("http://{}/login", asker.dashboard.address);
        let request = asker.dashboard.client.post(url).body("token=racktick_x");
        request.header(CONTENT_TYPE, form)
    };
    let (status, words) = asker.refused("/login", stranger).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(words, "nobody has this token");
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_so_as_they_ask() {
    let dashboard = Dashboard::start_for(&[], false).await;
    let ask = async |method: Method, path: &str, name: &str, value: &str| {
        let url = format!("http://{}{path}", dashboard.address);
        let request = dashboard.client.request(method, url).header(name, value);
        request.send().await.unwrap()
    };
    for method in [Method::GET, Method::HEAD] {
        let answer = ask(method, "/racks/r0", "accept", "text/html").await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        assert_eq!(answer.headers()[LOCATION], "/login?next=%2Fracks%2Fr0");
    }
    for (path, kind) in [("/racks/r0/tick", HTML), ("/api/v1/fleet", PROBLEM)] {
        let answer = ask(Method::POST, path, "accept", "text/html").await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        let words = told(path, answer, kind).await;
        assert!(words.contains("racktick dashboard token add"), "{words}");
    }
    let elsewhere = ask(Method::GET, "/", "host", "evil.example").await;
    assert_eq!(elsewhere.status(), StatusCode::MISDIRECTED_REQUEST);
    told("another name", elsewhere, HTML).await;
}

#[tokio::test]
async fn whoever_asks_for_the_head_alone_gets_that() {
    let asker = Asker::new().await;
    let fleet = asker.dashboard.json("/api/v1/fleet").await;
    let machine = fleet["racks"][0]["cells"][0]["machine"].as_str().unwrap();
    let by_bytes: String = machine.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for path in [
        "/",
        "/now",
        "/trends",
        "/system",
        "/login",
        "/assets/style.css",
        "/api/v1/fleet",
        "/api/v1/verdicts.csv",
        "/metrics",
        "/healthz",
        "/readyz",
        "/nothing",
        &format!("/machines/{by_bytes}"),
        &format!("/api/v1/machines/{by_bytes}"),
    ] {
        let head = asker.request(Method::HEAD, path).send().await.unwrap();
        let whole = asker.request(Method::GET, path).send().await.unwrap();
        assert_eq!(head.status(), whole.status(), "{path}");
        assert_eq!(
            whole.status().is_success(),
            path != "/nothing",
            "{path}: {}",
            whole.status()
        );
        let kind = |answer: &Response| answer.headers()[CONTENT_TYPE].clone();
        assert_eq!(kind(&head), kind(&whole), "{path}");
        assert_eq!(head.text().await.unwrap(), "", "{path}");
        assert_ne!(whole.text().await.unwrap(), "", "{path}");
    }
}
