#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! What Testflinger can answer to each call, good and bad, and what the caller is told.

#[path = "../../rest/tests/wire/mod.rs"]
mod wire;

use std::collections::BTreeSet;

use serde_json::json;
use testflinger::{
    Agent, Cancel, Class, JobResult, JobSummary, Limits, Phase, Presence, Root, Settings,
    Testflinger, TestflingerError,
};
use wire::{Step, Wire, answer, json};

const JOB: &str = "6d0f2f6a-5c1b-5c0e-9d53-7a1e8b42c9d0";

fn testflinger_with(wire: &Wire, limits: Limits) -> Testflinger {
    let server = Root::parse(&wire.url()).unwrap();
    Testflinger::new(Settings {
        server,
        credentials: None,
        limits,
        ca: None,
    })
    .unwrap()
}

fn testflinger(wire: &Wire) -> Testflinger {
    testflinger_with(wire, Limits::default())
}

/// A client of a server that always answers this.
async fn answering(raw: &str) -> (Testflinger, Wire) {
    let wire = Wire::answering(raw).await;
    (testflinger(&wire), wire)
}

fn text(status: &str, body: &str) -> String {
    answer(status, "content-type: text/html; charset=utf-8\r\n", body)
}

/// A 204 as the server sends it: its type still says JSON.
const NOTHING: &str = "HTTP/1.1 204 NO CONTENT\r\ncontent-type: application/json\r\n\r\n";

const PAGE: &str = "<!DOCTYPE html><html><body>Sign in</body></html>";

fn causes(error: &TestflingerError) -> (Class, &'static str) {
    (error.class(), error.cause())
}

#[tokio::test]
async fn agents_are_read_whatever_is_missing_or_new() {
    let (testflinger, wire) = answering(&json(
        r#"[
        {"name": "node1", "state": "waiting", "queues": ["node1", "tor"], "location": "TOR3", "job_id": "",
         "comment": "", "updated_at": "2026-11-21T00:55:32Z", "provision_streak_type": "fail",
         "provision_streak_count": 21, "restricted_to": {"node1": ["me", "you"]}, "log": ["x"], "new": {"a": []}},
        {"name": "node2", "state": "dreaming", "queues": null, "updated_at": {"$date": "2026-11-21T00:55:32Z"},
         "restricted_to": {}, "job_id": "6d0f"},
        {"name": "node3", "location": "", "updated_at": "2026-11-21T00:55:32+00:00Z"},
        {"name": "node4", "updated_at": "soon", "state": null, "restricted_to": null}
    ]"#,
    ))
    .await;
    let agents = testflinger.agents().await.unwrap();
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let updated_at = Some("2026-11-21T00:55:32Z".parse().unwrap());
    let missing = |name: &str| Agent {
        name: name.to_owned(),
        state: None,
        queues: BTreeSet::new(),
        location: None,
        job_id: None,
        updated_at: None,
        provision_streak_type: None,
        provision_streak_count: None,
        restricted_to: Default::default(),
    };
    assert_eq!(
        agents,
        [
            Agent {
                state: Some("waiting".into()),
                queues: set(&["node1", "tor"]),
                location: Some("TOR3".into()),
                updated_at,
                provision_streak_type: Some("fail".into()),
                provision_streak_count: Some(21),
                restricted_to: [("node1".to_owned(), set(&["me", "you"]))].into(),
                ..missing("node1")
            },
            Agent {
                state: Some("dreaming".into()),
                job_id: Some("6d0f".into()),
                updated_at,
                ..missing("node2")
            },
            Agent {
                updated_at,
                ..missing("node3")
            },
            missing("node4"),
        ]
    );
    assert_eq!(wire.requests()[0].line, "GET /v1/agents/data");
    let saved = serde_json::to_string(&agents).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Agent>>(&saved).unwrap(), agents);
}

#[tokio::test]
async fn what_is_not_a_list_of_agents_decides_nothing() {
    for body in [
        "null",
        "{}",
        "",
        "[null]",
        "[{}]",
        "[[]]",
        r#"[{"name": ""}]"#,
        r#"[{"name": 1}]"#,
        "[] x",
    ] {
        let error = answering(&json(body)).await.0.agents().await.unwrap_err();
        assert_eq!(causes(&error), (Class::Malformed, "malformed"), "{body}");
    }
    let error = answering(&json(PAGE)).await.0.agents().await.unwrap_err();
    assert_eq!(causes(&error), (Class::Malformed, "html"));
    let error = answering(NOTHING).await.0.agents().await.unwrap_err();
    assert_eq!(causes(&error), (Class::Malformed, "status"));
}

#[tokio::test]
async fn an_endless_list_ends_at_its_cap() {
    let wire = Wire::start(|_| {
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\n\r\n[".to_vec()),
            Step::Forever(br#"{"name": "a"},"#.repeat(100)),
        ]
    })
    .await;
    let limits = Limits {
        list_bytes: 1 << 20,
        ..Limits::default()
    };
    let error = testflinger_with(&wire, limits).agents().await.unwrap_err();
    assert_eq!(causes(&error), (Class::Malformed, "too_large"));
}

#[tokio::test]
async fn one_agent_is_there_or_clearly_not() {
    let (testflinger, wire) = answering(&json(r#"{"name": "a b/c", "state": "waiting"}"#)).await;
    assert_eq!(
        testflinger
            .agent("a b/c")
            .await
            .unwrap()
            .unwrap()
            .state
            .as_deref(),
        Some("waiting")
    );
    assert_eq!(wire.requests()[0].line, "GET /v1/agents/data/a%20b%2Fc");
    let error = testflinger.agent("other").await.unwrap_err();
    assert_eq!(error.cause(), "malformed");
    for unnameable in ["", ".", ".."] {
        assert_eq!(testflinger.agent(unnameable).await.unwrap(), None);
    }

    let (testflinger, _wire) = answering(&answer("404 NOT FOUND", "", "{}\n")).await;
    assert_eq!(testflinger.agent("node1").await.unwrap(), None);
    for other_404 in [
        "",
        "Not found: 404 Not Found: ...",
        PAGE,
        r#"{"message": "no"}"#,
    ] {
        let (testflinger, _wire) = answering(&text("404 NOT FOUND", other_404)).await;
        assert!(testflinger.agent("node1").await.is_err(), "{other_404}");
    }
    for not_an_agent in ["{}", "[]", "null"] {
        let error = answering(&json(not_an_agent))
            .await
            .0
            .agent("node1")
            .await
            .unwrap_err();
        assert_eq!(error.cause(), "malformed", "{not_an_agent}");
    }
}

#[tokio::test]
async fn a_job_is_absent_only_by_a_clean_204() {
    let (testflinger, wire) = answering(NOTHING).await;
    assert_eq!(testflinger.job(JOB).await.unwrap(), Presence::Absent);
    assert_eq!(wire.requests()[0].line, format!("GET /v1/job/{JOB}"));

    let body = format!(r#"{{"job_id": "{JOB}", "job_queue": "q", "exclude_agents": []}}"#);
    assert_eq!(
        answering(&json(&body)).await.0.job(JOB).await.unwrap(),
        Presence::There
    );

    for other in [
        "HTTP/1.1 204 NO CONTENT\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        json(r#"{"job_id": "another"}"#),
        json("{}"),
        json("null"),
        json("[]"),
        json(""),
        json(PAGE),
        text("404 Not Found", "Not found"),
        text("410 Gone", ""),
        text("500 Internal", "Unhandled Exception: x"),
        answer("302 Found", "location: /login\r\n", ""),
        answer("202 Accepted", "", ""),
    ] {
        assert!(answering(&other).await.0.job(JOB).await.is_err(), "{other}");
    }
}

#[tokio::test]
async fn a_result_is_its_state_and_its_phases() {
    let (testflinger, wire) = answering(&json(
        r#"{"job_state": "complete", "setup_status": 0, "provision_status": 46, "cleanup_status": 247,
            "device_info": {"device_ip": "10.0.0.1", "agent_name": "node1"}, "provision_output": "log",
            "future_status": 3, "test_status": null}"#,
    ))
    .await;
    let result = testflinger.result(JOB).await.unwrap().unwrap();
    assert_eq!(
        result,
        JobResult {
            job_state: Some("complete".into()),
            phases: [
                (Phase::Setup, 0),
                (Phase::Provision, 46),
                (Phase::Cleanup, 247)
            ]
            .into(),
            device_info: Some(json!({"device_ip": "10.0.0.1", "agent_name": "node1"})),
        }
    );
    assert_eq!(wire.requests()[0].line, format!("GET /v1/result/{JOB}"));
    let saved = serde_json::to_value(&result).unwrap();
    assert_eq!(
        saved["phases"],
        json!({"setup": 0, "provision": 46, "cleanup": 247})
    );
    assert_eq!(serde_json::from_value::<JobResult>(saved).unwrap(), result);

    let new = answering(&json(r#"{"job_state": "waiting"}"#))
        .await
        .0
        .result(JOB)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (new.job_state.as_deref(), new.phases.len()),
        (Some("waiting"), 0)
    );

    assert_eq!(answering(NOTHING).await.0.result(JOB).await.unwrap(), None);
    for other in [
        json("null"),
        json("[]"),
        json(""),
        json(PAGE),
        text("404 Not Found", ""),
        json(r#"{"job_state": 1}"#),
    ] {
        assert!(
            answering(&other).await.0.result(JOB).await.is_err(),
            "{other}"
        );
    }
}

#[tokio::test]
async fn the_log_in_a_result_costs_nothing() {
    let start = r#"{"provision_output": ""#;
    let end = r#"", "job_state": "complete", "provision_status": 0}"#;
    let line = br#"installing \u001b[1mthings\u001b[0m \ud83d\ude00 \"quoted\" \\ \n"#.to_vec();
    let length = start.len() + 200_000 * line.len() + end.len();
    let wire = Wire::start(move |_| {
        vec![
            Step::Send(
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{start}").into_bytes(),
            ),
            Step::Times(200_000, line.clone()),
            Step::Send(end.into()),
        ]
    })
    .await;
    let result = testflinger(&wire).result(JOB).await.unwrap().unwrap();
    assert_eq!(
        (
            result.job_state.as_deref(),
            result.phases[&Phase::Provision]
        ),
        (Some("complete"), 0)
    );

    let limits = Limits {
        result_bytes: 1 << 20,
        ..Limits::default()
    };
    let error = testflinger_with(&wire, limits)
        .result(JOB)
        .await
        .unwrap_err();
    assert_eq!(error.cause(), "too_large");
}

#[tokio::test]
async fn a_long_device_info_is_left_out() {
    let body =
        json!({"job_state": "complete", "device_info": {"log": "x".repeat(10_000)}}).to_string();
    let result = answering(&json(&body))
        .await
        .0
        .result(JOB)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(result.device_info, None);
}

#[tokio::test]
async fn jobs_are_listed_by_queue_and_by_tags() {
    let list = format!(
        r#"[{{"job_id": "{JOB}", "created_at": "2026-11-21T00:55:32Z", "job_state": "waiting"}},
                           {{"job_id": "b", "job_queue": "q"}}]"#
    );
    let want = [
        JobSummary {
            job_id: JOB.into(),
            job_state: Some("waiting".into()),
            created_at: Some("2026-11-21T00:55:32Z".parse().unwrap()),
        },
        JobSummary {
            job_id: "b".into(),
            job_state: None,
            created_at: None,
        },
    ];
    let (testflinger, wire) = answering(&json(&list)).await;
    assert_eq!(testflinger.queue_jobs("a b").await.unwrap(), want);
    assert_eq!(
        testflinger
            .search_by_tags(&["racktick", "racktick-rack:r7"])
            .await
            .unwrap(),
        want
    );
    let lines: Vec<String> = wire
        .requests()
        .into_iter()
        .map(|request| request.line)
        .collect();
    assert_eq!(
        lines,
        [
            "GET /v1/queues/a%20b/jobs",
            "GET /v1/job/search?tags=racktick&tags=racktick-rack%3Ar7&match=all"
        ]
    );
    assert_eq!(
        answering(NOTHING).await.0.queue_jobs("q").await.unwrap(),
        []
    );
    for other in [
        json("{}"),
        json("null"),
        json("[{}]"),
        json("[[]]"),
        text("404 Not Found", ""),
    ] {
        assert!(
            answering(&other).await.0.queue_jobs("q").await.is_err(),
            "{other}"
        );
    }
}

#[tokio::test]
async fn a_cancel_is_taken_or_too_late() {
    let (testflinger, wire) = answering(&text("200 OK", "OK")).await;
    assert_eq!(testflinger.cancel(JOB).await.unwrap(), Cancel::Cancelled);
    assert_eq!(
        wire.requests()[0].line,
        format!("POST /v1/job/{JOB}/action")
    );
    assert_eq!(wire.requests()[0].body, r#"{"action":"cancel"}"#);
    assert_eq!(
        wire.requests()[0].header("content-type"),
        Some("application/json")
    );

    let over = text(
        "400 BAD REQUEST",
        "The job is already completed or cancelled",
    );
    assert_eq!(
        answering(&over).await.0.cancel(JOB).await.unwrap(),
        Cancel::AlreadyOver
    );

    for (other, cause) in [
        (text("400 BAD REQUEST", "Invalid job id"), "status"),
        (text("400 BAD REQUEST", PAGE), "html"),
        (text("200 OK", PAGE), "html"),
        (text("200 OK", "Sure"), "malformed"),
        (
            answer("403 FORBIDDEN", "", r#"{"detail": {}, "message": "no"}"#),
            "forbidden",
        ),
        (text("500 Internal", "oh"), "status"),
    ] {
        let error = answering(&other).await.0.cancel(JOB).await.unwrap_err();
        assert_eq!(error.cause(), cause, "{other}");
    }
}

#[tokio::test]
async fn a_position_is_a_number_or_gone() {
    let (testflinger, wire) = answering(&text("200 OK", "3")).await;
    assert_eq!(testflinger.position(JOB).await.unwrap(), Some(3));
    assert_eq!(
        wire.requests()[0].line,
        format!("GET /v1/job/{JOB}/position")
    );
    let gone = text("410 GONE", "Job not found or already started");
    assert_eq!(answering(&gone).await.0.position(JOB).await.unwrap(), None);
    assert_eq!(
        answering(&text("200 OK", "many"))
            .await
            .0
            .position(JOB)
            .await
            .unwrap_err()
            .cause(),
        "malformed"
    );
    assert_eq!(
        answering(&text("410 GONE", PAGE))
            .await
            .0
            .position(JOB)
            .await
            .unwrap_err()
            .cause(),
        "html"
    );
}

#[tokio::test]
async fn a_server_is_known_by_its_greeting_and_tells_its_clock() {
    let headers = "date: Sat, 21 Nov 2020 08:00:00 GMT\r\n";
    let (testflinger, wire) =
        answering(&answer("200 OK", headers, "Testflinger Server v1.5.0\n")).await;
    let version = testflinger.version().await.unwrap();
    assert_eq!(version.version, "Testflinger Server v1.5.0");
    assert!(version.clock_offset.unwrap().is_negative());
    assert_eq!(wire.requests()[0].line, "GET /v1");
    for (other, cause) in [("It works!", "malformed"), (PAGE, "html")] {
        let error = answering(&text("200 OK", other))
            .await
            .0
            .version()
            .await
            .unwrap_err();
        assert_eq!(error.cause(), cause);
    }
}

#[tokio::test]
async fn a_refusal_by_rights_says_what_the_server_says() {
    let body = r#"{"detail": {}, "message": "Authentication is required for specified endpoint"}"#;
    let error = answering(&answer("401 UNAUTHORIZED", "", body))
        .await
        .0
        .agents()
        .await
        .unwrap_err();
    assert_eq!(causes(&error), (Class::Auth, "auth"));
    assert!(
        error
            .to_string()
            .ends_with("Authentication is required for specified endpoint"),
        "{error}"
    );

    let body = r#"{"detail": {}, "message": "Specified action requires role: admin"}"#;
    let error = answering(&answer("403 FORBIDDEN", "", body))
        .await
        .0
        .agents()
        .await
        .unwrap_err();
    assert_eq!(causes(&error), (Class::Auth, "forbidden"));
    assert!(
        error.to_string().contains("requires role: admin"),
        "{error}"
    );

    let error = answering(&text("403 Forbidden", PAGE))
        .await
        .0
        .agents()
        .await
        .unwrap_err();
    assert_eq!(causes(&error), (Class::Malformed, "html"));
}

#[tokio::test]
async fn an_anonymous_client_sends_no_authorization_and_has_no_queues() {
    let (testflinger, wire) = answering(&json("[]")).await;
    testflinger.agents().await.unwrap();
    testflinger.queue_jobs("q").await.unwrap();
    assert!(testflinger.allowed_queues().await.unwrap().is_empty());
    assert_eq!(wire.requests().len(), 2);
    assert!(
        wire.requests()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    assert_eq!(
        format!("{testflinger:?}"),
        format!("Testflinger({}/, anonymous)", wire.url())
    );
}
