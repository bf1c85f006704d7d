//! Jobs: whether they are there, where they stand, and cancelling them.

use crate::*;

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
