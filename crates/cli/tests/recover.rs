//! The broker's data is lost while jobs run.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;
mod world;

use std::path::Path;
use std::process::Command;

use bus::Outgoing;
use jiff::Timestamp;
use lab::{AgentChange, LabConfig, Outcome, Phase};
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::subject::{Subject, stream};
use model::tag;
use serde_json::{Value, json};
use testkit::until;
use testkit::wire::{Wire, answer};
use world::{SOON, World};

/// How many jobs of a report led to this.
fn count(report: &Value, action: &str) -> usize {
    let jobs = report["jobs"].as_array().unwrap();
    jobs.iter().filter(|job| job["action"] == action).count()
}

async fn running(world: &World) -> usize {
    let machines = world.place.json(&["recover", "--dry-run"]);
    count(&machines, "known")
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_come_back_from_testflinger_and_no_machine_gets_a_second_job() {
    let mut world = World::new(LabConfig::default()).await;
    for machine in ["r1-m01", "r1-m02", "r1-m03"] {
        // Its job goes on until somebody cancels it.
        let phase = Phase::Setup;
        let change = AgentChange {
            next_job: Some(Outcome::Stuck { phase }),
            ..AgentChange::default()
        };
        world.lab.change_agent(machine, change).unwrap();
    }
    let worker = world.worker();
    world
        .place
        .run(&[
            "rack", "add", "r1", "--first", "slot", "--policy", "spread=0", "--yes",
        ])
        .with_code(0);
    world.place.run(&["tick", "r1"]).with_code(0);
    until(SOON, "three jobs run", async || running(&world).await == 3).await;
    let cycle = world.place.json(&["rack", "show", "r1"])["cycles"][0]["cycle"].clone();
    drop(worker);
    world.broker.kill_9().await;
    std::fs::remove_dir_all(world.broker.folder().join("data")).unwrap();
    world.broker.restart().await;
    let place = &world.place;
    place.run(&["setup"]).with_code(0);

    let planned = place.json(&["recover", "--dry-run"]);
    assert_eq!(count(&planned, "claim"), 3, "{planned}");
    assert_eq!(planned["racks_without_record"], json!(["r1"]));
    assert_eq!(
        count(&place.json(&["recover", "--dry-run"]), "claim"),
        3,
        "a dry run changes nothing"
    );
    let collector = Wire::answering(&answer("200 OK", "", "")).await;
    let mut recover = place.command(&["recover", "--output", "json"]);
    recover.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let done = recover.output().unwrap();
    let done: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(count(&done, "claim"), 3, "{done}");
    let spans: String = collector
        .requests()
        .into_iter()
        .map(|sent| sent.body)
        .collect();
    assert_eq!(spans.matches("task.wait.watch.").count(), 3, "{spans}");
    assert_eq!(running(&world).await, 3, "a second run finds them");

    let _worker = world.worker();
    place
        .run(&[
            "rack", "add", "r1", "--first", "slot", "--policy", "spread=0", "--yes",
        ])
        .with_code(0);
    place.run(&["tick", "r1"]).with_code(0);
    until(SOON, "a cycle leaves the machines alone", async || {
        world.last_result("r1").contains("skipped 3")
    })
    .await;
    place.run(&["cancel", "--all", "--yes"]).with_code(0);
    until(
        SOON,
        "the cycle that was brought back is over",
        async || {
            let cycles = place.json(&["rack", "show", "r1"])["cycles"].clone();
            let cycles = cycles.as_array().unwrap();
            cycles
                .iter()
                .any(|shown| shown["cycle"] == cycle && shown["closed"] == true)
        },
    )
    .await;
    let stats = world.lab.stats();
    assert_eq!(
        (stats.jobs_submitted, stats.jobs_with_same_id),
        (3, 0),
        "{stats:?}"
    );
    let events = place.run(&["events", "--output", "json"]).with_code(0);
    let verdicts = events.stdout.matches(".finished\"").count();
    assert!(verdicts > 3, "{}", events.stdout);
}

/// A backup with a tick that nobody had handled yet is put back after its cycle: the tick comes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_tick_that_a_restore_brings_back_submits_nothing_again() {
    let mut world = World::new(LabConfig::default()).await;
    world.place = world
        .place
        .file("racktick.toml", "[policy]\ncatch_up = \"24h\"\n");
    world
        .place
        .run(&[
            "rack", "add", "r1", "--first", "slot", "--policy", "spread=0", "--yes",
        ])
        .with_code(0);
    let tick = Outgoing::new(Subject::Tick, "r1");
    world.bus.publish(tick).await.unwrap();
    let data = world.broker.folder().join("data");
    let backup = world.broker.folder().join("backup");
    world.broker.kill_9().await;
    copy(&data, &backup);
    world.broker.restart().await;
    let worker = world.worker();
    let result = world.until_finished("r1").await;
    drop(worker);

    world.broker.kill_9().await;
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    world.broker.restart().await;
    let report = world.place.json(&["recover"]);
    assert_eq!(count(&report, "record"), 3, "{report}");
    assert_eq!(world.last_result("r1"), result);
    let again = world.place.json(&["recover"]);
    assert_eq!(count(&again, "known"), 3, "{again}");
    let _worker = world.worker();
    until(SOON, "the tick has been handled again", async || {
        let ticks = world.bus.subjects(stream::RACK, "rack.tick").await;
        ticks.is_ok_and(|ticks| ticks.is_empty())
    })
    .await;
    let stats = world.lab.stats();
    assert_eq!((stats.jobs_submitted, stats.jobs_with_same_id), (3, 0));
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").args([from, to]).status();
    assert!(copied.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_only_look_like_ours_are_left_alone() {
    let world = World::new(LabConfig::default()).await;
    let tags = json!(["racktick", "racktick-rack:r1", "racktick-cycle:not-a-cycle"]);
    // Queues that nobody serves, so that the jobs go on waiting.
    for (queue, tags) in [("nobody", tags), ("no body", json!(["racktick"]))] {
        let body = json!({"job_queue": queue, "tags": tags, "provision_data": {"distro": "noble"}});
        let url = format!("{}/v1/job", world.lab.testflinger_url());
        let answer = reqwest::Client::new().post(url).json(&body).send().await;
        assert_eq!(answer.unwrap().status(), 200);
    }
    let report = world.place.run(&["recover"]).with_code(1);
    assert!(report.stdout.contains("foreign"), "{report:?}");
    assert!(
        report
            .stderr
            .contains("0 claims and 0 verdicts were brought back")
            && report.stderr.contains("2 left"),
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_bring_back_is_said() {
    let world = World::new(LabConfig::default()).await;
    let report = world.place.run(&["recover"]).with_code(0);
    assert_eq!(
        (report.stdout.as_str(), report.stderr.trim()),
        (
            "",
            "Testflinger works on no job of racktick, and no cycle is missing"
        )
    );
}

/// Tags are a stranger's words: nothing keeps two racks' jobs from naming one cycle.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_two_racks_that_name_one_cycle_come_back_to_a_cycle_of_each() {
    let world = World::new(LabConfig::default()).await;
    let slot = Timestamp::now();
    let cycle = CycleId::of_slot(&RackName::new("r1").unwrap(), slot);
    for rack in ["r1", "r2"] {
        let machine = MachineName::new(format!("{rack}-m01")).unwrap();
        let job = json!({
            "job_id": JobId::of(cycle, &machine),
            "job_queue": machine,
            "tags": tag::of(&RackName::new(rack).unwrap(), cycle),
            "provision_data": {"distro": "noble"},
        });
        let url = format!("http://{}/v1/job", world.lab.address());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.post(url).json(&job).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let place = &world.place;
    for rack in ["r1", "r2"] {
        place
            .run(&["rack", "add", rack, "--first", "slot", "--yes"])
            .with_code(0);
    }
    place.run(&["recover"]).with_code(0);
    for rack in ["r1", "r2"] {
        let shown = place.json(&["rack", "show", rack])["cycles"].clone();
        let shown = shown.as_array().unwrap();
        assert_eq!(shown.len(), 1, "{rack}: {shown:?}");
        assert_eq!(shown[0]["cycle"], json!(cycle), "{rack}");
    }
    let _worker = world.worker();
    for rack in ["r1", "r2"] {
        world.until_finished(rack).await;
    }
}
