//! Cancelling, and dead letters, on a real broker with real roles and the lab.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;
mod world;

use bus::Outgoing;
use lab::LabConfig;
use model::subject::Subject;
use serde_json::Value;
use testkit::until;
use world::{SOON, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_that_becomes_a_dead_letter_is_said_and_can_be_replayed_as_the_same_cycle() {
    let world = World::env(LabConfig::default(), "RACKTICK_ADHOC_RACKS", "false").await;
    let place = &world.place;
    let mut worker = world.worker();
    let refused = place.run(&["tick", "r1"]).with_code(1);
    assert!(refused.stderr.contains("never added"), "{refused:?}");
    world
        .bus
        .publish(Outgoing::new(Subject::Tick, "not a rack"))
        .await
        .unwrap();
    until(SOON, "both are dead letters", async || {
        place.json(&["dlq", "list"]).as_array().unwrap().len() == 2
    })
    .await;
    let letters = place.json(&["dlq", "list"]);
    let numbers: Vec<String> = letters
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| letter["number"].to_string())
        .collect();
    let show = place.run(&["dlq", "show", &numbers[1]]).with_code(0);
    assert!(
        show.stdout.contains("not a rack") && show.stdout.contains("rack.tick"),
        "{show:?}"
    );

    worker.signal("TERM");
    until(SOON, "the worker ends by itself", async || {
        worker.code() == Some(0)
    })
    .await;
    place
        .run(&["rack", "add", "r1", "--first", "slot", "--yes"])
        .with_code(0);
    let _worker = world.worker();
    let replay = place.run(&["dlq", "replay", "--all"]).with_code(1);
    assert!(
        replay.stderr.contains("1 dead letters replayed"),
        "{replay:?}"
    );
    world.until_finished("r1").await;
    let cycle = place.json(&["rack", "show", "r1"])["cycles"][0]["cycle"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(refused.stderr.contains(&cycle), "{cycle} in {refused:?}");

    place.run(&["dlq", "drop", &numbers[1]]).with_code(0);
    assert_eq!(place.json(&["dlq", "list"]), Value::Array(Vec::new()));
    place.run(&["dlq", "show", &numbers[1]]).with_code(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_drops_what_waits_and_cancels_what_runs() {
    let world = World::new(LabConfig {
        // A deployment takes 10 to 20 seconds: Testflinger lets it end before the cancel counts.
        speed: 60.0,
        ..LabConfig::default()
    })
    .await;
    let place = &world.place;
    let _worker = world.worker();
    // The second and third submit are due in hours.
    let tick = place.json(&["tick", "r1", "--spread", "5d"]);
    let cycle = tick["cycle"].as_str().unwrap();
    until(SOON, "the first job runs", async || {
        world.lab.stats().jobs_submitted == 1
    })
    .await;
    until(SOON, "its event is out", async || {
        place
            .run(&["events", "--rack", "r1"])
            .stdout
            .contains("event.job.r1.r1-m01.submitted")
    })
    .await;
    assert_eq!(place.json(&["status"])["running"][0]["open"], 3);
    let job = world.lab.jobs()[0].job_id.to_uppercase();
    let report = place.json(&["cancel", &job]);
    assert_eq!(
        (&report["dropped"], &report["asked"]),
        (&0.into(), &1.into())
    );
    let report = place.json(&["cancel", cycle, "--reason", "wrong image"]);
    assert_eq!(
        (&report["dropped"], &report["asked"]),
        (&2.into(), &1.into())
    );
    assert_eq!(
        world.until_finished("r1").await,
        "finished: cancelled 1, skipped 2 (cancelled 2)"
    );
    assert_eq!(world.lab.stats().jobs_submitted, 1);
    let nothing = place.run(&["cancel", "--all"]).with_code(0);
    assert!(nothing.stderr.contains("nothing to cancel"), "{nothing:?}");
    place
        .run(&["cancel", "11111111-2222-4333-8444-555555555555"])
        .with_code(1);
    place.run(&["cancel", "no such thing"]).with_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_gives_up_ticks_that_wait_for_their_next_attempt() {
    let world = World::env(LabConfig::default(), "MAAS_URL", "http://127.0.0.1:9/MAAS/").await;
    let place = &world.place;
    let _worker = world.worker();
    place.run(&["rack", "add", "r1", "--yes"]).with_code(0);
    until(SOON, "the tick waits", async || {
        place.json(&["rack", "show", "r1"])["retrying"] == 1
    })
    .await;
    let report = place.json(&["cancel", "r1"]);
    assert_eq!(report["given_up"], 1);
    assert!(
        world.last_result("r1").starts_with("failed: cancelled"),
        "{}",
        world.last_result("r1")
    );
    assert_eq!(place.json(&["rack", "show", "r1"])["retrying"], 0);
}
