//! Every process with its own role's key, on a broker that lets nobody do more than that.

use std::time::Duration;

use bus::access::Role;
use serde_json::Value;
use testkit::until;
use tests::nats::Subscription;
use tests::{SOON, System, machines};

/// A tick that MAAS's failure puts off, a machine's failure, everything that an operator does.
#[tokio::test]
async fn the_whole_system_works_with_a_key_per_role() {
    let mut system =
        System::start_with_roles(&["--racks", "2", "--machines", "4", "--speed", "300"]).await;
    system.configure("[policy]\nsubmit_window = \"20h\"\ncatch_up = \"20h\"\n");
    system.set("RACKTICK_MIN_EVERY", "1s");
    let scheduler = system.scheduler();
    let workers = [system.worker("w1"), system.worker("w2")];
    let observer = system.spawn_as(
        Role::Observer,
        "observer",
        &["events", "--follow", "--output", "json"],
    );
    let dashboard = system.dashboard("127.0.0.1:0").await;
    let by_hand = Subscription::to(&system.broker.url(), "event.>").await;
    until(SOON, "the observer listens", async || {
        observer.log().contains("events as they happen")
    })
    .await;

    // A rack's first cycle, then one by the operator, then one by whoever has no key.
    system
        .run(&["rack", "add", "r1", "--every", "6h", "--yes"])
        .await;
    system.until_finished(1, SOON).await;
    system.run(&["tick", "r1", "--yes", "--spread", "0"]).await;
    system.until_finished(2, SOON).await;
    system.tick(b"r1").await;
    let last = system.until_finished(3, SOON).await;
    let cycles = system.finished().await;
    system
        .assert_one_job_each(&cycles, &machines("r1", 4))
        .await;
    until(SOON, "the observers saw the end", async || {
        let finished = |subjects: &[String]| {
            subjects
                .iter()
                .filter(|subject| *subject == "event.cycle.r1.finished")
                .count()
                == 3
        };
        let logged: Vec<String> = observer
            .log()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|event| Some(event["subject"].as_str()?.to_owned()))
            .collect();
        finished(&by_hand.subjects()) && finished(&logged)
    })
    .await;

    // What the operator looks at and changes.
    until(SOON, "slots are armed", async || {
        let shown = system.json(&["rack", "show", "r1"]).await;
        shown["armed"].as_array().unwrap().len() == 4
    })
    .await;
    system.run(&["rack", "set", "r1", "--every", "12h"]).await;
    system.run(&["rack", "pause", "r1", "--reason", "x"]).await;
    system.run(&["rack", "resume", "r1"]).await;
    system.run(&["plan", "r1"]).await;
    let status = system.json(&["status"]).await;
    assert_eq!(status["dead_letters"], 0, "{status}");
    let told = system
        .run(&["events", "--rack", "r1", "--output", "json"])
        .await;
    assert!(told.contains(&last.to_string()), "{told}");
    system.run(&["doctor"]).await;
    let found = system.try_run(&["recover", "--dry-run"]).await;
    assert!(!found.stderr.contains("does not let"), "{found:?}");

    until(SOON, "the dashboard shows the rack", async || {
        let shown = reqwest::get(format!("{}/api/v1/racks/r1", dashboard.url())).await;
        let page = reqwest::get(format!("{}/system", dashboard.url())).await;
        let (shown, page) = (shown.unwrap(), page.unwrap().text().await.unwrap());
        shown.status().is_success() && page.contains("stream TASK") && page.contains("/racks/r1")
    })
    .await;

    // A dead letter is listed, shown, replayed in vain, and dropped.
    system.tick(b"no such rack!").await;
    until(
        SOON,
        "a tick that nobody can read is a dead letter",
        async || system.dead_letters().await.len() == 1,
    )
    .await;
    let number = system.dead_letters().await[0].sequence.to_string();
    system.run(&["dlq", "list"]).await;
    system.run(&["dlq", "show", &number]).await;
    assert_eq!(
        system.try_run(&["dlq", "replay", &number]).await.code,
        Some(1)
    );
    system.run(&["dlq", "drop", &number]).await;
    assert_eq!(system.dead_letters().await.len(), 0);

    // A cycle under way is cancelled: some of it waits out its spread, some is in Testflinger.
    let ticked = ["tick", "r2", "--yes", "--spread", "1h"];
    system.run(&ticked).await;
    system.run(&["cancel", "r2", "--yes"]).await;
    system.until_finished(4, SOON).await;
    system.run(&["rack", "remove", "r1"]).await;
    system.until_quiet().await;

    // Nobody was denied anything on the way.
    for process in [&scheduler, &workers[0], &workers[1], &dashboard.process] {
        let log = process.log();
        assert!(!log.contains("does not let this user"), "{log}");
        assert!(!log.contains("Permissions Violation"), "{log}");
    }
}

#[tokio::test]
async fn whoever_goes_beyond_their_role_is_told_so_at_once() {
    let system = System::start_with_roles(&["--racks", "1", "--machines", "2"]).await;
    let denied = async |role, arguments: &[&str], subject: &str| {
        let work = system.try_run_as(role, arguments);
        let limit = Duration::from_secs(20);
        let ended = tokio::time::timeout(limit, work)
            .await
            .expect("it ends soon");
        assert_eq!(ended.code, Some(78), "{arguments:?}: {ended:?}");
        let words = format!("does not let this user publish on `{subject}");
        assert!(ended.stderr.contains(&words), "{arguments:?}: {ended:?}");
    };
    denied(
        Role::Dashboard,
        &["rack", "add", "r1", "--first", "slot", "--yes"],
        "$KV.racks.r1",
    )
    .await;
    denied(Role::Worker, &["events"], "$JS.API.").await;
    denied(Role::Dashboard, &["tick", "r1", "--yes"], "rack.tick").await;
    denied(Role::Observer, &["events"], "").await;
    denied(Role::Observer, &["worker"], "").await;

    // A worker's health check looks at what its key may see, an observer has none.
    let doctor = system
        .try_run_as(Role::Worker, &["doctor", "--broker-only"])
        .await;
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    assert!(
        doctor.stdout.contains("the role worker's")
            && !doctor.stdout.contains("does not let this user"),
        "{doctor:?}"
    );
    let doctor = system
        .try_run_as(Role::Observer, &["doctor", "--broker-only"])
        .await;
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    assert!(
        doctor.stdout.contains("does not let this user"),
        "{doctor:?}"
    );
}
