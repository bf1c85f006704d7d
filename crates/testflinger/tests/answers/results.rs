//! Results of jobs.

use crate::*;

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
async fn what_is_kept_of_a_result_has_no_value_behind_a_name_that_tells_a_secret() {
    let (testflinger, _wire) = answering(&json(
        r#"{"job_state": "cancelled", "provision_status": 1, "provision_output": "token: s3cret\nfailed\n",
            "api_key": "s3cret",
            "device_info": {"agent_name": "node1", "bmc": [{"user": "ann", "password": "s3cret"}],
                            "says": "the password: s3cret"}}"#,
    ))
    .await;
    let logged = testflinger.logged(JOB, 1000).await.unwrap().unwrap();
    assert_eq!(
        serde_json::Value::from(logged.result),
        json!({
            "job_state": "cancelled", "provision_status": 1, "api_key": "***",
            "device_info": {
                "agent_name": "node1", "bmc": [{"user": "ann", "password": "***"}], "says": "the password: ***",
            },
        })
    );
    assert_eq!(logged.output[&Phase::Provision].end, "token: ***\nfailed\n");
    // What becomes a part of events is no other.
    let result = testflinger.result(JOB).await.unwrap().unwrap();
    assert_eq!(
        result.device_info,
        Some(json!({
            "agent_name": "node1", "bmc": [{"user": "ann", "password": "***"}], "says": "the password: ***",
        }))
    );
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
