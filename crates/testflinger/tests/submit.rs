#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! The one call that must not be guessed about: what a submit ended as.

use std::time::Duration;

use serde_json::{Map, Value, json};
use testflinger::{Class, JobDocument, Limits, Root, Settings, SubmitError, Testflinger};
use testkit::wire::{Step, Wire, answer, json};

const JOB: &str = "6d0f2f6a-5c1b-5c0e-9d53-7a1e8b42c9d0";
/// Short for a test that waits for it, long for a busy machine.
const SHORT: Duration = Duration::from_secs(1);

fn testflinger(url: &str, limits: Limits) -> Testflinger {
    let server = Root::parse(url).unwrap();
    Testflinger::new(Settings {
        server,
        credentials: None,
        limits,
        ca: None,
        secrets: Vec::new(),
    })
    .unwrap()
}

async fn submit(testflinger: &Testflinger) -> Result<(), SubmitError> {
    let template: Map<String, Value> = json!({"provision_data": {"distro": "noble"}})
        .as_object()
        .unwrap()
        .clone();
    let tags = ["racktick".to_owned()];
    let document = JobDocument {
        job_id: JOB,
        job_queue: "node1",
        name: "racktick r7 node1",
        tags: &tags,
        template: &template,
    };
    testflinger.submit(&document).await
}

/// What a submit ends as at a server that takes these steps, and how many requests that server saw.
async fn ends(
    limits: Limits,
    steps: impl Fn() -> Vec<Step> + Send + Sync + 'static,
) -> (Result<(), SubmitError>, usize) {
    let wire = Wire::start(move |_| steps()).await;
    let ended = submit(&testflinger(&wire.url(), limits)).await;
    (ended, wire.requests().len())
}

async fn answered(raw: &str) -> Result<(), SubmitError> {
    let raw = raw.as_bytes().to_vec();
    let (ended, requests) = ends(Limits::default(), move || vec![Step::Send(raw.clone())]).await;
    assert_eq!(requests, 1, "a submit is sent once");
    ended
}

fn stored(job: &str) -> String {
    json(&format!(r#"{{"job_id": "{job}"}}"#))
}

const PAGE: &str = "<html><body>gateway</body></html>";

#[tokio::test]
async fn a_job_is_stored_when_the_server_names_it() {
    let wire = Wire::answering(&stored(JOB)).await;
    submit(&testflinger(&wire.url(), Limits::default()))
        .await
        .unwrap();
    let request = &wire.requests()[0];
    assert_eq!(request.line, "POST /v1/job");
    assert_eq!(request.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let want = json!({"job_id": JOB, "job_queue": "node1", "name": "racktick r7 node1", "tags": ["racktick"],
                      "provision_data": {"distro": "noble"}});
    assert_eq!(body, want);
}

#[tokio::test]
async fn a_400_or_422_is_refused_for_good_with_the_servers_words() {
    let unknown_field =
        r#"{"detail": {"json": {"x": ["Unknown field."]}}, "message": "Validation error"}"#;
    for (status, body, want_status, want) in [
        (
            "400 BAD REQUEST",
            r#"{"detail": {}, "message": "Invalid job_id specified"}"#,
            400,
            "Invalid job_id specified",
        ),
        (
            "422 UNPROCESSABLE",
            unknown_field,
            422,
            r#"Validation error: {"json":{"x":["Unknown field."]}}"#,
        ),
        ("422 UNPROCESSABLE", "plain words", 422, "plain words"),
        ("422 UNPROCESSABLE", "", 422, ""),
    ] {
        let error = answered(&answer(status, "", body)).await.unwrap_err();
        assert_eq!((error.class(), error.cause()), (Class::Rejected, "refused"));
        match error {
            SubmitError::Refused { status, message } => {
                assert_eq!((status, message.as_str()), (want_status, want))
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn our_trouble_is_known_to_have_stored_nothing() {
    let body = r#"{"detail": {}, "message": "no"}"#;
    for (status, cause) in [
        ("401 UNAUTHORIZED", "auth"),
        ("403 FORBIDDEN", "forbidden"),
        ("404 NOT FOUND", "status"),
        ("429 TOO MANY", "throttled"),
    ] {
        let error = answered(&answer(status, "retry-after: 7\r\n", body))
            .await
            .unwrap_err();
        assert!(matches!(error, SubmitError::NotStored(_)), "{error:?}");
        assert_eq!(error.cause(), cause);
        let wait = (!matches!(cause, "auth" | "forbidden")).then_some(Duration::from_secs(7));
        assert_eq!(error.retry_after(), wait);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_has_stored_nothing() {
    drop(Wire::answering("").await);
    let error = submit(&testflinger(
        "http://no-such-host.invalid",
        Limits::default(),
    ))
    .await
    .unwrap_err();
    assert!(matches!(error, SubmitError::NotStored(_)), "{error:?}");
    assert_eq!(error.class(), Class::Transient);
}

#[tokio::test]
async fn whatever_does_not_prove_an_end_is_unknown() {
    for raw in [
        stored("another"),
        stored(&JOB.to_uppercase()),
        json("{}"),
        json("[]"),
        json("null"),
        json(""),
        json("OK"),
        json(PAGE),
        answer("201 CREATED", "", &format!(r#"{{"job_id": "{JOB}"}}"#)),
        answer("204 NO CONTENT", "", ""),
        answer("302 FOUND", "location: /elsewhere\r\n", ""),
        answer("400 BAD REQUEST", "", PAGE),
        answer("403 FORBIDDEN", "", PAGE),
        answer("404 NOT FOUND", "", PAGE),
        answer("408 TIMEOUT", "", ""),
        answer("409 CONFLICT", "", ""),
        answer("500 INTERNAL", "", "Unhandled Exception"),
        answer("502 BAD GATEWAY", "", PAGE),
        answer("503 UNAVAILABLE", "", ""),
        answer("504 TIMEOUT", "", ""),
    ] {
        let error = answered(&raw).await.unwrap_err();
        assert!(matches!(error, SubmitError::Unknown(_)), "{raw}: {error:?}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_or_falls_silent_leaves_it_unknown() {
    let limits = || Limits {
        first_byte: SHORT,
        silence: SHORT,
        ..Limits::default()
    };
    let half = |status: &str| {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 99\r\n\r\n{{");
        move || Step::Send(head.clone().into_bytes())
    };
    let (ok, bad) = (half("200 OK"), half("400 BAD REQUEST"));
    let (ok_again, bad_again) = (ok.clone(), bad.clone());
    type Steps = Box<dyn Fn() -> Vec<Step> + Send + Sync>;
    let cases: [(&str, Steps); 7] = [
        ("timeout", Box::new(|| vec![Step::Hang])),
        ("cut", Box::new(|| vec![Step::Close])),
        ("cut", Box::new(|| vec![Step::Reset])),
        ("cut", Box::new(move || vec![ok(), Step::Close])),
        ("timeout", Box::new(move || vec![ok_again(), Step::Hang])),
        ("status", Box::new(move || vec![bad(), Step::Close])),
        ("status", Box::new(move || vec![bad_again(), Step::Hang])),
    ];
    for (cause, steps) in cases {
        let (ended, requests) = ends(limits(), steps).await;
        let error = ended.unwrap_err();
        assert!(matches!(error, SubmitError::Unknown(_)), "{error:?}");
        assert_eq!((error.cause(), requests), (cause, 1), "{error:?}");
    }
}

#[tokio::test]
async fn a_submit_on_a_connection_that_was_used_before_is_sent_once_even_when_it_breaks() {
    let wire = Wire::start(|request| match request.line.starts_with("POST") {
        true => vec![Step::Reset],
        false => vec![Step::Send(json("[]").into_bytes())],
    })
    .await;
    let testflinger = testflinger(&wire.url(), Limits::default());
    testflinger.agents().await.unwrap();
    let error = submit(&testflinger).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unknown(_)), "{error:?}");
    let posts = wire
        .requests()
        .iter()
        .filter(|request| request.line.starts_with("POST"))
        .count();
    assert_eq!(posts, 1);
}
