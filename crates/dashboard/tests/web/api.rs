//! Lists in pieces, and what is said of what makes no sense.

use dashboard::history::{Batch, Position};
use jiff::{SignedDuration, Timestamp};
use model::id::CycleId;
use model::name::RackName;
use reqwest::StatusCode;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use serde_json::Value;

use crate::dashboard::{Dashboard, SIZE};
use crate::support::story::Teller;
use crate::support::{now, write};

#[tokio::test]
async fn a_list_is_read_piece_by_piece_without_a_gap() {
    let dashboard = Dashboard::told(4).await;
    let items = async |path: &str, query: &str| {
        let view = dashboard.json(&format!("/api/v1/{path}?{query}")).await;
        let items = view["items"].as_array().unwrap().clone();
        (items, view["next"].as_str().map(str::to_owned))
    };
    let whole = async |path: &str| items(path, "limit=1000").await.0;
    for (path, at_once) in [
        ("events", 37),
        ("cycles", 5),
        ("racks/r1/cycles", 5),
        ("machines/node1.1/decisions", 5),
    ] {
        let whole = whole(path).await;
        assert!(whole.len() > at_once && whole.len() < 1000, "{path}");
        let (mut pieces, mut after) = (Vec::new(), String::new());
        loop {
            let (piece, next) = items(path, &format!("limit={at_once}{after}")).await;
            assert!(piece.len() <= at_once, "{path}");
            pieces.extend(piece);
            match next {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(pieces, whole, "{path}");
    }
    let all = whole("cycles").await;
    for rack in ["r0", "r1"] {
        let of_one = all.iter().filter(|cycle| cycle["rack"] == rack).cloned();
        let of_one: Vec<_> = of_one.collect();
        assert_eq!(whole(&format!("racks/{rack}/cycles")).await, of_one);
        // What its page begins with is of this rack alone, too.
        let view = dashboard.json(&format!("/api/v1/racks/{rack}")).await;
        let has_ended = |cycle: &Value| cycle["state"] != "running" && cycle["state"] != "planning";
        let running = of_one.iter().rev().filter(|cycle| !has_ended(cycle));
        let running: Vec<_> = running.cloned().collect();
        assert_eq!(view["running"], Value::from(running), "{rack}");
    }
    let of_one = dashboard
        .json("/api/v1/events?rack=r1&kind=job.finished&limit=1000")
        .await;
    let of_one = of_one["items"].as_array().unwrap();
    let events = whole("events").await;
    let expected = events
        .iter()
        .filter(|event| event["rack"] == "r1" && event["kind"] == "job.finished");
    assert_eq!(of_one.len(), expected.count());
}

#[tokio::test]
async fn what_is_not_there_or_makes_no_sense_is_said() {
    let dashboard = Dashboard::told(5).await;
    let nobody = CycleId::of_slot(&RackName::new("r9").unwrap(), Timestamp::UNIX_EPOCH);
    for path in [
        "/racks/r9".to_owned(),
        "/machines/nobody".into(),
        format!("/cycles/{nobody}"),
        format!("/jobs/{nobody}"),
    ] {
        assert_eq!(
            dashboard.get(&path).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
        let api = format!("/api/v1{path}");
        let says = dashboard.problem(&api, StatusCode::NOT_FOUND).await;
        assert!(says.contains("no event has told of it"), "{says}");
    }
    let long = format!("/machines/{}", "x".repeat(300));
    for path in ["/cycles/x", "/jobs/x", "/racks/r.7", &long] {
        assert_eq!(
            dashboard.get(path).await.status(),
            StatusCode::BAD_REQUEST,
            "{path}"
        );
        dashboard
            .problem(&format!("/api/v1{path}"), StatusCode::BAD_REQUEST)
            .await;
    }
    let says = dashboard
        .problem("/api/v1/events?after=x", StatusCode::BAD_REQUEST)
        .await;
    assert!(says.contains("`x` is no place in a list"), "{says}");
    dashboard
        .problem("/api/v1/trends?days=0", StatusCode::BAD_REQUEST)
        .await;
    dashboard
        .problem("/api/v1/nothing", StatusCode::NOT_FOUND)
        .await;
    assert_eq!(
        dashboard.get("/nothing").await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let mut teller = Teller::new(24);
    let mut dashboard = Dashboard::start(&teller.round(0, SIZE)).await;
    let machine = "/api/v1/machines/node0.1";
    let has = async |dashboard: &Dashboard, path: &str, tag: &str| {
        let url = format!("http://{}{path}", dashboard.address);
        let request = dashboard.client.get(url).header(IF_NONE_MATCH, tag);
        request.send().await.unwrap()
    };
    let tag = async |dashboard: &Dashboard, path: &str| {
        let answer = dashboard.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.headers()[ETAG].to_str().unwrap().to_owned()
    };
    let mut tags = Vec::new();
    for path in [
        "/api/v1/fleet",
        "/api/v1/racks",
        "/api/v1/racks/r0",
        "/api/v1/racks/r0/cycles",
        "/api/v1/cycles",
        machine,
        "/api/v1/events",
        "/api/v1/trends?days=3650",
        "/api/v1/system",
    ] {
        tags.push((path, tag(&dashboard, path).await));
    }
    // As of another moment, the same is true.
    let stays = Position {
        stream_created: now(),
        sequence: 1_000_000,
        stored_at: None,
    };
    let batch = Batch {
        events: Vec::new(),
        actions: Vec::new(),
        ignored: 7,
        position: stays,
    };
    let later = now() + SignedDuration::from_hours(1);
    dashboard.writer.write(&batch, later).unwrap();
    for (path, tag) in &tags {
        assert!(tag.starts_with("W/\""), "{path}: {tag}");
        let answer = has(&dashboard, path, &format!("\"other\", {tag}")).await;
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(answer.headers()[ETAG], tag.as_str());
        // Nobody in between keeps what only some may read.
        assert_eq!(answer.headers()[CACHE_CONTROL], "private, no-cache");
        if *path != "/api/v1/system" {
            assert_eq!(answer.headers()["racktick-as-of"], later.to_string());
        }
        assert!(!answer.headers().contains_key(CONTENT_TYPE), "{path}");
        assert!(answer.bytes().await.unwrap().is_empty());
    }
    write(&mut dashboard.writer, &teller.round(1, SIZE), 100);
    for (path, tag) in tags {
        let expected = match path {
            // The same racks, and the broker.
            "/api/v1/racks" | "/api/v1/system" => StatusCode::NOT_MODIFIED,
            _ => StatusCode::OK,
        };
        assert_eq!(
            has(&dashboard, path, &tag).await.status(),
            expected,
            "{path}"
        );
    }
    let style = tag(&dashboard, "/assets/style.css").await;
    assert!(style.starts_with('"'), "{style}");
    let answer = has(&dashboard, "/assets/style.css", &style).await;
    assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(
        has(&dashboard, "/api/v1/nothing", "*").await.status(),
        StatusCode::NOT_FOUND
    );
}
