//! What pages show, and what every answer says of itself.

use std::collections::BTreeSet;

use dashboard::follow::Progress;
use jiff::Timestamp;
use model::event::{Event, Fact};
use model::id::CycleId;
use model::name::RackName;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_SECURITY_POLICY, HOST};
use serde_json::Value;

use crate::dashboard::Dashboard;

fn first<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap()
}

#[tokio::test]
async fn every_page_shows_what_the_api_says() {
    let dashboard = Dashboard::told(3).await;
    let fleet = dashboard.json("/api/v1/fleet").await;
    let rack = first(&fleet, "/racks/0/rack");
    let machine = first(&fleet, "/racks/0/cells/0/machine");
    let cycle = first(&fleet, "/racks/0/last/cycle");
    let job = fleet["racks"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|rack| rack["cells"].as_array().unwrap())
        .find_map(|cell| cell.pointer("/last/job"))
        .and_then(Value::as_str)
        .unwrap();
    for (page, api, word) in [
        ("/".to_owned(), "/api/v1/fleet".to_owned(), machine),
        (
            format!("/racks/{rack}"),
            format!("/api/v1/racks/{rack}"),
            machine,
        ),
        (
            format!("/cycles/{cycle}"),
            format!("/api/v1/cycles/{cycle}"),
            rack,
        ),
        (
            format!("/machines/{machine}"),
            format!("/api/v1/machines/{machine}"),
            rack,
        ),
        (format!("/jobs/{job}"), format!("/api/v1/jobs/{job}"), job),
        (
            "/trends?days=3650".into(),
            "/api/v1/trends?days=3650".into(),
            rack,
        ),
        ("/now".into(), "/api/v1/events".into(), rack),
    ] {
        assert!(dashboard.page(&page).await.contains(word), "{page}");
        let answer = dashboard.json(&api).await;
        assert!(answer["as_of"]["at"].is_string(), "{api}: {answer}");
        assert!(answer.to_string().contains(word), "{api}");
    }
}

#[tokio::test]
async fn whoever_cannot_hear_of_the_broker_says_since_when() {
    let dashboard = Dashboard::told(7).await;
    assert_eq!(dashboard.page("/readyz").await, "ok\n");
    assert!(!dashboard.page("/").await.contains("was not heard of"));
    dashboard
        .progress
        .send_modify(|progress| progress.at = Some("2026-11-28T00:00:00Z".parse().unwrap()));
    let page = dashboard.page("/").await;
    assert!(
        page.contains("The broker was not heard of since <time datetime=\"2026-11-28T00:00:00Z\"")
    );
    let says = dashboard
        .problem("/readyz", StatusCode::SERVICE_UNAVAILABLE)
        .await;
    assert!(says.contains("2026-11-28T00:00:00Z"), "{says}");
    dashboard.progress.send_replace(Progress {
        at: Some(Timestamp::now()),
        pending: 3,
        ..Progress::default()
    });
    let says = dashboard
        .problem("/readyz", StatusCode::SERVICE_UNAVAILABLE)
        .await;
    assert!(says.contains("3 events are still to be read"), "{says}");
    dashboard.progress.send_replace(Progress::default());
    let says = dashboard
        .problem("/readyz", StatusCode::SERVICE_UNAVAILABLE)
        .await;
    assert!(says.contains("not read yet"), "{says}");
    assert_eq!(dashboard.page("/healthz").await, "ok\n");
}

#[tokio::test]
async fn what_strangers_wrote_is_text() {
    let hostile = "<script>alert(1)</script>\u{202e}";
    let rack = RackName::new("r0").unwrap();
    let slot: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
    let event = |seconds, fact| Event {
        time: slot + jiff::SignedDuration::from_secs(seconds),
        rack: rack.clone(),
        cycle: CycleId::of_slot(&rack, slot),
        fact,
    };
    let by_hand = Fact::CycleStarted {
        origin: model::cycle::Origin::Manual {
            by: Some(hostile.into()),
            reason: Some(hostile.into()),
        },
    };
    let failed = Fact::CycleFailed {
        attempts: 1,
        cause: hostile.into(),
        message: hostile.into(),
    };
    let dashboard = Dashboard::start(&[event(0, by_hand), event(1, failed)]).await;
    let cycle = format!("/cycles/{}", CycleId::of_slot(&rack, slot));
    for path in [
        "/",
        "/racks/r0",
        &cycle,
        "/now",
        "/?q=%3Cscript%3Ealert(1)%3C/script%3E",
    ] {
        let page = dashboard.page(path).await;
        assert!(!page.contains("<script>"), "{path}");
        assert!(page.contains("&lt;script&gt;"), "{path}");
    }
}

#[tokio::test]
async fn every_answer_allows_nothing_from_elsewhere() {
    let dashboard = Dashboard::told(8).await;
    let mut policies = BTreeSet::new();
    for path in [
        "/",
        "/api/v1/fleet",
        "/assets/live.js",
        "/healthz",
        "/nothing",
    ] {
        let answer = dashboard.get(path).await;
        let policy = answer.headers()[CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{path}");
        assert_eq!(
            answer.headers()["x-content-type-options"],
            "nosniff",
            "{path}"
        );
        policies.insert(policy);
    }
    assert_eq!(policies.len(), 1);
    let page = dashboard.page("/").await;
    assert!(!page.contains(" style=") && !page.contains(" onclick="));

    let under_another_name = async |path: &str| {
        let url = format!("http://{}{path}", dashboard.address);
        let request = dashboard.client.get(url).header(HOST, "evil.example");
        request.send().await.unwrap().status()
    };
    let refused = under_another_name("/api/v1/fleet").await;
    assert_eq!(refused, StatusCode::MISDIRECTED_REQUEST);
    // Probes call a pod by its address.
    assert_eq!(under_another_name("/readyz").await, StatusCode::OK);
}
