//! Submitting, reading and cancelling jobs.

use lab::LabConfig;
use serde_json::{Value, json};

use crate::client::{Bench, slow};

const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

#[tokio::test]
async fn our_id_is_kept_and_stored_as_often_as_it_is_sent() {
    let bench = Bench::start(slow()).await;
    for _ in 0..2 {
        let answer = bench
            .post("/v1/job", json!({"job_id": ID, "job_queue": "r1-m01"}))
            .await;
        assert_eq!(
            (answer.status, answer.content_type.as_str()),
            (200, "application/json")
        );
        assert_eq!(answer.text, format!("{{\"job_id\":\"{ID}\"}}\n"));
    }
    let listed = bench.get("/v1/queues/r1-m01/jobs").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(
        (&listed[0]["job_id"], &listed[0]["job_state"]),
        (&json!(ID), &json!("waiting"))
    );
    assert_eq!(listed[0]["job_queue"], "r1-m01");
    // Two stored, two cancels, and only the first is read.
    assert_eq!(bench.cancel(ID).await.status, 200);
    assert_eq!(bench.result(ID).await["job_state"], "cancelled");
    assert_eq!(bench.get(&format!("/v1/job/{ID}/position")).await.text, "0");
    assert_eq!(bench.cancel(ID).await.status, 200);
    assert_eq!(bench.cancel(ID).await.status, 400);
}

#[tokio::test]
async fn an_id_is_made_when_none_is_given() {
    let bench = Bench::start(slow()).await;
    for body in [
        json!({"job_queue": "q"}),
        json!({"job_queue": "q", "job_id": ""}),
    ] {
        let id = bench.submit_job(body).await;
        assert_eq!(id.len(), 36);
        assert_eq!(bench.result(&id).await["job_state"], "waiting");
    }
    let odd = "6BA7B8109DAD11D180B400C04FD430C8";
    assert_eq!(
        bench
            .post("/v1/job", json!({"job_queue": "q", "job_id": odd}))
            .await
            .json()["job_id"],
        odd
    );
    assert_eq!(bench.get(&format!("/v1/job/{ID}")).await.status, 204);
}

#[tokio::test]
async fn an_id_that_is_none_is_refused_in_each_endpoints_own_way() {
    let bench = Bench::start(slow()).await;
    let answer = bench
        .post("/v1/job", json!({"job_queue": "q", "job_id": "x"}))
        .await;
    assert_eq!(
        (answer.status, answer.json()),
        (
            400,
            json!({"detail": {}, "message": "Invalid job_id specified"})
        )
    );
    for path in ["/v1/job/x", "/v1/result/x", "/v1/job/x/position"] {
        let answer = bench.get(path).await;
        assert_eq!(
            (answer.status, answer.message().as_str()),
            (400, "Invalid job_id specified"),
            "{path}"
        );
    }
    let answer = bench.cancel("x").await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (400, "Invalid job id\n")
    );
    assert_eq!(answer.content_type, "text/html; charset=utf-8");
}

#[tokio::test]
async fn an_unknown_job_is_no_content_gone_or_over() {
    let bench = Bench::start(slow()).await;
    for path in ["/v1/job/", "/v1/result/"] {
        let answer = bench.get(&format!("{path}{UNKNOWN}")).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{path}");
        assert_eq!(answer.content_type, "application/json");
    }
    let answer = bench.get(&format!("/v1/job/{UNKNOWN}/position")).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (410, "Job not found or already started\n")
    );
    let answer = bench.cancel(UNKNOWN).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (400, "The job is already completed or cancelled")
    );
    assert_eq!(bench.get("/v1/queues/none/jobs").await.status, 204);
}

#[tokio::test]
async fn a_job_is_read_back_as_it_was_stored() {
    let bench = Bench::start(slow()).await;
    let body = json!({
        "job_id": ID, "job_queue": "r1-m01", "name": "racktick r1 r1-m01", "tags": ["racktick"],
        "provision_data": {"distro": "noble"}, "reserve_data": {"timeout": "2m"}, "global_timeout": "600",
        "debug": "yes",
    });
    assert_eq!(bench.post("/v1/job", body).await.status, 200);
    assert_eq!(
        bench.get(&format!("/v1/job/{ID}")).await.json(),
        json!({
            "job_id": ID, "job_queue": "r1-m01", "name": "racktick r1 r1-m01", "tags": ["racktick"],
            "provision_data": {"distro": "noble"}, "reserve_data": {"timeout": 120}, "global_timeout": 600,
            "debug": true, "exclude_agents": [],
        })
    );
    for data in [json!(null), json!({}), json!({"skip": true})] {
        let answer = bench
            .post("/v1/job", json!({"job_queue": "q", "provision_data": data}))
            .await;
        let id = answer.json()["job_id"].as_str().unwrap().to_owned();
        assert_eq!(
            bench.get(&format!("/v1/job/{id}")).await.json()["provision_data"],
            data
        );
    }
}

#[tokio::test]
async fn a_document_that_breaks_the_schema_is_refused_field_by_field() {
    let bench = Bench::start(slow()).await;
    let complaint = |field: &str, messages: Value| json!({"detail": {"json": {field: messages}}, "message": "Validation error"});
    for (extra, expected) in [
        (
            json!({"job_queue": ""}),
            complaint("job_queue", json!(["Shorter than minimum length 1."])),
        ),
        (
            json!({"job_queue": null}),
            complaint("job_queue", json!(["Field may not be null."])),
        ),
        (
            json!({"colour": "red"}),
            complaint("colour", json!(["Unknown field."])),
        ),
        (
            json!({"tags": "a"}),
            complaint("tags", json!(["Not a valid list."])),
        ),
        (
            json!({"tags": ["a", 1]}),
            complaint("tags", json!({"1": ["Not a valid string."]})),
        ),
        (
            json!({"global_timeout": "soon"}),
            complaint("global_timeout", json!(["Not a valid integer."])),
        ),
        (
            json!({"provision_data": {"image": "x"}}),
            complaint(
                "provision_data",
                json!({"_schema": ["Invalid provision data schema."]}),
            ),
        ),
        (
            json!({"test_data": {"test_cmds": ["a"]}}),
            complaint("test_data", json!({"test_cmds": ["Not a valid string."]})),
        ),
        (
            json!({"reserve_data": {"ssh_keys": ["me"], "timeout": "5 weeks"}}),
            complaint(
                "reserve_data",
                json!({
                    "ssh_keys": {"0": ["String does not match expected pattern."]},
                    "timeout": ["Invalid duration format: Invalid duration format: '5 weeks'"],
                }),
            ),
        ),
    ] {
        let mut body = json!({"job_queue": "q"});
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let answer = bench.post("/v1/job", body).await;
        assert_eq!((answer.status, answer.json()), (422, expected), "{extra}");
    }
    let answer = bench.post("/v1/job", json!(null)).await;
    assert_eq!(
        answer.json()["detail"]["json"]["job_queue"],
        json!(["Missing data for required field."])
    );
    let answer = bench.post("/v1/job", json!([])).await;
    assert_eq!(
        answer.json()["detail"],
        json!({"json": {"_schema": ["Invalid input type."]}})
    );
    assert_eq!(bench.lab.stats().jobs_submitted, 0);
}

#[tokio::test]
async fn a_body_that_is_no_json_is_bad_or_empty() {
    let bench = Bench::start(slow()).await;
    let request = bench
        .request("POST", "/v1/job")
        .header("content-type", "application/json")
        .body("{");
    let answer = bench.send(request).await;
    assert_eq!(
        (answer.status, answer.json()),
        (400, json!({"detail": {}, "message": "Bad Request"}))
    );
    let request = bench
        .request("POST", "/v1/job")
        .header("content-type", "text/plain")
        .body("{\"job_queue\":\"q\"}");
    let answer = bench.send(request).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json()["detail"]["json"]["job_queue"],
        json!(["Missing data for required field."])
    );
}

#[tokio::test]
async fn a_null_reservation_crashes_the_server() {
    let bench = Bench::start(slow()).await;
    let answer = bench
        .post(
            "/v1/job",
            json!({"job_queue": "q", "reserve_data": {"timeout": null}}),
        )
        .await;
    assert_eq!(
        (answer.status, answer.content_type.as_str()),
        (500, "text/html; charset=utf-8")
    );
    assert!(
        answer.text.starts_with("Unhandled Exception: "),
        "{answer:?}"
    );
}

#[tokio::test]
async fn excluded_agents_must_leave_one() {
    let bench = Bench::start(slow()).await;
    let message = "There are no agents on the specified queue that are allowed to run this job";
    for queue in ["r1-m01", "nobody"] {
        let answer = bench
            .post(
                "/v1/job",
                json!({"job_queue": queue, "exclude_agents": ["r1-m01"]}),
            )
            .await;
        assert_eq!((answer.status, answer.message().as_str()), (422, message));
    }
    let answer = bench
        .post(
            "/v1/job",
            json!({"job_queue": "lab-r1", "exclude_agents": ["r1-m01"]}),
        )
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn secrets_need_a_store() {
    let bench = Bench::start(slow()).await;
    let body = json!({"job_queue": "q", "test_data": {"secrets": {"TOKEN": "a/b"}}});
    let answer = bench.post("/v1/job", body).await;
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (422, "No secrets store")
    );
    let answer = bench
        .call("PUT", "/v1/secrets/racktick/a/b", json!({"value": "x"}))
        .await;
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (400, "No secrets store")
    );
}

#[tokio::test]
async fn only_cancel_is_an_action() {
    let bench = Bench::start(slow()).await;
    let id = bench.submit("r1-m01").await;
    let answer = bench
        .post(&format!("/v1/job/{id}/action"), json!({"action": "pause"}))
        .await;
    let expected = json!({"detail": {"json": {"action": ["Must be one of: cancel."]}}, "message": "Validation error"});
    assert_eq!((answer.status, answer.json()), (422, expected));
}

#[tokio::test]
async fn jobs_are_searched_by_tag_and_some_states() {
    let bench = Bench::start(slow()).await;
    let mut ids = Vec::new();
    for tags in [json!(["a"]), json!(["a", "b"]), json!(["c"])] {
        let answer = bench
            .post("/v1/job", json!({"job_queue": "q", "tags": tags}))
            .await;
        ids.push(answer.json()["job_id"].as_str().unwrap().to_owned());
    }
    bench.cancel(&ids[0]).await;
    for (query, expected) in [
        ("tags=a", &ids[..2]),
        ("tags=a&tags=b&match=all", &ids[1..2]),
        ("tags=b&tags=c", &ids[1..]),
        ("tags=a&state=active", &ids[1..2]),
        ("tags=a&state=cancelled", &ids[..1]),
        ("tags=a&state=completed", &[]),
        ("tags=none", &[]),
        ("", &ids),
    ] {
        let found = bench.get(&format!("/v1/job/search?{query}")).await.json();
        let found: Vec<_> = found
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["job_id"].as_str().unwrap())
            .collect();
        assert_eq!(found, expected, "{query}");
    }
    let found = bench.get("/v1/job/search?tags=c").await.json();
    assert_eq!(found[0]["job_state"], "waiting");
    assert!(found[0]["created_at"].as_str().unwrap().ends_with('Z'));
    for state in ["waiting", "running", "complete"] {
        let answer = bench.get(&format!("/v1/job/search?state={state}")).await;
        assert_eq!(answer.status, 422, "{state}");
        assert!(
            answer.json()["detail"]["query"]["state"]["0"][0]
                .as_str()
                .unwrap()
                .starts_with("Must be one of: ")
        );
    }
    assert_eq!(bench.get("/v1/job/search?match=some").await.status, 422);
}

#[tokio::test]
async fn attachments_hold_a_job_back_until_they_come() {
    let bench = Bench::start(slow()).await;
    let body =
        json!({"job_id": ID, "job_queue": "q", "test_data": {"attachments": [{"agent": "a"}]}});
    assert_eq!(bench.post("/v1/job", body).await.status, 200);
    let take = async || {
        let token = bench.token("lab-agent").await;
        let request = bench
            .request("GET", "/v1/job?queue=q")
            .bearer_auth(token)
            .header("cookie", "agent_name=a");
        bench.send(request).await
    };
    assert_eq!(take().await.status, 204);
    let upload = async |id: &str| {
        let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nbytes\r\n--b--\r\n";
        let request = bench
            .request("POST", &format!("/v1/job/{id}/attachments"))
            .header("content-type", "multipart/form-data; boundary=b")
            .body(body);
        bench.send(request).await
    };
    assert_eq!(upload(ID).await.text, "OK");
    assert_eq!(upload(ID).await.text, "OK");
    assert_eq!(
        upload(UNKNOWN).await.text,
        format!("Job {UNKNOWN} is not valid\n")
    );
    let plain = bench.submit("p").await;
    let answer = upload(&plain).await;
    assert_eq!(
        (answer.status, answer.text),
        (422, format!("Job {plain} not awaiting attachments\n"))
    );
    let taken = take().await;
    assert_eq!(taken.json()["attachments_status"], "complete");
    let fetched = bench
        .as_client(
            "lab-agent",
            "GET",
            &format!("/v1/job/{ID}/attachments"),
            None,
        )
        .await;
    assert_eq!(
        (fetched.text.as_str(), fetched.content_type.as_str()),
        ("bytes", "application/gzip")
    );
    let missing = bench
        .as_client(
            "lab-agent",
            "GET",
            &format!("/v1/job/{UNKNOWN}/attachments"),
            None,
        )
        .await;
    assert_eq!(missing.status, 204);
}

#[tokio::test]
async fn paths_are_found_with_and_without_a_slash_and_nothing_else_is() {
    let bench = Bench::start(LabConfig {
        machines: 1,
        ..slow()
    })
    .await;
    for path in ["/v1", "/v1/"] {
        let answer = bench.get(path).await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (200, "Testflinger Server v1.5.0")
        );
    }
    assert_eq!(
        bench
            .get("/v1/agents/data/")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let answer = bench.get("/v1/nothing").await;
    assert_eq!(
        (answer.status, answer.content_type.as_str()),
        (404, "text/html; charset=utf-8")
    );
    assert!(
        answer.text.starts_with("Not found: 404 Not Found: "),
        "{answer:?}"
    );
    let answer = bench.call("DELETE", "/v1/job", json!({})).await;
    assert_eq!(
        (answer.status, answer.json()),
        (405, json!({"detail": {}, "message": "Method Not Allowed"}))
    );
    assert_eq!(answer.headers["allow"], "GET, HEAD, OPTIONS, POST");
    let answer = bench.call("OPTIONS", "/v1/job", json!({})).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
    let answer = bench.call("HEAD", "/v1/agents/data", json!({})).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
}

#[tokio::test]
async fn webhook_events_have_nowhere_to_go() {
    let bench = Bench::start(slow()).await;
    let id = bench.submit("q").await;
    let body = json!({"job_status_webhook": "http://hooks.invalid/x", "events": []});
    let post = async |id: &str, body: Value| {
        bench
            .as_client(
                "lab-agent",
                "POST",
                &format!("/v1/job/{id}/events"),
                Some(body),
            )
            .await
    };
    let answer = post(&id, body.clone()).await;
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (500, "Webhook URL not configured")
    );
    assert_eq!(post(UNKNOWN, body).await.status, 404);
    assert_eq!(post(&id, json!({})).await.status, 422);
}
