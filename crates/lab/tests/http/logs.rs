//! Log fragments and artifacts.

use lab::LabConfig;
use serde_json::{Value, json};

use crate::client::{Bench, fast, slow};

async fn post(bench: &Bench, path: &str, body: Value) -> (u16, String) {
    let answer = bench.as_client("lab-agent", "POST", path, Some(body)).await;
    (answer.status, answer.text)
}

fn fragment(number: i64, phase: &str, time: &str, data: &str) -> Value {
    json!({"fragment_number": number, "phase": phase, "timestamp": time, "log_data": data})
}

#[tokio::test]
async fn fragments_are_joined_by_number_and_phase() {
    let bench = Bench::start(slow()).await;
    let id = bench.submit("q").await;
    let path = format!("/v1/result/{id}/log/output");
    for (number, phase, time, data) in [
        (1, "setup", "2026-11-21T00:00:02+00:00", "b"),
        (0, "setup", "2026-11-21T00:00:01Z", "a"),
        (2, "test", "2026-11-21T00:00:03", "c"),
    ] {
        assert_eq!(
            post(&bench, &path, fragment(number, phase, time, data)).await,
            (200, "OK".to_owned())
        );
    }
    let logs = bench.get(&path).await.json();
    assert_eq!(
        logs["output"]["setup"],
        json!({"last_fragment_number": 1, "log_data": "ab"})
    );
    assert_eq!(
        logs["output"]["cleanup"],
        json!({"last_fragment_number": -1, "log_data": ""})
    );
    assert_eq!(logs["output"].as_object().unwrap().len(), 7);
    let later = bench
        .get(&format!("{path}?phase=setup&start_fragment=1"))
        .await
        .json();
    assert_eq!(
        later,
        json!({"output": {"setup": {"last_fragment_number": 1, "log_data": "b"}}})
    );
    let since = bench
        .get(&format!(
            "{path}?phase=setup&start_timestamp=2026-11-21T00:00:02Z"
        ))
        .await
        .json();
    assert_eq!(since["output"]["setup"]["log_data"], "b");
    post(
        &bench,
        &format!("/v1/result/{id}/log/serial"),
        fragment(0, "setup", "2026-11-21T00:00:01Z", "s"),
    )
    .await;
    let result = bench.result(&id).await;
    assert_eq!(
        (&result["setup_output"], &result["setup_serial"]),
        (&json!("ab"), &json!("s"))
    );
    assert_eq!(result["test_output"], "c");
}

#[tokio::test]
async fn wrong_log_requests_are_refused_in_their_own_ways() {
    let bench = Bench::start(slow()).await;
    let id = bench.submit("q").await;
    let answer = bench.get(&format!("/v1/result/{id}/log/video")).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (500, "Unhandled Exception: Invalid log type\n")
    );
    let answer = bench
        .get(&format!(
            "/v1/result/{id}/log/output?phase=party&start_fragment=-1"
        ))
        .await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.json()["message"]["phase"][0]
            .as_str()
            .unwrap()
            .starts_with("Must be one of: setup, ")
    );
    assert_eq!(
        answer.json()["message"]["start_fragment"],
        json!(["Must be greater than or equal to 0."])
    );
    assert_eq!(bench.get("/v1/result/x/log/output").await.status, 400);
    let unknown = bench
        .get("/v1/result/00000000-0000-4000-8000-000000000000/log/output?phase=test")
        .await;
    assert_eq!(unknown.json()["output"]["test"]["last_fragment_number"], -1);
    let answer = post(
        &bench,
        &format!("/v1/result/{id}/log/output"),
        json!({"phase": "party"}),
    )
    .await;
    assert_eq!(answer.0, 422);
}

#[tokio::test]
async fn artifacts_are_kept_as_uploaded() {
    let bench = Bench::start(slow()).await;
    let id = bench.submit("q").await;
    let path = format!("/v1/result/{id}/artifact");
    assert_eq!(bench.get(&path).await.status, 204);
    let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nbytes\r\n--b--\r\n";
    let request = bench
        .request("POST", &path)
        .bearer_auth(bench.token("lab-agent").await)
        .header("content-type", "multipart/form-data; boundary=b")
        .body(body);
    assert_eq!(bench.send(request).await.text, "OK");
    let answer = bench.get(&path).await;
    assert_eq!(
        (answer.text.as_str(), answer.content_type.as_str()),
        ("bytes", "application/x-tar")
    );
    assert!(
        answer.headers["content-disposition"]
            .to_str()
            .unwrap()
            .contains("artifact.tar.gz")
    );
}

#[tokio::test]
async fn logs_are_as_long_as_asked() {
    let bench = Bench::start(LabConfig {
        log_bytes: 1 << 20,
        ..fast()
    })
    .await;
    let id = bench.submit("r1-m01").await;
    let result = bench.until_complete(&id).await;
    assert!(result["provision_output"].as_str().unwrap().len() >= 1 << 20);
}
