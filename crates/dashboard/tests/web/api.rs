//! Lists in pieces, and what is said of what makes no sense.

use jiff::Timestamp;
use model::id::CycleId;
use model::name::RackName;
use reqwest::StatusCode;

use crate::dashboard::Dashboard;

#[tokio::test]
async fn a_list_is_read_piece_by_piece_without_a_gap() {
    let dashboard = Dashboard::told(4).await;
    let whole = dashboard.json("/api/v1/events?limit=1000").await;
    let whole = whole["items"].as_array().unwrap().clone();
    let mut pieces = Vec::new();
    let mut after = String::new();
    loop {
        let piece = dashboard
            .json(&format!("/api/v1/events?limit=37{after}"))
            .await;
        pieces.extend(piece["items"].as_array().unwrap().clone());
        match piece["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert!(whole.len() > 37 && whole.len() < 1000);
    assert_eq!(pieces, whole);
    let of_one = dashboard
        .json("/api/v1/events?rack=r1&kind=job.finished&limit=1000")
        .await;
    let of_one = of_one["items"].as_array().unwrap();
    let expected = whole
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
