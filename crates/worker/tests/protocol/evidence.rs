//! What is kept of a job that did not pass, and that no verdict depends on it.

use bus::topology::{Retention, Topology, setup};
use lab::{Fault, FaultKind};
use model::event::Fact;
use model::evidence::{Evidence, Keeping};
use model::outcome::Phase;
use model::subject::key;
use model::task::Submit;
use serde_json::json;

use crate::world::{Rack, World, phases, submits};

const RESULT: &str = "GET /v1/result/{}";

/// What the job's last event says of its evidence.
async fn told(rack: &Rack, task: &Submit) -> Option<Keeping> {
    let finished = rack.events(task.cycle, "job", "finished").await;
    let of_job = finished.into_iter().find_map(|event| match event.fact {
        Fact::JobFinished { job, evidence, .. } if job.job == task.job => Some(evidence),
        _ => None,
    });
    of_job.expect("the job is over")
}

#[tokio::test]
async fn the_end_of_what_failed_is_kept_without_secrets_and_a_job_that_passed_keeps_nothing() {
    let world = World::start().await;
    let rack = world.rack_by_hand("r1", 2).await;
    let record = rack.cycle().await;
    let [failed, passed] = &submits(&record)[..] else {
        panic!("two machines")
    };
    let long = "Installing packages.\n".repeat(40_000);
    let end = "login with password: hunter2\nError: it went wrong \u{1f622}\n";
    rack.run(failed).await;
    rack.writes(failed, "output", "setup", "ready\n").await;
    rack.writes(failed, "output", "provision", &format!("{long}{end}"))
        .await;
    rack.writes(failed, "serial", "setup", "ready\n").await;
    rack.writes(failed, "serial", "provision", "Kernel panic\n")
        .await;
    rack.report(failed, "complete", phases([("setup", 0), ("provision", 1)]))
        .await;
    rack.run(passed).await;
    rack.writes(passed, "output", "provision", "deployed\n")
        .await;
    rack.report(passed, "complete", phases([("provision", 0)]))
        .await;
    for task in [failed, passed] {
        rack.look(task).await;
    }

    assert_eq!(told(&rack, passed).await, None);
    let Some(Keeping::Kept { digest, size }) = told(&rack, failed).await else {
        panic!("nothing is kept")
    };
    let objects = rack.bus.objects("evidence");
    let name = key::evidence(failed.job, &digest);
    let object = objects.get(&name, 1 << 20).await.unwrap();
    let object = object.expect("it is in the bucket");
    assert_eq!((object.digest, object.content.len() as u64), (digest, size));
    let evidence: Evidence = serde_json::from_slice(&object.content).unwrap();
    assert_eq!(
        (evidence.job, &evidence.machine),
        (failed.job, &failed.machine)
    );
    assert_eq!(
        serde_json::Value::from(evidence.result),
        json!({"job_state": "complete", "setup_status": 0, "provision_status": 1})
    );
    assert_eq!(
        evidence.output.keys().collect::<Vec<_>>(),
        [&Phase::Provision]
    );
    let output = &evidence.output[&Phase::Provision];
    assert!(output.cut && output.end.len() <= 64 << 10 && output.end.len() > 60 << 10);
    assert!(output.end.starts_with("Installing packages.\n"));
    assert!(
        output
            .end
            .ends_with("login with password: ***\nError: it went wrong \u{1f622}\n"),
        "{}",
        &output.end[output.end.len() - 200..]
    );
    assert_eq!(
        evidence.serial.keys().collect::<Vec<_>>(),
        [&Phase::Provision]
    );
    let serial = &evidence.serial[&Phase::Provision];
    assert_eq!((serial.end.as_str(), serial.cut), ("Kernel panic\n", false));
    let entries = rack.bus.subjects("OBJ_evidence", "$O.evidence.M.>").await;
    assert_eq!(entries.unwrap().len(), 1, "nothing of the one that passed");
}

#[tokio::test]
async fn the_verdict_is_told_without_evidence_that_cannot_be_had_or_kept() {
    let world = World::start().await;
    let rack = world.rack_by_hand("r1", 2).await;
    let record = rack.cycle().await;
    let [unreadable, unstorable] = &submits(&record)[..] else {
        panic!("two machines")
    };
    for task in [unreadable, unstorable] {
        rack.run(task).await;
        rack.report(task, "complete", phases([("provision", 1)]))
            .await;
    }
    // The look itself reads the first answer, the evidence the second.
    rack.lab.inject(Fault {
        skip: 1,
        ..Fault::new(RESULT, FaultKind::Status)
    });
    rack.look(unreadable).await;
    let failed = |cause: &str| {
        Some(Keeping::Failed {
            cause: cause.into(),
        })
    };
    assert_eq!(told(&rack, unreadable).await, failed("status"));

    let mut topology = Topology::declared(Retention::default());
    topology.streams.get_mut("OBJ_evidence").unwrap()["max_msg_size"] = 10.into();
    setup(&world.bus, &topology).await.unwrap();
    rack.look(unstorable).await;
    assert_eq!(told(&rack, unstorable).await, failed("broker"));
    rack.ended(record.cycle).await;
}
