//! Jobs that are cut short: cancelled, out of time, or left by their agent.

use lab::{LabConfig, Outcome, Phase};
use serde_json::json;

use crate::client::{Bench, fast, slow};

#[tokio::test]
async fn a_waiting_job_is_cancelled_for_good() {
    let bench = Bench::start(slow()).await;
    let id = bench.submit("r1-m01").await;
    let answer = bench.cancel(&id).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "OK"));
    assert_eq!(answer.content_type, "text/html; charset=utf-8");
    assert_eq!(bench.result(&id).await, json!({"job_state": "cancelled"}));
    let again = bench.cancel(&id).await;
    assert_eq!(
        (again.status, again.text.as_str()),
        (400, "The job is already completed or cancelled")
    );
}

#[tokio::test]
async fn a_cancel_during_provision_waits_for_its_end() {
    let bench = Bench::start(LabConfig {
        speed: 600.0,
        ..fast()
    })
    .await;
    let id = bench.submit("r1-m01").await;
    bench
        .until(&id, |result| result["job_state"] == "provision")
        .await;
    bench
        .until_lab(|lab| lab.machine("r1-m01").unwrap().status_name == "Deploying")
        .await;
    assert_eq!(bench.cancel(&id).await.status, 200);
    assert_eq!(bench.result(&id).await["job_state"], "cancelled");
    let result = bench
        .until(&id, |result| result["job_state"] != "cancelled")
        .await;
    assert_eq!(result["job_state"], "complete");
    assert_eq!(result["provision_status"], 0);
    assert!(result.get("reserve_status").is_none(), "{result}");
    // The same check kills the cleanup command.
    assert_eq!(result["cleanup_status"], 247);
}

#[tokio::test]
async fn a_cancel_during_other_phases_kills_the_command() {
    for phase in [
        Phase::Setup,
        Phase::FirmwareUpdate,
        Phase::Test,
        Phase::Allocate,
        Phase::Reserve,
    ] {
        let bench = Bench::start(LabConfig {
            speed: 300.0,
            ..fast()
        })
        .await;
        bench.next_job("r1-m01", Outcome::Stuck { phase });
        let body = json!({
            "job_queue": "r1-m01",
            "firmware_update_data": {"version": "1"},
            "test_data": {"test_cmds": "true"},
            "allocate_data": {"a": 1},
            "reserve_data": {"timeout": 60},
        });
        let id = bench.submit_job(body).await;
        bench
            .until(&id, |result| result["job_state"] == phase.as_str())
            .await;
        assert_eq!(bench.cancel(&id).await.status, 200, "{phase:?}");
        let result = bench.until_complete(&id).await;
        assert_eq!(
            result[format!("{}_status", phase.as_str())],
            247,
            "{result}"
        );
        assert_eq!(result["cleanup_status"], 247, "{result}");
        let log = result[format!("{}_output", phase.as_str())]
            .as_str()
            .unwrap();
        assert!(
            log.contains("Job cancellation was requested, exiting."),
            "{log}"
        );
    }
}

#[tokio::test]
async fn a_stuck_provision_ends_with_the_global_timeout() {
    let bench = Bench::start(LabConfig {
        stuck_rate: 1.0,
        speed: 3000.0,
        ..fast()
    })
    .await;
    let body = json!({"job_queue": "r1-m01", "provision_data": {"distro": "noble"}, "global_timeout": "1200"});
    let id = bench.submit_job(body).await;
    let result = bench.until_complete(&id).await;
    assert_eq!(result["provision_status"], 247, "{result}");
    assert!(
        result["provision_output"]
            .as_str()
            .unwrap()
            .contains("Global timeout reached"),
        "{result}"
    );
}

#[tokio::test]
async fn a_dead_agent_reports_nothing_more() {
    let bench = Bench::start(LabConfig {
        machines: 2,
        ..fast()
    })
    .await;
    bench.next_job(
        "r1-m01",
        Outcome::Dead {
            phase: Phase::Provision,
        },
    );
    let id = bench.submit("r1-m01").await;
    bench
        .until(&id, |result| result["job_state"] == "provision")
        .await;
    for _ in 0..3 {
        let other = bench.submit("r1-m02").await;
        bench.until_complete(&other).await;
    }
    assert_eq!(bench.result(&id).await["job_state"], "provision");
    assert_eq!(
        bench.lab.agent("r1-m01").unwrap().state.as_deref(),
        Some("provision")
    );
}

#[tokio::test]
async fn agents_that_start_again_have_forgotten_what_they_ran() {
    // Slow enough that the job would still be at work long after the test.
    let bench = Bench::start(LabConfig {
        speed: 20.0,
        ..fast()
    })
    .await;
    let id = bench.submit("r1-m01").await;
    bench
        .until(&id, |result| result["job_state"] == "provision")
        .await;
    bench.lab.restart_agents();
    let agent = bench.lab.agent("r1-m01").unwrap();
    assert_eq!(agent.state.as_deref(), Some("waiting"));
    assert_eq!(agent.job_id, Some(id.clone()));
    // It asks for the next job, and of the first one nothing is heard any more.
    let next = bench.submit("r1-m01").await;
    bench
        .until(&next, |result| result["job_state"] == "provision")
        .await;
    assert_eq!(bench.result(&id).await["job_state"], "provision");
}
