#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Access tokens: fetched once for all, renewed, replaced after a 401, never shown.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, json};
use testflinger::{
    Class, Credentials, JobDocument, Limits, Root, Settings, SubmitError, Testflinger,
};
use testkit::wire::{Request, Step, Wire, answer, json};

const JOB: &str = "6d0f2f6a-5c1b-5c0e-9d53-7a1e8b42c9d0";

fn testflinger(wire: &Wire) -> Testflinger {
    let server = Root::parse(&wire.url()).unwrap();
    let credentials = Some(Credentials::new("me", &"hunter2".into()).unwrap());
    Testflinger::new(Settings {
        server,
        credentials,
        limits: Limits::default(),
        ca: None,
        secrets: Vec::new(),
    })
    .unwrap()
}

fn token(number: usize) -> String {
    let claims =
        json!({"permissions": {"client_id": "me", "allowed_queues": [format!("q{number}")]}})
            .to_string();
    format!("e30.{}.s", URL_SAFE_NO_PAD.encode(claims))
}

fn send(raw: String) -> Vec<Step> {
    vec![Step::Send(raw.into_bytes())]
}

/// A server that issues token 1, 2, ... for so many seconds each, and answers the rest as `play` says.
async fn issuing(
    seconds: u64,
    play: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
) -> Wire {
    let issued = AtomicUsize::new(0);
    Wire::start(move |request| match request.line.as_str() {
        "POST /v1/oauth2/token" => {
            assert_eq!(request.header("authorization"), Some("Basic bWU6aHVudGVyMg=="));
            let access_token = token(issued.fetch_add(1, Ordering::Relaxed) + 1);
            let body = json!({"access_token": access_token, "token_type": "Bearer", "expires_in": seconds,
                              "refresh_token": "r"});
            send(json(&body.to_string()))
        }
        _ => play(request),
    })
    .await
}

fn bearer(number: usize) -> String {
    format!("Bearer {}", token(number))
}

fn issued(wire: &Wire) -> usize {
    wire.requests()
        .iter()
        .filter(|request| request.line.contains("oauth2"))
        .count()
}

#[tokio::test]
async fn one_token_serves_all_clones_at_once() {
    let wire = issuing(600, |_| send(json("[]"))).await;
    let testflinger = testflinger(&wire);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let testflinger = testflinger.clone();
        calls.spawn(async move { testflinger.agents().await.map(drop) });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap().unwrap();
    }
    assert_eq!(issued(&wire), 1);
    let requests = wire.requests();
    let others: Vec<_> = requests
        .iter()
        .filter(|request| request.line == "GET /v1/agents/data")
        .collect();
    assert_eq!(others.len(), 20);
    assert!(
        others
            .iter()
            .all(|request| request.header("authorization") == Some(&bearer(1)))
    );
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    // A life of no length is over as soon as it begins.
    let wire = issuing(0, |_| send(json("[]"))).await;
    let testflinger = testflinger(&wire);
    testflinger.agents().await.unwrap();
    testflinger.agents().await.unwrap();
    assert_eq!(issued(&wire), 2);
    assert_eq!(
        wire.requests().last().unwrap().header("authorization"),
        Some(bearer(2).as_str())
    );
}

#[tokio::test]
async fn a_401_is_tried_once_more_with_a_new_token() {
    let wire = issuing(600, |request| match request.header("authorization") {
        Some(header) if header == bearer(1) => send(answer(
            "401 UNAUTHORIZED",
            "",
            r#"{"message": "Token has expired"}"#,
        )),
        _ => send(json(&format!(r#"{{"job_id": "{JOB}"}}"#))),
    })
    .await;
    let testflinger = testflinger(&wire);
    let document = JobDocument {
        job_id: JOB,
        job_queue: "q",
        name: "n",
        tags: &[],
        template: &Map::new(),
    };
    testflinger.submit(&document).await.unwrap();
    let posts: Vec<Request> = wire
        .requests()
        .into_iter()
        .filter(|request| request.line == "POST /v1/job")
        .collect();
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[0].body, posts[1].body);
    assert_eq!(issued(&wire), 2);
}

#[tokio::test]
async fn a_second_401_is_final() {
    let wire = issuing(600, |_| {
        send(answer("401 UNAUTHORIZED", "", r#"{"message": "no"}"#))
    })
    .await;
    let error = testflinger(&wire).agents().await.unwrap_err();
    assert_eq!((error.class(), error.cause()), (Class::Auth, "auth"));
    assert_eq!((issued(&wire), wire.requests().len()), (2, 4));
}

#[tokio::test]
async fn many_401s_at_once_fetch_one_new_token() {
    let wire = issuing(600, |request| match request.header("authorization") {
        Some(header) if header == bearer(1) => send(answer("401 UNAUTHORIZED", "", "")),
        _ => send(json("[]")),
    })
    .await;
    let testflinger = testflinger(&wire);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let testflinger = testflinger.clone();
        calls.spawn(async move { testflinger.agents().await.map(drop) });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap().unwrap();
    }
    assert_eq!(issued(&wire), 2);
}

#[tokio::test]
async fn bad_credentials_submit_nothing_and_are_never_shown() {
    let wire = Wire::start(|_| {
        send(answer(
            "401 UNAUTHORIZED",
            "",
            "Invalid client id hunter2 bWU6aHVudGVyMg==",
        ))
    })
    .await;
    let testflinger = testflinger(&wire);
    let error = testflinger.agents().await.unwrap_err();
    assert_eq!((error.class(), error.cause()), (Class::Auth, "auth"));
    let shown = format!("{error} {error:?} {testflinger:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("bWU6"),
        "{shown}"
    );

    let document = JobDocument {
        job_id: JOB,
        job_queue: "q",
        name: "n",
        tags: &[],
        template: &Map::new(),
    };
    let error = testflinger.submit(&document).await.unwrap_err();
    assert!(matches!(error, SubmitError::NotStored(_)), "{error:?}");
    assert!(
        wire.requests()
            .iter()
            .all(|request| request.line.contains("oauth2"))
    );
}

#[tokio::test]
async fn who_waits_for_a_token_that_cannot_be_had_fails_together() {
    // On one thread every call is waiting before the first answer can come.
    let wire = Wire::start(|_| {
        send(answer(
            "503 UNAVAILABLE",
            "retry-after: 9\r\n",
            "hunter2 is down",
        ))
    })
    .await;
    let testflinger = testflinger(&wire);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let testflinger = testflinger.clone();
        calls.spawn(async move { testflinger.allowed_queues().await.unwrap_err() });
    }
    while let Some(error) = calls.join_next().await {
        let error = error.unwrap();
        assert_eq!((error.class(), error.cause()), (Class::Transient, "status"));
        assert_eq!(error.retry_after().unwrap().as_secs(), 9);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert_eq!(issued(&wire), 1);
}

#[tokio::test]
async fn the_queues_of_our_client_are_known() {
    let wire = issuing(600, |_| send(json("[]"))).await;
    let queues = testflinger(&wire).allowed_queues().await.unwrap();
    assert_eq!(queues.into_iter().collect::<Vec<_>>(), ["q1"]);
    let token = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
    for odd in [
        "",
        "opaque",
        "a.b.c",
        &token("{}"),
        &token(r#"{"permissions": {}}"#),
        &token("[]"),
    ] {
        let wire = Wire::answering(&json(&json!({"access_token": odd}).to_string())).await;
        let queues = testflinger(&wire).allowed_queues().await.unwrap();
        assert!(queues.is_empty(), "{odd}");
    }
}

/// Everything that a careless server could put into what is kept of its answers.
fn repeating(request: &Request) -> String {
    let header = request.header("authorization").unwrap_or_default();
    format!("got {header} of {LONG_SECRET}")
}

/// Long enough to be told from a part of any word.
const LONG_SECRET: &str = "hunter2AndMore";

#[tokio::test]
async fn what_is_kept_of_an_answer_holds_no_secret() {
    let claims = json!({"permissions": {"allowed_queues": [format!("q-{LONG_SECRET}")]}});
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    let token = format!("eyJhbGciOiJIUzI1NiJ9.{claims}.signature");
    let issued = json(&json!({"access_token": token}).to_string());
    let wire = Wire::start(move |request| {
        let said = repeating(request);
        let path = request.line.split(' ').nth(1).unwrap();
        let agent = json!({"name": "n", "state": said, "queues": [said], "location": said,
                           "job_id": said, "restricted_to": {said.clone(): [said]}});
        let body = match path {
            "/v1/oauth2/token" => return send(issued.clone()),
            "/v1/agents/data/n" => agent,
            // Long enough to be read piece by piece.
            "/v1/agents/data" => json!([{"name": "m", "log": "x".repeat(600 << 10)}, agent]),
            path if path.starts_with("/v1/result/") => json!({
                "job_state": said, "provision_output": "x".repeat(600 << 10),
                "device_info": {"a": [{said.clone(): said}]}
            }),
            _ => json!([{"job_id": said, "job_state": said}]),
        };
        send(json(&body.to_string()))
    })
    .await;
    let testflinger = Testflinger::new(Settings {
        server: Root::parse(&wire.url()).unwrap(),
        credentials: Some(Credentials::new("me", &LONG_SECRET.into()).unwrap()),
        limits: Limits::default(),
        ca: None,
        secrets: Vec::new(),
    })
    .unwrap();
    let kept = [
        format!("{:?}", testflinger.allowed_queues().await.unwrap()),
        format!("{:?}", testflinger.agent("n").await.unwrap()),
        format!("{:?}", testflinger.agents().await.unwrap()),
        format!("{:?}", testflinger.result(JOB).await.unwrap()),
        format!("{:?}", testflinger.queue_jobs("n").await.unwrap()),
    ];
    for kept in kept {
        assert!(kept.contains("***"), "nothing was repeated: {kept}");
        for secret in [LONG_SECRET, token.as_str()] {
            assert!(!kept.contains(secret), "{kept}");
        }
    }
    // What was hidden is what was sent.
    let sent = format!("Bearer {token}");
    let bearer = wire
        .requests()
        .into_iter()
        .filter(|request| request.header("authorization") == Some(&sent));
    assert_eq!(bearer.count(), 4);
}

#[tokio::test]
async fn a_token_answer_that_is_none_is_malformed() {
    for body in ["null", "{}", "[]", r#"{"access_token": "a\nb"}"#] {
        let wire = Wire::answering(&json(body)).await;
        let error = testflinger(&wire).agents().await.unwrap_err();
        assert_eq!(
            (error.class(), error.cause()),
            (Class::Malformed, "malformed"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn the_version_is_asked_without_a_token() {
    let wire = issuing(600, |_| {
        send(answer("200 OK", "", "Testflinger Server v1.5.0"))
    })
    .await;
    testflinger(&wire).version().await.unwrap();
    assert_eq!(issued(&wire), 0);
    assert_eq!(wire.requests()[0].header("authorization"), None);
}
