//! Operator commands on a real broker, with real roles and the lab.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;
mod terminal;
mod world;

use lab::LabConfig;
use program::Place;
use serde_json::Value;
use testkit::{Broker, until};
use world::{SOON, World};

fn texts<'a>(values: &'a Value, key: &str) -> Vec<&'a str> {
    values
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value[key].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_rack_has_a_first_cycle_at_once_and_armed_slots() {
    let world = World::new(LabConfig {
        odd: 1,
        ..LabConfig::default()
    })
    .await;
    let place = &world.place;
    let (_scheduler, _workers) = (
        place.start(&["scheduler"]),
        [world.worker(), world.worker()],
    );
    let added = place
        .run(&[
            "rack", "add", "r1", "--every", "6h", "--policy", "spread=0", "--yes",
        ])
        .with_code(0);
    assert!(
        added.stderr.contains("its first cycle begins now"),
        "{added:?}"
    );
    until(SOON, "slots are armed", async || {
        place.json(&["rack", "show", "r1"])["armed"]
            .as_array()
            .unwrap()
            .len()
            == 4
    })
    .await;
    assert_eq!(
        world.until_finished("r1").await,
        "finished: passed 2, skipped 1 (no_agent 1)"
    );
    let stats = world.lab.stats();
    assert_eq!(
        (
            stats.jobs_submitted,
            stats.machines_with_two_jobs_in_one_cycle
        ),
        (2, 0)
    );

    let events = place.run(&["events", "--rack", "r1"]).with_code(0).stdout;
    for wanted in [
        "Received on \"event.cycle.r1.started\"",
        "Received on \"event.machine.r1.r1-m03.skipped\"",
        "Received on \"event.job.r1.r1-m01.finished\"",
        "Received on \"event.cycle.r1.finished\"",
    ] {
        assert!(events.contains(wanted), "{wanted} in {events}");
    }
    assert_eq!(
        place.run(&["events", "--rack", "r2"]).with_code(0).stdout,
        ""
    );
    let lines = place
        .run(&["events", "--since", "1h", "--output", "json"])
        .with_code(0)
        .stdout;
    assert!(
        lines
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).unwrap()["event"]["id"].is_string())
    );

    let again = place.run(&["rack", "add", "r1", "--yes"]).with_code(1);
    assert!(again.stderr.contains("is there already"), "{again:?}");
    assert_eq!(texts(&place.json(&["rack", "list"]), "rack"), ["r1"]);
    place
        .run(&["rack", "pause", "--all", "--reason", "flood"])
        .with_code(0);
    until(SOON, "a paused rack has no armed slot", async || {
        place.json(&["rack", "show", "r1"])["armed"]
            .as_array()
            .unwrap()
            .is_empty()
    })
    .await;
    assert!(place.run(&["rack", "list"]).stdout.contains("flood"));
    place.run(&["rack", "resume", "r1"]).with_code(0);
    place.run(&["rack", "remove", "r1"]).with_code(0);
    place.run(&["rack", "show", "r1"]).with_code(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rack_is_set_and_the_file_gives_defaults() {
    let world = World::new(LabConfig::default()).await;
    let toml = "[racks.r1]\ncron = \"30 6 * * 1-5\"\ntime_zone = \"Europe/Berlin\"\n[racks.r1.policy]\nspread = \"10m\"\n";
    let place = world.place.file("racktick.toml", toml);
    place
        .run(&["rack", "add", "r1", "--first", "slot", "--yes"])
        .with_code(0);
    let rack = place.json(&["rack", "show", "r1"]);
    assert_eq!(rack["schedule"]["time_zone"], "Europe/Berlin");
    assert_eq!(rack["policy"]["spread"], "10m");
    assert_eq!(rack["cycles"].as_array().unwrap().len(), 0);

    let set = [
        "rack",
        "set",
        "r1",
        "--every",
        "4h",
        "--policy",
        "exclude=r1-m0*",
        "--unset",
        "spread",
    ];
    place.run(&set).with_code(0);
    let changed = place.json(&["rack", "show", "r1"]);
    assert_eq!(
        (&changed["schedule"]["every"], &changed["policy"]["spread"]),
        (&"4h".into(), &Value::Null)
    );
    assert_eq!(changed["policy"]["exclude"][0], "r1-m0*");
    assert!(changed["since"].as_str() > rack["since"].as_str());

    for (arguments, wanted) in [
        (
            &["rack", "set", "r1", "--every", "6m"][..],
            "RACKTICK_MIN_EVERY",
        ),
        (
            &["rack", "set", "r1", "--policy", "spraed=1h"],
            "did you mean `spread`?",
        ),
        (
            &["rack", "set", "r1", "--policy", "locations=[]"],
            "`locations` is empty",
        ),
        (&["rack", "set", "r1"], "nothing to set"),
        (
            &[
                "rack", "add", "r2", "--cron", "30 6 * *", "--tz", "UTC", "--yes",
            ],
            "4 fields",
        ),
        (
            &[
                "rack",
                "add",
                "r2",
                "--cron",
                "30 6 * * *",
                "--tz",
                "Berlin",
                "--yes",
            ],
            "not a time zone",
        ),
    ] {
        let ended = place.run(arguments).with_code(2);
        assert!(ended.stderr.contains(wanted), "{ended:?}");
    }
    for arguments in [
        &["rack", "set", "r9", "--every", "6h"][..],
        &["cancel", "r9"],
    ] {
        let gone = place.run(arguments).with_code(1);
        assert!(gone.stderr.contains("there is no rack r9"), "{gone:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_waits_for_what_a_worker_decides() {
    let world = World::new(LabConfig::default()).await;
    let place = &world.place;
    let alone = place.run(&["tick", "r2", "--wait", "1s"]).with_code(69);
    assert!(alone.stderr.contains("stays with the broker"), "{alone:?}");
    let _worker = world.worker();
    // The one that nobody took runs as well, so this one finds the machines in flight or already deployed.
    let tick = place.json(&["tick", "r1", "--spread", "0", "--reason", "new firmware"]);
    assert_eq!(tick["fate"]["deploy"].as_object().unwrap().len(), 3);
    assert_eq!(tick["origin"]["reason"], "new firmware");
    let unknown = place.run(&["tick", "r9"]).with_code(1);
    assert!(
        unknown.stdout.contains("failed: unknown_tag"),
        "{unknown:?}"
    );
    assert!(world.until_finished("r1").await.contains("passed 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_shows_every_machine_with_its_reason_and_can_be_repeated_from_a_file() {
    let world = World::new(LabConfig {
        odd: 2,
        ..LabConfig::default()
    })
    .await;
    let place = &world.place;
    let plan = place.json(&["plan", "r1", "--save", "inputs.json"]);
    assert_eq!(texts(&plan, "machine"), ["r1-m01", "r1-m02", "r1-m03"]);
    assert_eq!(texts(&plan, "decision"), ["deploy", "skip", "skip"]);
    assert_eq!(
        (&plan[1]["reason"], &plan[2]["reason"]),
        (&"no_agent".into(), &"agent_offline".into())
    );
    assert_eq!(world.lab.stats().jobs_submitted, 0);
    let inputs = std::fs::read_to_string(place.path().join("inputs.json")).unwrap();
    let alone = Place::new().file("inputs.json", &inputs);
    assert_eq!(alone.json(&["plan", "--inputs", "inputs.json"]), plan);
    alone
        .run(&["plan", "r2", "--inputs", "inputs.json"])
        .with_code(2);
    let table = alone.run(&["plan", "--inputs", "inputs.json"]).with_code(0);
    assert!(
        table
            .stderr
            .contains("1 machine would be deployed; skipped: no_agent 1, agent_offline 1"),
        "{table:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let world = World::new(LabConfig {
        odd: 3,
        ..LabConfig::default()
    })
    .await;
    let place = &world.place;
    place
        .run(&["rack", "add", "r1", "--first", "slot", "--yes"])
        .with_code(0);
    let change = lab::MachineChange {
        status: Some("Deployed".into()),
        owner: Some(Some("ann".into())),
        ..Default::default()
    };
    world.lab.change_machine("r1-m01", change).unwrap();
    let ended = place.run(&["doctor"]).with_code(0);
    for wanted in [
        "2.14",
        "as declared",
        "it is `lab`'s",
        "MAAS clock",
        "Testflinger clock",
        "because of MAAS user `ann`: 1 machine",
        "maas_owners=[\"lab\",\"ann\"]",
        "without an agent of their name: r1-m01",
    ] {
        let wanted = wanted.replace("r1-m01", "r1-m0");
        assert!(
            ended.stdout.contains(&wanted),
            "{wanted} in {}",
            ended.stdout
        );
    }
    assert!(!ended.stdout.contains("NATS_INBOX_PREFIX"), "{ended:?}");
    let wrong = place.run(&["doctor", "nosuchtag"]).with_code(1);
    assert!(wrong.stdout.contains("MAAS has no such tag"), "{wrong:?}");
    world.broker.request("$KV.racks.r2", r#"{"v": 200}"#).await;
    let unreadable = place.run(&["doctor"]).with_code(1);
    assert!(
        unreadable.stdout.contains("key `r2` of bucket `racks`")
            && unreadable.stdout.contains("because of MAAS user `ann`"),
        "{unreadable:?}"
    );

    let mut broken = Place::new()
        .env("NATS_URL", world.broker.url())
        .env("NATS_INBOX_PREFIX", "ours");
    for (name, value) in lab::environment(world.lab.config(), world.lab.address()) {
        let value = if name == "MAAS_API_KEY" {
            "a:b:hunter2".into()
        } else {
            value
        };
        broken = broken.env(&name, value);
    }
    let ended = broken.run(&["doctor"]).with_code(1);
    assert!(
        ended.stdout.contains("MAAS key") && !ended.stdout.contains("hunter2"),
        "{ended:?}"
    );
    let silent = "NATS_INBOX_PREFIX is `ours`: roles say that they are alive only where it begins with `_INBOX`";
    assert!(ended.stdout.contains(silent), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_without_maas_ends_with_69() {
    let world = World::env(LabConfig::default(), "MAAS_URL", "http://127.0.0.1:9/MAAS/").await;
    let ended = world.place.run(&["plan", "r1"]).with_code(69);
    assert!(ended.stderr.contains("127.0.0.1:9"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_says_what_it_changes_and_changes_nothing_the_second_time() {
    let broker = Broker::start().await;
    let place = Place::new().env("NATS_URL", broker.url());
    let first = place.run(&["setup"]).with_code(0);
    assert!(
        first.stdout.contains("stream EVENTS: created")
            && first.stdout.contains("bucket racks: created"),
        "{first:?}"
    );
    assert_eq!(
        place.run(&["setup"]).with_code(0).stdout,
        "everything is as declared\n"
    );
    let shorter = place.env("RACKTICK_EVENTS_MAX_AGE", "7d");
    let changed = shorter.json(&["setup"]);
    assert!(
        changed["changes"][0].as_str().unwrap().contains("max_age"),
        "{changed}"
    );
}
