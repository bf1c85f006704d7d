//! Faults on request.

use std::error::Error as _;
use std::time::{Duration, Instant};

use lab::{Fault, FaultKind};
use serde_json::json;

use crate::client::{Answer, Bench, slow};

async fn struck(fault: Fault, path: &str) -> (Bench, Result<reqwest::Response, reqwest::Error>) {
    let bench = Bench::start(slow()).await;
    bench.lab.inject(fault);
    let response = bench.request("GET", path).send().await;
    (bench, response)
}

fn is_reset(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::ConnectionReset;
        }
        cause = error.source();
    }
    false
}

#[tokio::test]
async fn a_status_comes_instead_of_the_work() {
    let bench = Bench::start(slow()).await;
    bench.lab.inject(Fault {
        status: Some(429),
        retry_after: Some(7),
        ..Fault::new("POST /v1/job", FaultKind::Status)
    });
    let answer = bench.post("/v1/job", json!({"job_queue": "q"})).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.headers["retry-after"], "7");
    let stats = bench.lab.stats();
    assert_eq!((stats.jobs_submitted, stats.faults["status"]), (0, 1));
    assert_eq!(
        bench
            .post("/v1/job", json!({"job_queue": "q"}))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_late_answer_is_right() {
    let bench = Bench::start(slow()).await;
    bench.lab.inject(Fault {
        delay_ms: 150,
        ..Fault::new("testflinger", FaultKind::Latency)
    });
    let began = Instant::now();
    let answer = bench.get("/v1").await;
    assert!(began.elapsed() >= Duration::from_millis(150));
    assert_eq!(answer.text, "Testflinger Server v1.5.0");
}

#[tokio::test]
async fn a_hanging_request_gets_no_answer_with_or_without_the_work() {
    let bench = Bench::start(slow()).await;
    for (kind, stored) in [(FaultKind::Hang, 0), (FaultKind::HangAfter, 1)] {
        bench.lab.inject(Fault::new("/v1/job", kind));
        let request = bench
            .request("POST", "/v1/job")
            .json(&json!({"job_queue": "q"}));
        let error = request
            .timeout(Duration::from_secs(1))
            .send()
            .await
            .unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(bench.lab.jobs().len(), stored, "{kind:?}");
    }
}

#[tokio::test]
async fn a_reset_comes_before_or_after_the_work() {
    let bench = Bench::start(slow()).await;
    for (kind, stored) in [(FaultKind::ResetBefore, 0), (FaultKind::ResetAfter, 1)] {
        bench.lab.inject(Fault::new("POST /v1/job", kind));
        let error = bench
            .request("POST", "/v1/job")
            .json(&json!({"job_queue": "q"}))
            .send()
            .await
            .unwrap_err();
        assert!(is_reset(&error), "{error:?}");
        assert_eq!(bench.lab.jobs().len(), stored, "{kind:?}");
    }
}

#[tokio::test]
async fn a_body_breaks_off() {
    let (_bench, response) = struck(
        Fault::new("testflinger", FaultKind::Truncate),
        "/v1/agents/data",
    )
    .await;
    let response = response.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn bodies_that_mean_nothing_come_with_200() {
    for (kind, body) in [(FaultKind::EmptyList, "[]\n"), (FaultKind::Null, "null\n")] {
        let (_bench, response) = struck(Fault::new("all", kind), "/v1/agents/data").await;
        let answer = Answer::of(response.unwrap()).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, body));
    }
    let (_bench, response) = struck(Fault::new("all", FaultKind::Html), "/v1/agents/data").await;
    let answer = Answer::of(response.unwrap()).await;
    assert_eq!(
        (answer.status, answer.content_type.as_str()),
        (200, "text/html; charset=utf-8")
    );
    let (_bench, response) =
        struck(Fault::new("all", FaultKind::Malformed), "/v1/agents/data").await;
    let answer = Answer::of(response.unwrap()).await;
    assert!(serde_json::from_str::<serde_json::Value>(&answer.text).is_err());
}

#[tokio::test]
async fn an_endless_body_does_not_end() {
    let (_bench, response) = struck(Fault::new("all", FaultKind::Endless), "/v1/agents/data").await;
    let mut response = response.unwrap();
    let mut received = 0;
    while received < 8 << 20 {
        received += response.chunk().await.unwrap().unwrap().len();
    }
}

#[tokio::test]
async fn faults_are_posted_listed_and_cleared_over_http() {
    let bench = Bench::start(slow()).await;
    let fault = json!({"target": "maas", "kind": "status", "status": 500, "count": 0});
    assert_eq!(bench.post("/lab/faults", fault).await.status, 200);
    assert_eq!(bench.get("/lab/faults").await.json()[0]["target"], "maas");
    for _ in 0..3 {
        assert_eq!(bench.maas_get("version/").await.status, 500);
    }
    assert_eq!(bench.get("/v1").await.status, 200);
    assert_eq!(
        bench
            .call("DELETE", "/lab/faults", json!(null))
            .await
            .status,
        200
    );
    assert_eq!(bench.maas_get("version/").await.status, 200);
    assert_eq!(bench.get("/lab/stats").await.json()["faults"]["status"], 3);
    let wrong = bench
        .post("/lab/faults", json!({"target": "maas", "kind": "fire"}))
        .await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.message().contains("fire"), "{wrong:?}");
}
