//! A rack is added, its slots are armed, its cycles run, and anyone can see it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::cycle::Origin;
use model::event::{Event, Fact};
use model::id::CycleId;
use model::name::RackName;
use model::schedule::Schedule;
use plan::slots::Slots;
use testkit::until;
use tests::nats::Subscription;
use tests::{SOON, System, machines};

/// What happened in a cycle, in order, each fact by its subject's last two words; machines left out.
fn told(events: &[Event], cycle: CycleId) -> Vec<&'static str> {
    events
        .iter()
        .filter(|event| event.cycle == cycle)
        .map(|event| match &event.fact {
            Fact::CycleStarted { .. } => "cycle started",
            Fact::CyclePlanned { .. } => "cycle planned",
            Fact::CycleFinished { .. } => "cycle finished",
            Fact::JobSubmitted { .. } => "job submitted",
            Fact::JobProgressed { .. } => "job progressed",
            Fact::JobFinished { .. } => "job finished",
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn a_rack_is_added_ticked_and_observed() {
    let system = System::start(&["--racks", "1", "--machines", "4", "--speed", "300"]).await;
    // A busy machine must not make anything too late; all else is as by default, compressed.
    system.configure("[policy]\nsubmit_window = \"20h\"\ncatch_up = \"20h\"\n");
    let scheduler = system.scheduler();
    let _workers = [system.worker("w1"), system.worker("w2")];

    let observer = Subscription::to(&system.broker.url(), "event.>").await;
    system
        .run(&["rack", "add", "r1", "--every", "6h", "--yes"])
        .await;
    let first = system.until_finished(1, SOON).await;
    until(SOON, "the slots of the day are armed", async || {
        let shown = system.json(&["rack", "show", "r1"]).await;
        let armed = shown["armed"].as_array().unwrap().clone();
        let times = armed
            .iter()
            .map(|slot| slot.as_str().unwrap().parse::<Timestamp>().unwrap());
        let times: Vec<Timestamp> = times.collect();
        let apart = times
            .windows(2)
            .all(|pair| pair[1].duration_since(pair[0]) == SignedDuration::from_hours(6));
        armed.len() == 4 && apart
    })
    .await;

    system.until_agents_wait().await;
    // As a shell would send it, with a line end.
    system.tick(b"r1\n").await;
    let second = system.until_finished(2, SOON).await;
    system
        .assert_one_job_each(&[first, second], &machines("r1", 4))
        .await;

    let events = system.events().await;
    for cycle in [first, second] {
        let told = told(&events, cycle);
        let mut counts = BTreeMap::new();
        for what in &told {
            *counts.entry(*what).or_insert(0) += 1;
        }
        assert_eq!(told[..2], ["cycle started", "cycle planned"], "{told:?}");
        assert_eq!(told.last(), Some(&"cycle finished"), "{told:?}");
        for (what, count) in [
            ("cycle started", 1),
            ("job submitted", 4),
            ("job finished", 4),
            ("cycle finished", 1),
        ] {
            assert_eq!(counts.get(what), Some(&count), "{what}: {counts:?}");
        }
    }
    // Whoever only listens sees the same.
    let mut stored: Vec<String> = events
        .iter()
        .map(|event| event.subject().to_string())
        .collect();
    stored.push("event.rack.r1.added".into());
    stored.sort();
    until(SOON, "the observer has seen every event", async || {
        let mut seen = observer.subjects();
        seen.sort();
        seen == stored
    })
    .await;
    assert_eq!(system.dead_letters().await, []);
    system.until_quiet().await;
    let log = scheduler.log();
    assert!(
        !log.contains("bringing it back") && !log.contains("looking now"),
        "{log}"
    );
}

#[tokio::test]
async fn a_slot_ticks_by_itself_while_no_scheduler_runs() {
    let system = System::start(&["--racks", "1", "--machines", "2", "--speed", "300"]).await;
    let mut scheduler = system.scheduler();
    // A schedule that puts the next slot of this rack a few seconds ahead, and the one after that hours away.
    let rack = RackName::new("r1").unwrap();
    let near = |(hours, splay): &(u64, u64)| {
        let schedule = Schedule::Every {
            every: Duration::from_secs(hours * 3600),
            splay: Some(Duration::from_secs(*splay)),
        };
        let now = Timestamp::now();
        let slot = Slots::new(&schedule, &rack).unwrap().after(now).unwrap();
        (6..10).contains(&slot.duration_since(now).as_secs())
    };
    let (hours, splay) = (13..200)
        .flat_map(|hours| (1..hours * 3600).map(move |splay| (hours, splay)))
        .find(near)
        .unwrap();
    let (every, splay) = (format!("{hours}h"), format!("{splay}s"));
    let add = [
        "rack", "add", "r1", "--every", &every, "--splay", &splay, "--first", "slot",
    ];
    system.configure("[policy]\nspread = \"0s\"\nsubmit_window = \"20h\"\n");
    system.run(&add).await;
    until(SOON, "the slot is armed", async || {
        let shown = system.json(&["rack", "show", "r1"]).await;
        shown["armed"].as_array().unwrap().len() == 2
    })
    .await;
    scheduler.kill_9().await;
    assert_eq!(system.cycles("r1").await, []);

    let _worker = system.worker("w1");
    let cycle = system.until_finished(1, SOON).await;
    let record = system.cycle("r1", cycle).await;
    let Origin::Slot { slot } = record.origin else {
        panic!("{record:?}");
    };
    assert_eq!(cycle, CycleId::of_slot(&rack, slot));
    assert!(record.ticked_at >= slot, "{record:?}");
    system
        .assert_one_job_each(&[cycle], &machines("r1", 2))
        .await;
}
