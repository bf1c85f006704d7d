//! What operators do.

use std::time::Duration;

use dashboard::tokens::Role;
use jiff::Timestamp;
use model::action::{Deed, RackEvent};
use model::name::RackName;
use model::rack::RackRecord;
use model::schedule::Schedule;
use model::subject::stream;
use model::task::{Task, Tick};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, LOCATION};

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
    let tick = Tick::parse(&tick.body).unwrap();
    assert_eq!((tick.rack, tick.by.as_deref()), (rack, Some("olga")));
    assert_eq!(tick.reason.as_deref(), Some("after the repair"));
}
