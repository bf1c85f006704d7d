//! What operators do.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{Outgoing, dead};
use dashboard::broker::DeadView;
use dashboard::tokens::Role;
use jiff::Timestamp;
use model::action::{Deed, RackEvent};
use model::dead::{Body, DeadLetter};
use model::id::CycleId;
use model::name::RackName;
use model::rack::RackRecord;
use model::schedule::Schedule;
use model::subject::{Subject, stream};
use model::task::{LONGEST_WORDS, Task, Tick};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION, VARY};
use serde_json::Value;

use crate::dashboard::{Dashboard, SIZE};
use crate::support::story::Teller;

/// The form of an action on a page: what it must bring back.
fn seal_of(page: &str) -> Option<&str> {
    let (_, after) = page.split_once("name=\"seal\" value=\"")?;
    after.split('"').next()
}

#[tokio::test]
async fn only_an_operator_acts_and_says_why() {
    let dashboard = Dashboard::start(&Teller::new(11).story(SIZE)).await;
    let rack = RackName::new("r0").unwrap();
    let every = Schedule::Every {
        every: Duration::from_secs(3600),
        splay: None,
    };
    let record = RackRecord::new(every, Timestamp::now());
    dashboard
        .ledger
        .racks()
        .create("r0", &record)
        .await
        .unwrap();
    dashboard.schedules.send_modify(|schedules| {
        schedules.racks.insert(rack.clone(), record);
    });
    let url = |path: &str| format!("http://{}{path}", dashboard.address);
    let token = |name: &str, role| dashboard.tokens.add(name, role, Timestamp::now()).unwrap();
    let (viewer, operator) = (token("vic", Role::Viewer), token("olga", Role::Operator));
    let page = async |token: &str| {
        let request = dashboard.client.get(url("/racks/r0")).bearer_auth(token);
        request.send().await.unwrap().text().await.unwrap()
    };
    let act = async |token: &str, what: &str, seal: &str, reason: &str, origin: &str| {
        let form = format!("seal={seal}&reason={reason}");
        let request = dashboard.client.post(url(&format!("/racks/r0/{what}")));
        let request = request
            .bearer_auth(token)
            .header("origin", origin)
            .body(form);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.send().await.unwrap()
    };
    let here = url("");
    let paused = async || {
        let record = dashboard.ledger.rack(&rack).await.unwrap().unwrap();
        record.paused
    };

    assert_eq!(seal_of(&dashboard.page("/racks/r0").await), None);
    let of_viewer = page(&viewer).await;
    assert!(of_viewer.contains("vic") && seal_of(&of_viewer).is_none());
    let of_operator = page(&operator).await;
    let seal = seal_of(&of_operator).unwrap();
    assert!(of_operator.contains("Tick now") && of_operator.contains("Pause schedule"));

    let long = "x".repeat(LONGEST_WORDS + 1);
    for (token, seal, reason, origin, status) in [
        ("", seal, "broken", here.as_str(), StatusCode::FORBIDDEN),
        (&viewer, seal, "broken", &here, StatusCode::FORBIDDEN),
        (&operator, "guessed", "broken", &here, StatusCode::FORBIDDEN),
        (
            &operator,
            seal,
            "broken",
            "http://evil.example",
            StatusCode::FORBIDDEN,
        ),
        (&operator, seal, "++", &here, StatusCode::BAD_REQUEST),
        (&operator, seal, &long, &here, StatusCode::BAD_REQUEST),
    ] {
        for what in ["tick", "pause", "resume"] {
            let answer = act(token, what, seal, reason, origin).await;
            assert_eq!(answer.status(), status, "{what} by `{token}` from {origin}");
        }
    }
    assert_eq!(paused().await, None);

    let answer = act(&operator, "pause", seal, "broken+switch", &here).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[LOCATION], "/racks/r0");
    let pause = paused().await.unwrap();
    assert_eq!(
        (pause.by.as_str(), pause.why.as_str()),
        ("olga", "broken switch")
    );
    act(&operator, "resume", seal, "mended", &here).await;
    assert_eq!(paused().await, None);

    // Both are events, with who and why.
    let bus = dashboard.ledger.bus();
    let told = async |number| {
        let stored = bus.message(stream::EVENTS, number).await.unwrap().unwrap();
        let action = RackEvent::from_json(&stored.body).unwrap().action;
        (action.by, action.why, action.deed)
    };
    let by_olga = |why: &str, deed| ("olga".to_owned(), why.to_owned(), deed);
    assert_eq!(told(1).await, by_olga("broken switch", Deed::Paused));
    assert_eq!(told(2).await, by_olga("mended", Deed::Resumed));

    let ticked = async |number| bus.message(stream::RACK, number).await.unwrap();
    assert!(ticked(1).await.is_none());
    act(&operator, "tick", seal, "after+the+repair", &here).await;
    let tick = ticked(1).await.unwrap();
    assert!(ticked(2).await.is_none());
    // Whoever takes it goes on with its trace.
    let cycle: CycleId = tick.header("Nats-Msg-Id").unwrap().parse().unwrap();
    assert_eq!(
        tick.header("traceparent"),
        Some(cycle.traceparent().as_str())
    );
    let tick = Tick::parse(&tick.body).unwrap();
    assert_eq!((tick.rack, tick.by.as_deref()), (rack, Some("olga")));
    assert_eq!(tick.reason.as_deref(), Some("after the repair"));
}

#[tokio::test]
async fn a_program_is_told_of_a_refusal_as_by_the_api() {
    let dashboard = Dashboard::told(13).await;
    let url = |path: &str| format!("http://{}{path}", dashboard.address);
    let token = |name: &str, role| dashboard.tokens.add(name, role, Timestamp::now()).unwrap();
    let (viewer, operator) = (token("vic", Role::Viewer), token("olga", Role::Operator));
    let request = dashboard.client.get(url("/racks/r0"));
    let rack = request.bearer_auth(&operator).send().await.unwrap();
    let rack = rack.text().await.unwrap();
    let seal = seal_of(&rack).unwrap();
    let (good, guessed) = (format!("seal={seal}&reason=why"), "seal=x&reason=why");
    for (path, token, form, status, says) in [
        (
            "/racks/none/pause",
            &viewer,
            &*good,
            403,
            "needs the role operator",
        ),
        (
            "/racks/none/pause",
            &operator,
            guessed,
            403,
            "load the page",
        ),
        (
            "/racks/none/pause",
            &operator,
            &format!("seal={seal}&reason="),
            400,
            "say why",
        ),
        (
            "/racks/none/pause",
            &operator,
            &format!("seal={seal}"),
            422,
            "`reason`",
        ),
        (
            "/racks/none/pause",
            &operator,
            &good,
            404,
            "rack none has no schedule",
        ),
        (
            "/jobs/1/cancel",
            &operator,
            &good,
            400,
            "`1` is no id of a job",
        ),
        (
            "/system/dead/7/drop",
            &operator,
            &good,
            403,
            "needs the role admin",
        ),
        (
            "/system/dead/7/replay",
            &operator,
            &good,
            404,
            "no dead letter 7",
        ),
    ] {
        let asked = async |accept: &str| {
            let request = dashboard.client.post(url(path)).bearer_auth(token);
            let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            let request = request.header(ACCEPT, accept).body(form.to_owned());
            request.send().await.unwrap()
        };
        let answer = asked("application/json").await;
        assert_eq!(answer.status(), status, "{path} {form}");
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(answer.headers()[VARY], "accept");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["status"], status);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{path} {form}: {detail}");
        for browser in [
            "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8",
            "*/*",
        ] {
            let answer = asked(browser).await;
            assert_eq!(answer.status(), status);
            assert_eq!(answer.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        }
    }
}

/// A dead letter of rack r0, by its number.
pub(crate) async fn dead_letter(dashboard: &Dashboard, body: &str) -> u64 {
    let bus = dashboard.ledger.bus();
    let state = bus.stream_state(stream::RACK).await.unwrap();
    let sequence = bus.stream_state(stream::DLQ).await.unwrap().last + 1;
    let letter = DeadLetter {
        v: DeadLetter::VERSION,
        subject: "rack.tick".into(),
        stream: stream::RACK.into(),
        sequence,
        stored_at: Timestamp::now(),
        headers: BTreeMap::new(),
        body: Body::of(body.as_bytes()),
        reason: "MAAS was away".into(),
        attempts: 9,
        at: Timestamp::now(),
        by: "w1".into(),
    };
    let id = format!("{}:{}:{sequence}", letter.stream, state.created);
    let subject = Subject::Dead(letter.subject.clone());
    let body = serde_json::to_vec(&letter).unwrap();
    bus.publish(Outgoing::new(subject, body).with_id(id))
        .await
        .unwrap();
    sequence
}

#[tokio::test]
async fn a_role_may_do_what_those_below_it_may_and_its_own() {
    let dashboard = Dashboard::start(&Teller::new(12).story(SIZE)).await;
    let letters = [
        dead_letter(&dashboard, "r0").await,
        dead_letter(&dashboard, "r 0").await,
    ];
    let newest = letters.map(|number| DeadView {
        number,
        at: Timestamp::now(),
        subject: "rack.tick".into(),
        attempts: 9,
        reason: "MAAS was away".into(),
        by: "w1".into(),
    });
    dashboard.standing.send_modify(|view| {
        view.at = Some(Timestamp::now());
        view.dead_letters = 2;
        view.newest_dead = newest.to_vec();
    });
    let url = |path: &str| format!("http://{}{path}", dashboard.address);
    let mut tokens = BTreeMap::new();
    for role in Role::ALL {
        let token = dashboard.tokens.add(role.name(), role, Timestamp::now());
        tokens.insert(role.name(), token.unwrap());
    }
    let page = async |role: &str, path: &str| {
        let request = dashboard.client.get(url(path)).bearer_auth(&tokens[role]);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let act = async |role: &str, path: &str, more: &str| {
        let (_, system) = page(role, "/system").await;
        let form = format!(
            "seal={}&reason=mended{more}",
            seal_of(&system).unwrap_or("none")
        );
        let request = dashboard.client.post(url(path)).bearer_auth(&tokens[role]);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.body(form).send().await.unwrap()
    };

    // What is shown.
    let [good, hopeless] = letters;
    for (role, replays, drops) in [
        ("viewer", false, false),
        ("operator", true, false),
        ("admin", true, true),
    ] {
        let (_, system) = page(role, "/system").await;
        assert!(system.contains("MAAS was away"), "{role}");
        let has = |what: &str| system.contains(&format!("/system/dead/{good}/{what}"));
        assert_eq!((has("replay"), has("drop")), (replays, drops), "{role}");
        let cautions = system.contains("past the slot&#39;s catch-up window")
            || system.contains("past the slot's catch-up window");
        assert_eq!(cautions, replays, "{role}");
        let expected = match drops {
            true => StatusCode::OK,
            false => StatusCode::FORBIDDEN,
        };
        assert_eq!(page(role, "/access").await.0, expected, "{role}");
    }

    // What is refused: all that needs more, with the role in the answer.
    let job = "00000000-0000-0000-0000-000000000000";
    let of_operators = [
        "/racks/r0/tick".to_owned(),
        "/racks/r0/pause".into(),
        "/racks/r0/resume".into(),
        format!("/jobs/{job}/cancel"),
        format!("/system/dead/{good}/replay"),
    ];
    let of_admins = [
        format!("/system/dead/{good}/drop"),
        "/access/add".into(),
        "/access/viewer/remove".into(),
    ];
    let refused = async |role: &str, path: &str, needed: &str| {
        let answer = act(role, path, "&name=eve&role=admin").await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{role} {path}");
        let says = answer.text().await.unwrap();
        let wanted = format!("needs the role {needed}");
        assert!(says.contains(&wanted), "{role} {path}: {says}");
    };
    for path in &of_operators {
        refused("viewer", path, "operator").await;
    }
    for path in &of_admins {
        refused("viewer", path, "admin").await;
        refused("operator", path, "admin").await;
    }
    let bus = dashboard.ledger.bus();
    assert_eq!(bus.stream_state(stream::RACK).await.unwrap().last, 0);
    assert_eq!(dead::list(bus).await.unwrap().len(), 2);
    assert_eq!(dashboard.tokens.holders().unwrap().len(), 3);

    // What is done.
    let replay = format!("/system/dead/{good}/replay");
    let answer = act("operator", &replay, "").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[LOCATION], "/system");
    assert_eq!(bus.stream_state(stream::RACK).await.unwrap().last, 1);
    let again = act("operator", &replay, "").await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    assert!(again.text().await.unwrap().contains("any more"));
    let answer = act("admin", &format!("/system/dead/{hopeless}/replay"), "").await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    let answer = act("admin", &format!("/system/dead/{hopeless}/drop"), "").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(dead::list(bus).await.unwrap(), []);
    let ticked = act("admin", "/racks/r0/tick", "").await;
    assert_eq!(ticked.status(), StatusCode::SEE_OTHER);

    let made = act("admin", "/access/add", "&name=ann&role=operator").await;
    assert_eq!(made.status(), StatusCode::OK);
    assert_eq!(made.headers()["cache-control"], "no-store");
    let made = made.text().await.unwrap();
    let token = made.split("<code>").nth(1).unwrap();
    let token = token.split('<').next().unwrap();
    let ann = dashboard.tokens.holder(token).unwrap().unwrap();
    assert_eq!((ann.name.as_str(), ann.role), ("ann", Role::Operator));
    let (_, access) = page("admin", "/access").await;
    assert!(access.contains("ann") && !access.contains(token));
    for (more, status) in [
        ("&name=ann&role=viewer", StatusCode::CONFLICT),
        ("&name=a+b&role=viewer", StatusCode::BAD_REQUEST),
        ("&name=bob&role=king", StatusCode::BAD_REQUEST),
    ] {
        let answer = act("admin", "/access/add", more).await;
        assert_eq!(answer.status(), status, "{more}");
    }
    let removed = act("admin", "/access/ann/remove", "").await;
    assert_eq!(removed.status(), StatusCode::SEE_OTHER);
    assert_eq!(removed.headers()[LOCATION], "/access");
    assert_eq!(dashboard.tokens.holder(token).unwrap(), None);
}
