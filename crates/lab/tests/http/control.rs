//! What a person, or a test, does to the lab.

use lab::{LabConfig, LabError};
use serde_json::json;

use crate::client::{Bench, fast, slow};

const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

#[tokio::test]
async fn the_counters_tell_one_job_per_machine_and_cycle_from_two() {
    let bench = Bench::start(slow()).await;
    let job = |id: &str, queue: &str| json!({"job_id": id, "job_queue": queue, "tags": ["racktick", "racktick-rack:r1", "racktick-cycle:c1"]});
    bench.post("/v1/job", job(ID, "r1-m01")).await;
    bench.post("/v1/job", job("", "r1-m02")).await;
    let stats = bench.get("/lab/stats").await.json();
    assert_eq!(stats["jobs_submitted"], 2);
    assert_eq!(stats["jobs_with_same_id"], 0);
    assert_eq!(stats["machines_with_two_jobs_in_one_cycle"], 0);
    assert_eq!(stats["most_live_jobs_on_a_machine"], 1);
    bench.post("/v1/job", job(ID, "r1-m01")).await;
    // A refused job is not counted.
    bench.post("/v1/job", json!({"job_queue": ""})).await;
    let stats = bench.lab.stats();
    assert_eq!((stats.jobs_submitted, stats.jobs_with_same_id), (3, 1));
    assert_eq!(stats.machines_with_two_jobs_in_one_cycle, 1);
    assert_eq!(stats.jobs_by_machine["r1-m01"], 2);
    assert_eq!(stats.jobs_by_cycle["c1"]["r1-m02"], 1);
    assert_eq!(stats.most_live_jobs_on_a_machine, 2);
    assert_eq!(stats.requests["POST /v1/job"], 4);
}

#[tokio::test]
async fn jobs_are_listed_and_forgotten() {
    let bench = Bench::start(slow()).await;
    bench
        .post(
            "/v1/job",
            json!({"job_id": ID, "job_queue": "r1-m01", "tags": ["a"], "name": "n"}),
        )
        .await;
    let jobs = bench.get("/lab/jobs").await.json();
    assert_eq!(jobs[0]["job_id"], ID);
    assert_eq!(
        (&jobs[0]["queue"], &jobs[0]["state"]),
        (&json!("r1-m01"), &json!("waiting"))
    );
    assert_eq!(
        (&jobs[0]["tags"], &jobs[0]["name"]),
        (&json!(["a"]), &json!("n"))
    );
    assert_eq!(
        bench
            .call("DELETE", &format!("/lab/jobs/{ID}"), json!(null))
            .await
            .status,
        200
    );
    for path in ["/v1/result/", "/v1/job/"] {
        let answer = bench.get(&format!("{path}{ID}")).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    }
    assert!(matches!(
        bench.lab.forget_job(ID),
        Err(LabError::Unknown { kind: "job", .. })
    ));
}

#[tokio::test]
async fn a_forgotten_job_does_not_keep_its_agent() {
    let bench = Bench::start(LabConfig {
        speed: 600.0,
        ..fast()
    })
    .await;
    let id = bench.submit("r1-m01").await;
    bench
        .until(&id, |result| result["job_state"] == "provision")
        .await;
    bench.lab.forget_job(&id).unwrap();
    let next = bench.submit("r1-m01").await;
    bench
        .until(&next, |result| result["job_state"] == "provision")
        .await;
}

#[tokio::test]
async fn machines_change_as_a_person_changes_them() {
    let bench = Bench::start(slow()).await;
    let change = json!({"status": "Failed deployment", "owner": "bob", "locked": true, "tags": ["r1", "new"]});
    assert_eq!(
        bench
            .call("PATCH", "/lab/machines/r1-m01", change)
            .await
            .status,
        200
    );
    let machine = &bench.maas_get("machines/?tags=new").await.json()[0];
    assert_eq!(
        (&machine["status"], &machine["owner"], &machine["locked"]),
        (&json!(11), &json!("bob"), &json!(true))
    );
    bench
        .call("PATCH", "/lab/machines/r1-m01", json!({"owner": null}))
        .await;
    assert_eq!(bench.lab.machine("r1-m01").unwrap().owner, None);
    let renamed = bench
        .call(
            "PATCH",
            "/lab/machines/r1-m01",
            json!({"hostname": "other"}),
        )
        .await;
    assert_eq!(renamed.status, 200);
    assert!(bench.lab.machine("r1-m01").is_none() && bench.lab.machine("other").is_some());
    for (path, change, status) in [
        ("/lab/machines/none", json!({}), 404),
        ("/lab/machines/other", json!({"status": "burning"}), 400),
        ("/lab/machines/other", json!({"hostname": "r1-m02"}), 400),
        ("/lab/machines/other", json!({"colour": "red"}), 400),
    ] {
        assert_eq!(bench.call("PATCH", path, change).await.status, status);
    }
}

#[tokio::test]
async fn agents_change_as_asked() {
    let bench = Bench::start(slow()).await;
    let change = json!({"state": null, "location": "TEL1", "queues": ["x"], "streak": [false, 30]});
    assert_eq!(
        bench
            .call("PATCH", "/lab/agents/r1-m01", change)
            .await
            .status,
        200
    );
    let agent = bench.get("/v1/agents/data/r1-m01").await.json();
    assert!(agent.get("state").is_none(), "{agent}");
    assert_eq!(
        (&agent["location"], &agent["queues"]),
        (&json!("TEL1"), &json!(["x"]))
    );
    assert_eq!(
        (
            &agent["provision_streak_type"],
            &agent["provision_streak_count"]
        ),
        (&json!("fail"), &json!(30))
    );
    let change = json!({"updated_at": "2026-01-01T00:00:00Z"});
    bench.call("PATCH", "/lab/agents/r1-m01", change).await;
    assert_eq!(
        bench.get("/v1/agents/data/r1-m01").await.json()["updated_at"],
        "2026-01-01T00:00:00Z"
    );
    assert_eq!(
        bench
            .call("DELETE", "/lab/agents/r1-m01", json!(null))
            .await
            .status,
        200
    );
    assert_eq!(bench.get("/v1/agents/data/r1-m01").await.status, 404);
    assert_eq!(
        bench
            .call("PATCH", "/lab/agents/r1-m01", json!({}))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn the_next_job_goes_as_asked_over_http() {
    let bench = Bench::start(fast()).await;
    let change = json!({"next_job": {"kind": "fail", "phase": "reserve", "code": 9}});
    assert_eq!(
        bench
            .call("PATCH", "/lab/agents/r1-m01", change)
            .await
            .status,
        200
    );
    let id = bench.submit("r1-m01").await;
    assert_eq!(bench.until_complete(&id).await["reserve_status"], 9);
    let id = bench.submit("r1-m01").await;
    assert_eq!(bench.until_complete(&id).await["reserve_status"], 0);
    let change = json!({"next_job": {"kind": "explode"}});
    assert_eq!(
        bench
            .call("PATCH", "/lab/agents/r1-m01", change)
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn machines_come_and_go() {
    let bench = Bench::start(fast()).await;
    assert_eq!(
        bench
            .post("/lab/racks/r9/machines/r9-m01", json!(null))
            .await
            .status,
        200
    );
    assert_eq!(
        bench
            .post("/lab/racks/r9/machines/r9-m01", json!(null))
            .await
            .status,
        400
    );
    assert_eq!(
        bench.maas_get("machines/?tags=r9").await.json()[0]["hostname"],
        "r9-m01"
    );
    let id = bench.submit("r9-m01").await;
    bench.until_complete(&id).await;
    assert_eq!(
        bench
            .call("DELETE", "/lab/machines/r9-m01", json!(null))
            .await
            .status,
        200
    );
    assert_eq!(bench.maas_get("machines/?tags=r9").await.json(), json!([]));
    // Without a machine its agent cannot recover the device.
    let id = bench.submit("r9-m01").await;
    assert_eq!(bench.until_complete(&id).await["provision_status"], 46);
}

#[tokio::test]
async fn an_unknown_control_path_says_so() {
    let bench = Bench::start(slow()).await;
    assert_eq!(bench.get("/lab/nothing").await.status, 404);
    assert_eq!(bench.post("/lab/stats", json!({})).await.status, 405);
}

#[tokio::test]
async fn nonsense_settings_are_refused_at_start() {
    let refused = lab::Lab::start_on_free_port(LabConfig {
        speed: -1.0,
        ..LabConfig::default()
    })
    .await;
    assert!(matches!(
        refused,
        Err(LabError::Setting { name: "speed", .. })
    ));
}
