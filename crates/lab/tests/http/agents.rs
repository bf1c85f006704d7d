//! Agents' records and queues, and an agent from outside that works over HTTP.

use serde_json::{Value, json};

use crate::client::{Bench, fast, slow};

async fn post(bench: &Bench, path: &str, body: Value) -> (u16, String) {
    let answer = bench.as_client("lab-agent", "POST", path, Some(body)).await;
    (answer.status, answer.text)
}

#[tokio::test]
async fn agents_are_listed_whole_and_one_by_one() {
    let bench = Bench::start(slow()).await;
    let agents = bench.get("/v1/agents/data").await.json();
    let agent = &agents[0];
    assert_eq!(agent["name"], "r1-m01");
    assert_eq!(agent["queues"], json!(["r1-m01", "lab-r1"]));
    assert_eq!(
        (&agent["provision_type"], &agent["job_id"]),
        (&json!("maas2"), &json!(""))
    );
    assert!(agent.get("provision_streak_type").is_none() && agent.get("log").is_none());
    let posted: jiff::Timestamp = agent["updated_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(agent["updated_at"].as_str().unwrap().len(), 20);
    assert!(jiff::Timestamp::now().duration_since(posted) < jiff::SignedDuration::from_mins(5));
    assert_eq!(bench.get("/v1/agents/data/r1-m01").await.json(), *agent);
    let answer = bench.get("/v1/agents/data/nobody").await;
    assert_eq!((answer.status, answer.json()), (404, json!({})));
}

#[tokio::test]
async fn a_queues_agents_are_shown_in_short() {
    let bench = Bench::start(slow()).await;
    let agents = bench.get("/v1/queues/r1-m01/agents").await.json();
    assert_eq!(
        agents,
        json!([{
            "name": "r1-m01", "state": "waiting", "queues": ["r1-m01", "lab-r1"], "location": "TOR3",
            "provision_type": "maas2", "job_id": "", "comment": "",
        }])
    );
    let answer = bench.get("/v1/queues/none/agents").await;
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (404, "Queue 'none' does not exist.")
    );
}

#[tokio::test]
async fn a_posted_record_is_made_or_changed_field_by_field() {
    let bench = Bench::start(slow()).await;
    let body = json!({"state": "waiting", "log": ["line"]});
    let answer = bench
        .as_client("lab-agent", "POST", "/v1/agents/data/new", Some(body))
        .await;
    assert_eq!(answer.json(), json!({"status": "OK"}));
    assert_eq!(
        answer.headers["set-cookie"],
        "agent_name=new; HttpOnly; Path=/; SameSite=Strict"
    );
    let agent = bench.get("/v1/agents/data/new").await.json();
    // Nothing that was not posted is there.
    let fields: Vec<_> = agent
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(fields, ["name", "restricted_to", "state", "updated_at"]);
    assert_eq!(
        post(
            &bench,
            "/v1/agents/data/new",
            json!({"queues": ["q"], "location": ""})
        )
        .await
        .0,
        200
    );
    let agent = bench.get("/v1/agents/data/new").await.json();
    assert_eq!(
        (&agent["queues"], &agent["state"], &agent["location"]),
        (&json!(["q"]), &json!("waiting"), &json!(""))
    );
    for wrong in [
        json!({"colour": 1}),
        json!({"queues": "q"}),
        json!({"state": 1}),
    ] {
        assert_eq!(post(&bench, "/v1/agents/data/new", wrong).await.0, 422);
    }
}

#[tokio::test]
async fn provision_logs_make_the_streak() {
    let bench = Bench::start(slow()).await;
    let path = "/v1/agents/provision_logs/r1-m01";
    for (code, kind, count) in [
        (1, "fail", 1),
        (46, "fail", 2),
        (0, "pass", 1),
        (0, "pass", 2),
    ] {
        let answer = post(
            &bench,
            path,
            json!({"job_id": "x", "exit_code": code, "detail": "d"}),
        )
        .await;
        assert_eq!(answer, (200, "OK".to_owned()));
        let agent = bench.get("/v1/agents/data/r1-m01").await.json();
        assert_eq!(
            (
                &agent["provision_streak_type"],
                &agent["provision_streak_count"]
            ),
            (&json!(kind), &json!(count))
        );
    }
    assert_eq!(post(&bench, path, json!({})).await.0, 422);
    let unknown = post(
        &bench,
        "/v1/agents/provision_logs/x",
        json!({"job_id": "x", "exit_code": 0}),
    )
    .await;
    assert_eq!(unknown, (404, "Agent not found\n".to_owned()));
}

#[tokio::test]
async fn queues_and_images_are_advertised() {
    let bench = Bench::start(slow()).await;
    assert_eq!(
        post(&bench, "/v1/agents/queues", json!({"q": "a queue"})).await,
        (200, "OK".to_owned())
    );
    assert_eq!(
        bench.get("/v1/agents/queues").await.json(),
        json!({"q": "a queue"})
    );
    assert_eq!(
        post(&bench, "/v1/agents/queues", json!({"q": 1})).await.0,
        422
    );
    assert_eq!(
        post(
            &bench,
            "/v1/agents/images",
            json!({"q": {"noble": "url: x"}})
        )
        .await
        .0,
        200
    );
    assert_eq!(
        bench.get("/v1/agents/images/q").await.json(),
        json!({"noble": "url: x"})
    );
    assert_eq!(bench.get("/v1/agents/images/none").await.json(), json!({}));
    for wrong in [
        json!({"q": {"$a": "x"}}),
        json!({"q": {"a.b": "x"}}),
        json!({"q": "x"}),
        json!({"q": {"a": 1}}),
    ] {
        assert_eq!(post(&bench, "/v1/agents/images", wrong).await.0, 422);
    }
}

#[tokio::test]
async fn an_agent_from_outside_takes_a_job_and_reports() {
    let bench = Bench::start(slow()).await;
    let id = bench.submit("outside").await;
    let token = bench.token("lab-agent").await;
    let take = |query: &str, cookie: Option<&str>| {
        let mut request = bench
            .request("GET", &format!("/v1/job{query}"))
            .bearer_auth(&token);
        if let Some(cookie) = cookie {
            request = request.header("cookie", format!("agent_name={cookie}"));
        }
        request
    };
    let answer = bench.send(take("", Some("me"))).await;
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (400, "No queue(s) specified in request")
    );
    let answer = bench.send(take("?queue=outside", None)).await;
    assert_eq!(
        (answer.status, answer.message().as_str()),
        (401, "Agent not identified")
    );
    let answer = bench
        .send(take("?queue=other&queue=outside", Some("me")))
        .await;
    let job = answer.json();
    assert_eq!(
        (&job["job_id"], &job["provision_data"]),
        (&json!(id), &json!({"distro": "noble"}))
    );
    assert!(
        job["started_at"].as_str().unwrap().ends_with("+00:00Z"),
        "{job}"
    );
    assert_eq!(bench.result(&id).await, json!({"job_state": "running"}));
    assert_eq!(
        bench.send(take("?queue=outside", Some("me"))).await.status,
        204
    );
    assert_eq!(
        bench.get(&format!("/v1/job/{id}/position")).await.status,
        410
    );
    let wait_times = bench
        .get("/v1/queues/wait_times?queue=outside")
        .await
        .json();
    assert_eq!(wait_times["outside"]["50"], 0);

    let path = format!("/v1/result/{id}");
    assert_eq!(
        post(&bench, &path, json!({"job_state": "setup"})).await,
        (200, "OK".to_owned())
    );
    bench.cancel(&id).await;
    let body = json!({
        "status": {"setup": 0, "provision": "46"}, "device_info": {"device_ip": "10.0.0.1"}, "job_state": "complete",
    });
    assert_eq!(post(&bench, &path, body).await.0, 200);
    assert_eq!(
        bench.result(&id).await,
        json!({
            "job_state": "complete", "setup_status": 0, "provision_status": 46,
            "device_info": {"device_ip": "10.0.0.1"},
        })
    );
    for wrong in [
        json!({"setup_status": 0}),
        json!({"status": {"party": 1}}),
        json!({"status": {"setup": "x"}}),
    ] {
        assert_eq!(post(&bench, &path, wrong).await.0, 422);
    }
    let unknown = "/v1/result/00000000-0000-4000-8000-000000000000";
    assert_eq!(
        post(&bench, unknown, json!({"job_state": "x"})).await.0,
        200
    );
    assert_eq!(bench.get(unknown).await.status, 204);
}

#[tokio::test]
async fn an_administrator_takes_an_agent_off_and_back() {
    let bench = Bench::start(fast()).await;
    let set = async |state: &str| {
        let body = Some(json!({"state": state, "comment": "why"}));
        bench
            .as_client("testflinger-admin", "POST", "/v1/agents/data/r1-m01", body)
            .await
    };
    for state in ["offline", "maintenance"] {
        set(state).await;
        let id = bench.submit("r1-m01").await;
        let other = bench.submit("r1-m02").await;
        bench.until_complete(&other).await;
        assert_eq!(bench.result(&id).await["job_state"], "waiting", "{state}");
        set("waiting").await;
        bench.until_complete(&id).await;
    }
    set("restart").await;
    let id = bench.submit("r1-m01").await;
    bench.until_complete(&id).await;
}

#[tokio::test]
async fn an_agent_taken_off_during_a_job_goes_offline_after_it() {
    let bench = Bench::start(lab::LabConfig {
        speed: 600.0,
        ..fast()
    })
    .await;
    let id = bench.submit("r1-m01").await;
    bench
        .until(&id, |result| result["job_state"] == "provision")
        .await;
    let body = Some(json!({"state": "maintenance", "comment": "disk"}));
    bench
        .as_client("testflinger-admin", "POST", "/v1/agents/data/r1-m01", body)
        .await;
    bench.until_complete(&id).await;
    let agent = bench.lab.agent("r1-m01").unwrap();
    assert_eq!(
        (agent.state.as_deref(), agent.comment.as_deref()),
        (Some("offline"), Some("disk"))
    );
}
