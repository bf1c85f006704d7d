//! Agents at work, from a job's submit to the end that it comes to by itself.

use std::time::Duration;

use lab::{AgentChange, LabConfig, MachineChange, Outcome, Phase};
use serde_json::json;

use crate::client::{Bench, fast, slow};

#[tokio::test]
async fn a_job_runs_to_its_end_and_the_machine_is_free_again() {
    let bench = Bench::start(LabConfig {
        speed: 600.0,
        ..fast()
    })
    .await;
    // Twenty minutes of reservation: two seconds in which the machine can be seen deployed.
    let body = json!({
        "job_queue": "r1-m01", "provision_data": {"distro": "noble"}, "reserve_data": {"timeout": 1200},
    });
    let id = bench.submit_job(body).await;
    bench
        .until(&id, |result| result["job_state"] == "provision")
        .await;
    assert_eq!(
        bench.lab.agent("r1-m01").unwrap().state.as_deref(),
        Some("provision")
    );
    assert_eq!(bench.lab.agent("r1-m01").unwrap().job_id, Some(id.clone()));
    bench
        .until_lab(|lab| lab.machine("r1-m01").unwrap().status_name == "Deploying")
        .await;
    assert_eq!(
        bench.lab.machine("r1-m01").unwrap().owner.as_deref(),
        Some("lab")
    );
    bench
        .until_lab(|lab| lab.machine("r1-m01").unwrap().status_name == "Deployed")
        .await;
    let result = bench.until_complete(&id).await;
    for phase in ["setup", "provision", "reserve", "cleanup"] {
        assert_eq!(result[format!("{phase}_status")], 0, "{result}");
    }
    for phase in ["firmware_update", "test", "allocate"] {
        assert!(result.get(format!("{phase}_status")).is_none(), "{result}");
    }
    assert_eq!(result["device_info"]["agent_name"], "r1-m01");
    assert!(
        result["provision_output"]
            .as_str()
            .unwrap()
            .contains("Starting testflinger provision phase")
    );
    let agent = bench.lab.agent("r1-m01").unwrap();
    assert_eq!(
        (agent.state.as_deref(), agent.job_id.as_deref()),
        (Some("waiting"), Some(""))
    );
    assert_eq!(agent.streak, Some(("pass".to_owned(), 1)));
    bench
        .until_lab(|lab| lab.machine("r1-m01").unwrap().status_name == "Ready")
        .await;
    assert_eq!(bench.lab.machine("r1-m01").unwrap().owner, None);
}

#[tokio::test]
async fn a_failed_provision_skips_to_cleanup_and_counts_for_the_streak() {
    let bench = Bench::start(LabConfig {
        fail_rate: 1.0,
        ..fast()
    })
    .await;
    for count in 1..=2 {
        let id = bench.submit("r1-m01").await;
        let result = bench.until_complete(&id).await;
        assert_eq!(result["provision_status"], 1);
        assert!(result.get("reserve_status").is_none(), "{result}");
        assert_eq!(result["cleanup_status"], 0);
        assert_eq!(
            bench.lab.agent("r1-m01").unwrap().streak,
            Some(("fail".to_owned(), count))
        );
    }
}

#[tokio::test]
async fn a_failed_recovery_takes_the_agent_offline_and_completes_the_job() {
    let bench = Bench::start(fast()).await;
    bench.next_job(
        "r1-m01",
        Outcome::Fail {
            phase: Phase::Provision,
            code: 46,
        },
    );
    let id = bench.submit("r1-m01").await;
    let result = bench.until_complete(&id).await;
    assert_eq!(
        (&result["provision_status"], &result["cleanup_status"]),
        (&json!(46), &json!(0))
    );
    let agent = bench.lab.agent("r1-m01").unwrap();
    assert_eq!(agent.state.as_deref(), Some("offline"));
    let comment = format!("Set to offline by agent. Recovery failed during job '{id}' execution.");
    assert_eq!(agent.comment, Some(comment));
    // Offline agents take no job; one whose state is anything else does.
    let second = bench.submit("r1-m01").await;
    let other = bench.submit("r1-m02").await;
    bench.until_complete(&other).await;
    assert_eq!(bench.result(&second).await["job_state"], "waiting");
    bench
        .lab
        .change_agent(
            "r1-m01",
            AgentChange {
                state: Some(Some("waiting".to_owned())),
                ..AgentChange::default()
            },
        )
        .unwrap();
    bench.until_complete(&second).await;
}

#[tokio::test]
async fn a_failed_test_stops_nothing() {
    let bench = Bench::start(fast()).await;
    bench.next_job(
        "r1-m01",
        Outcome::Fail {
            phase: Phase::Test,
            code: 3,
        },
    );
    let body = json!({
        "job_queue": "r1-m01", "provision_data": {"distro": "noble"},
        "test_data": {"test_cmds": "false"}, "reserve_data": {"timeout": 1},
    });
    let id = bench.submit_job(body).await;
    let result = bench.until_complete(&id).await;
    assert_eq!(
        (&result["test_status"], &result["reserve_status"]),
        (&json!(3), &json!(0))
    );
}

#[tokio::test]
async fn a_job_without_provision_data_counts_as_a_pass() {
    let bench = Bench::start(fast()).await;
    let id = bench.submit_job(json!({"job_queue": "r1-m01"})).await;
    let result = bench.until_complete(&id).await;
    assert!(result.get("provision_status").is_none(), "{result}");
    assert_eq!(
        bench.lab.agent("r1-m01").unwrap().streak,
        Some(("pass".to_owned(), 1))
    );
}

#[tokio::test]
async fn who_fails_follows_from_the_seed() {
    let config = LabConfig {
        machines: 12,
        fail_rate: 0.5,
        seed: 7,
        ..fast()
    };
    let (one, other) = (
        Bench::start(config.clone()).await,
        Bench::start(config.clone()).await,
    );
    let mut verdicts = Vec::new();
    for (bench, reversed) in [(&one, false), (&other, true)] {
        let mut names: Vec<String> = (1..=12).map(|number| format!("r1-m{number:02}")).collect();
        if reversed {
            names.reverse();
        }
        let mut ids = Vec::new();
        for name in names {
            ids.push((bench.submit(&name).await, name));
        }
        let mut failed = Vec::new();
        for (id, name) in ids {
            if bench.until_complete(&id).await["provision_status"] != 0 {
                failed.push(name);
            }
        }
        failed.sort();
        verdicts.push(failed);
    }
    assert_eq!(verdicts[0], verdicts[1]);
    assert!((1..12).contains(&verdicts[0].len()), "{verdicts:?}");
}

#[tokio::test]
async fn an_agent_with_a_restricted_queue_polls_only_that_one() {
    let bench = Bench::start(fast()).await;
    bench.lab.restrict_queue("r1-m01", "racktick");
    let shared = bench.submit("lab-r1").await;
    bench.until_complete(&shared).await;
    let blocked = bench.post("/v1/job", json!({"job_queue": "r1-m01"})).await;
    assert_eq!(blocked.status, 401);
    let queues = vec!["r1-m01".to_owned(), "only".to_owned()];
    bench
        .lab
        .change_agent(
            "r1-m01",
            AgentChange {
                queues: Some(queues),
                ..AgentChange::default()
            },
        )
        .unwrap();
    let never = bench.submit("only").await;
    let job = Some(json!({"job_queue": "r1-m01"}));
    let own = bench
        .as_client("racktick", "POST", "/v1/job", job)
        .await
        .json()["job_id"]
        .as_str()
        .unwrap()
        .to_owned();
    bench.until_complete(&own).await;
    assert_eq!(bench.result(&never).await["job_state"], "waiting");
}

#[tokio::test]
async fn a_machine_of_a_person_is_not_wiped_and_the_try_is_counted() {
    let bench = Bench::start(fast()).await;
    let change = MachineChange {
        status: Some("deployed".to_owned()),
        owner: Some(Some("alice".to_owned())),
        ..MachineChange::default()
    };
    bench.lab.change_machine("r1-m01", change).unwrap();
    let id = bench.submit("r1-m01").await;
    assert_eq!(bench.until_complete(&id).await["provision_status"], 46);
    let machine = bench.lab.machine("r1-m01").unwrap();
    assert_eq!(
        (machine.status_name.as_str(), machine.owner.as_deref()),
        ("Deployed", Some("alice"))
    );
    assert_eq!(bench.lab.stats().provisions_of_foreign_machines, 1);
}

#[tokio::test]
async fn an_instant_lab_completes_a_job_at_its_nth_look() {
    let bench = Bench::start(LabConfig {
        instant: Some(3),
        ..slow()
    })
    .await;
    let id = bench.submit("r1-m01").await;
    let mut states = Vec::new();
    for _ in 0..4 {
        states.push(
            bench.result(&id).await["job_state"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(states, ["provision", "provision", "complete", "complete"]);
    assert_eq!(bench.result(&id).await["provision_status"], 0);
    let bench = Bench::start(LabConfig {
        instant: Some(0),
        ..slow()
    })
    .await;
    let id = bench.submit("r1-m01").await;
    assert_eq!(bench.result(&id).await["job_state"], "complete");
}

#[tokio::test]
async fn ten_thousand_idle_agents_cost_nothing_and_one_still_works() {
    let bench = Bench::start(LabConfig {
        racks: 100,
        machines: 100,
        ..fast()
    })
    .await;
    let id = bench.submit("r100-m100").await;
    bench.until_complete(&id).await;
}

#[tokio::test]
async fn a_stopped_lab_leaves_its_port_free() {
    let bench = Bench::start(fast()).await;
    let address = bench.lab.address();
    bench.submit("r1-m01").await;
    bench.lab.stop().await;
    let refused = tokio::time::timeout(
        Duration::from_secs(5),
        tokio::net::TcpStream::connect(address),
    )
    .await
    .unwrap();
    assert!(refused.is_err());
    tokio::net::TcpListener::bind(address).await.unwrap();
}
