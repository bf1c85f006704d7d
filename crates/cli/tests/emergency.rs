//! One record that cannot be read, or one change that fails, must not keep the rest from being seen or stopped.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use std::collections::BTreeMap;
use std::time::Duration;

use bus::Bus;
use jiff::Timestamp;
use ledger::Ledger;
use model::cycle::{CycleRecord, Fate, Origin, Planned};
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::outcome::Outcome;
use model::rack::RackRecord;
use model::record::Record;
use model::schedule::Schedule;
use model::subject::key;
use model::task::Pace;
use program::Place;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use testkit::Broker;

/// Written by a later racktick.
const LATER: &str = r#"{"v": 200}"#;

struct World {
    broker: Broker,
    ledger: Ledger,
    place: Place,
}

impl World {
    async fn new() -> Self {
        let broker = Broker::start().await;
        let bus: Bus = broker.bus().await;
        Self {
            place: Place::new().env("NATS_URL", broker.url()),
            ledger: Ledger::new(bus),
            broker,
        }
    }

    async fn rack(&self, name: &str) {
        let schedule = Schedule::Every {
            every: Duration::from_secs(6 * 3600),
            splay: None,
        };
        let record = RackRecord::new(schedule, Timestamp::now());
        let key = key::rack(&RackName::new(name).unwrap());
        self.ledger.racks().create(&key, &record).await.unwrap();
    }

    /// A cycle whose submits are all still to come.
    async fn cycle(&self, rack: &str, machines: &[&str]) -> CycleRecord {
        let rack = RackName::new(rack).unwrap();
        let now = Timestamp::now();
        let hour = Duration::from_secs(3600);
        let deploy: BTreeMap<MachineName, Timestamp> = machines
            .iter()
            .map(|machine| (MachineName::new(*machine).unwrap(), now + hour))
            .collect();
        let record = CycleRecord {
            v: CycleRecord::VERSION,
            rack: rack.clone(),
            cycle: "0b7d1c3a-1111-4222-8333-444455556666".parse().unwrap(),
            origin: Origin::Manual {
                by: None,
                reason: None,
            },
            ticked_at: now,
            fate: Fate::Planned(Planned {
                at: now,
                deploy_by: now + 2 * hour,
                spread: hour,
                deploy,
                skip: BTreeMap::new(),
                pace: Pace {
                    first_look: hour,
                    look_every: hour,
                    deadline: hour,
                },
                job: json!({}),
            }),
            outcomes: BTreeMap::new(),
            settled_at: None,
            closed: false,
        };
        let key = key::cycle(&rack, record.cycle);
        self.ledger.cycles().create(&key, &record).await.unwrap();
        record
    }

    /// Writes into a bucket what this racktick cannot read.
    async fn spoil(&self, bucket: &str, key: &str) {
        self.broker
            .request(&format!("$KV.{bucket}.{key}"), LATER)
            .await;
    }

    async fn is_paused(&self, rack: &str) -> bool {
        let rack = RackName::new(rack).unwrap();
        let record = self.ledger.rack(&rack).await.unwrap().unwrap();
        record.paused.is_some()
    }
}

fn line<'a>(lines: &'a Value, rack: &str) -> &'a Value {
    let lines = lines.as_array().unwrap();
    lines.iter().find(|line| line["rack"] == rack).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_rack_is_shown_and_keeps_no_other_rack_from_being_paused() {
    let world = World::new().await;
    let place = &world.place;
    for rack in ["r1", "r3"] {
        world.rack(rack).await;
    }
    world.spoil("racks", "r2").await;

    let paused = place
        .run(&["rack", "pause", "--all", "--output", "json"])
        .with_code(1);
    assert!(
        paused.stderr.contains("rack r2 is as it was: key `r2`"),
        "{paused:?}"
    );
    let report: Value = serde_json::from_str(&paused.stdout).unwrap();
    assert_eq!(report["paused"], json!(["r1", "r3"]));
    assert!(report["failed"]["r2"].is_string(), "{report}");
    assert!(world.is_paused("r1").await && world.is_paused("r3").await);

    let list = place.json(&["rack", "list"]);
    assert!(line(&list, "r2")["unreadable"].is_string(), "{list}");
    assert!(line(&list, "r1")["paused"].is_object(), "{list}");
    let table = place.run(&["rack", "list"]).with_code(0);
    assert!(table.stdout.contains("unreadable: key `r2`"), "{table:?}");
    let status = place.json(&["status"]);
    assert!(
        line(&status["racks"], "r2")["unreadable"].is_string(),
        "{status}"
    );
    assert_eq!(line(&status["racks"], "r3")["paused"], true);

    place.run(&["rack", "remove", "r2"]).with_code(0);
    place.run(&["rack", "resume", "--all"]).with_code(0);
    assert!(!world.is_paused("r1").await && !world.is_paused("r3").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_cycle_is_named_and_keeps_no_other_from_being_cancelled() {
    let world = World::new().await;
    let place = &world.place;
    let cycle = world.cycle("r1", &["m1"]).await;
    world
        .spoil("cycles", "r2.11111111-2222-4333-8444-555555555555")
        .await;

    let status = place.json(&["status"]);
    assert_eq!(
        status["unreadable_cycles"],
        json!(["r2.11111111-2222-4333-8444-555555555555"])
    );
    assert_eq!(status["running"][0]["cycle"], cycle.cycle.to_string());

    place.run(&["cancel", "r2"]).with_code(1);
    let report = place
        .run(&["cancel", "--all", "--output", "json"])
        .with_code(1);
    assert!(
        report.stderr.contains("cycle r2.11111111") && report.stderr.contains("not cancelled"),
        "{report:?}"
    );
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report["dropped"], 1, "{report}");
    // What is asked for by name and found is no failure because of another record.
    let other = place
        .run(&["cancel", &cycle.cycle.to_string()])
        .with_code(0);
    assert!(other.stderr.contains("nothing to cancel"), "{other:?}");
}

/// What a later racktick wrote of a cycle that is over.
#[derive(Serialize, Deserialize)]
struct Later {
    v: u8,
}

impl Record for Later {
    const LATEST: u8 = u8::MAX;

    fn version(&self) -> u8 {
        self.v
    }

    fn is_over(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cycles_that_are_over_are_not_read_by_who_asks_what_goes_on() {
    let world = World::new().await;
    let (place, cycles) = (&world.place, world.ledger.cycles());
    world.rack("r1").await;
    // If it were read, it would be named.
    let id = "11111111-2222-4333-8444-555555555555";
    let later = world.ledger.bus().bucket::<Later>("cycles");
    later
        .create(&format!("r1.{id}"), &Later { v: 200 })
        .await
        .unwrap();
    let open = world.cycle("r1", &["m1"]).await;
    let mut job = None;
    for second in 0..8 {
        let slot = Timestamp::from_second(1_800_000_000 + second).unwrap();
        let mut over = CycleRecord {
            cycle: CycleId::of_slot(&open.rack, slot),
            ticked_at: Timestamp::now(),
            ..open.clone()
        };
        if let Fate::Planned(planned) = &mut over.fate {
            planned.at = over.ticked_at;
        }
        let machine = MachineName::new("m1").unwrap();
        assert!(over.account(&machine, &Outcome::Passed, over.ticked_at));
        job = Some(JobId::of(over.cycle, &machine));
        let key = key::cycle(&over.rack, over.cycle);
        cycles.create(&key, &over).await.unwrap();
    }

    let shown = place.run(&["rack", "show", "r1", "--output", "json"]);
    let shown = shown.with_code(0);
    assert!(!shown.stderr.contains("not shown"), "{shown:?}");
    let rack: Value = serde_json::from_str(&shown.stdout).unwrap();
    let shown = rack["cycles"].as_array().unwrap();
    let times: Vec<Timestamp> = shown
        .iter()
        .map(|cycle| cycle["ticked_at"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(times.len(), 5, "{rack}");
    assert!(times.is_sorted_by(|one, next| one > next), "{times:?}");
    assert!(times[4] > open.ticked_at, "{times:?}");
    // However many were written after it.
    let status = place.status(&[]);
    assert_eq!(status["running"][0]["cycle"], open.cycle.to_string());
    assert!(status["unreadable_cycles"].is_null(), "{status}");
    let why = place.json(&["why", "m1"]);
    assert_eq!(why["decisions"].as_array().unwrap().len(), 1, "{why}");
    assert_eq!(why["decisions"][0]["cycle"], open.cycle.to_string());

    let over = place.run(&["cancel", &job.unwrap().to_string()]);
    let over = over.with_code(0).stderr;
    assert!(over.contains("nothing to cancel"), "{over}");
    let asked = place.run(&["cancel", id]).with_code(1).stderr;
    assert!(asked.contains("cycle r1.11111111"), "{asked}");
    let report = place.json(&["cancel", "--all"]);
    assert_eq!(report["dropped"], 1, "{report}");
    let nothing = place.run(&["cancel", "r1"]).with_code(0).stderr;
    assert!(nothing.contains("nothing to cancel"), "{nothing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_nowhere_is_said_so() {
    let world = World::new().await;
    world.cycle("r1", &["m1"]).await;
    let id = "11111111-2222-4333-8444-555555555555";
    let ended = world.place.run(&["cancel", id]).with_code(1).stderr;
    let said = format!("there is no cycle and no job {id}");
    assert!(ended.contains(&said), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_cannot_be_cancelled_does_not_leave_the_rest_unasked() {
    let world = World::new().await;
    let place = &world.place;
    let cycle = world.cycle("r1", &["m1", "m2", "m3"]).await;
    let machine = MachineName::new("m1").unwrap();
    world.spoil("machines", &key::machine(&machine)).await;

    let report = place
        .run(&["cancel", "r1", "--output", "json"])
        .with_code(1);
    assert!(
        report.stderr.contains(&format!(
            "machine m1 of cycle {} is not cancelled",
            cycle.cycle
        )),
        "{report:?}"
    );
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report["dropped"], 2, "{report}");
    assert_eq!(report["failed"].as_object().unwrap().len(), 1, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spread_that_outlives_the_jobs_is_refused() {
    let world = World::new().await;
    for spread in ["100d", "6d"] {
        let ended = world
            .place
            .run(&["tick", "r1", "--spread", spread, "--wait", "0"])
            .with_code(2);
        assert!(
            ended.stderr.contains("--spread") && ended.stderr.contains("6 days"),
            "{ended:?}"
        );
    }
    world
        .place
        .run(&["tick", "r1", "--spread", "5d", "--wait", "0"])
        .with_code(0);
}
