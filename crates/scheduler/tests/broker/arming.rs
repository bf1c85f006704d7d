//! Which slots are armed, and that they fire without any scheduler.

use std::time::Duration;

use bus::topology::{Retention, Topology, setup};
use jiff::Timestamp;
use model::action::{Action, Deed, RackEvent};
use model::id::CycleId;
use model::rack::{Pause, RackRecord};
use model::subject::{Subject, key, stream};
use testkit::until;

use crate::slots::{every, name_with_slot, wanted};
use crate::stage::{SOON, Stage, ago, ahead, rack};

/// No sweep comes within a test, and no setting is too long.
const NEVER: Duration = Duration::MAX;

#[tokio::test]
async fn a_new_racks_day_and_always_two_slots_are_armed() {
    let stage = Stage::set().await;
    let scheduler = stage.scheduler(NEVER).await;
    stage.add_rack("daily", every(6), Timestamp::now()).await;
    stage
        .add_rack("weekly", every(7 * 24), Timestamp::now())
        .await;
    let (daily, weekly) = (wanted("daily", &every(6)), wanted("weekly", &every(7 * 24)));
    assert_eq!((daily.len(), weekly.len()), (4, 2));
    stage.until_armed("daily", &daily).await;
    stage.until_armed("weekly", &weekly).await;

    let slot = Subject::Slot {
        rack: rack("daily"),
        slot: daily[0],
    };
    let message = stage.message_on(stream::RACK, &slot).await;
    assert_eq!(&message.body[..], b"daily");
    assert_eq!(
        message.header("Nats-Schedule"),
        Some(format!("@at {}", daily[0]).as_str())
    );
    assert_eq!(message.header("Nats-Schedule-Target"), Some("rack.tick"));
    scheduler.stop().await;
}

#[tokio::test]
async fn set_pause_resume_and_remove_are_followed() {
    let stage = Stage::set().await;
    let scheduler = stage.scheduler(NEVER).await;
    stage.add_rack("r1", every(6), Timestamp::now()).await;
    stage.add_rack("r2", every(6), Timestamp::now()).await;
    let (first, other) = (wanted("r1", &every(6)), wanted("r2", &every(6)));
    stage.until_armed("r1", &first).await;
    stage.until_armed("r2", &other).await;

    stage
        .change_rack("r1", |record| record.schedule = every(5))
        .await;
    let second = wanted("r1", &every(5));
    assert_ne!(first, second);
    stage.until_armed("r1", &second).await;

    stage
        .change_rack("r1", |record| {
            record.paused = Some(Pause {
                by: "ann".into(),
                why: "work on the power".into(),
                at: Timestamp::now(),
            });
        })
        .await;
    stage.until_armed("r1", &[]).await;

    stage.change_rack("r1", |record| record.paused = None).await;
    stage.until_armed("r1", &second).await;

    let key = key::rack(&rack("r1"));
    stage.ledger.racks().delete(&key, None).await.unwrap();
    stage.until_armed("r1", &[]).await;
    stage.until_armed("r2", &other).await;
    scheduler.stop().await;
}

#[tokio::test]
async fn two_schedulers_arm_each_slot_once() {
    let stage = Stage::set().await;
    let racks: Vec<String> = (0..12).map(|number| format!("r{number}")).collect();
    for name in &racks {
        stage.add_rack(name, every(1), Timestamp::now()).await;
    }
    // Both find everything to do, and do it at the same time.
    let both = tokio::join!(stage.scheduler(NEVER), stage.scheduler(NEVER));
    for name in &racks {
        stage.until_armed(name, &wanted(name, &every(1))).await;
    }
    // A pass of each after everything was armed.
    for name in ["extra1", "extra2"] {
        stage.add_rack(name, every(24), Timestamp::now()).await;
        stage.until_armed(name, &wanted(name, &every(24))).await;
    }
    let (mut slots, mut newest) = (0, 0);
    for name in racks.iter().map(String::as_str).chain(["extra1", "extra2"]) {
        let armed = stage.armed(name).await;
        assert!(armed.values().all(|count| *count == 1), "{armed:?}");
        slots += armed.len() as u64;
        for slot in armed.into_keys() {
            let subject = Subject::Slot {
                rack: rack(name),
                slot,
            };
            let message = stage.message_on(stream::RACK, &subject).await;
            newest = newest.max(message.sequence);
        }
    }
    // Nothing was stored beyond that, not even to be replaced.
    assert_eq!(newest, slots);
    both.0.stop().await;
    both.1.stop().await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_stops_no_other_rack() {
    let stage = Stage::set().await;
    let schedule = every(6);
    stage
        .add_rack("good", schedule.clone(), Timestamp::now())
        .await;
    stage.add_rack("later", every(6), Timestamp::now()).await;
    let scheduler = stage.scheduler(NEVER).await;
    let later = wanted("later", &every(6));
    stage.until_armed("later", &later).await;

    let by_a_later_racktick = |record: &mut RackRecord| {
        record.v = 99;
        record.schedule = every(7);
    };
    stage.change_rack("later", by_a_later_racktick).await;
    stage.change_rack("good", |r| r.schedule = every(5)).await;
    stage.until_armed("good", &wanted("good", &every(5))).await;
    // Its slots stay: whoever wrote the record knows what it means.
    stage.until_armed("later", &later).await;
    scheduler.stop().await;
}

#[tokio::test]
async fn an_armed_slot_fires_without_a_scheduler_and_after_a_crash_of_the_broker() {
    let mut stage = Stage::set().await;
    let schedule = every(24);
    let now = Timestamp::now();
    let (fires_down, down) = name_with_slot("down", &schedule, now, 3..6);
    let (fires_up, up) = name_with_slot("up", &schedule, now, 8..11);
    for name in [&fires_down, &fires_up] {
        stage
            .add_rack(name.as_str(), schedule.clone(), ago(60))
            .await;
    }
    let scheduler = stage.scheduler(NEVER).await;
    for (name, slot) in [(&fires_down, down), (&fires_up, up)] {
        until(SOON, "the near slot is armed", async || {
            stage.armed(name.as_str()).await.contains_key(&slot)
        })
        .await;
    }
    scheduler.stop().await;
    let mut kept = stage.armed(fires_down.as_str()).await;
    kept.remove(&down);
    assert_eq!(kept.len(), 1);

    stage.broker.kill_9().await;
    until(
        SOON,
        "the first slot passes while the broker is down",
        async || Timestamp::now() > down,
    )
    .await;
    stage.broker.restart().await;
    stage.bus = stage.broker.connect().await;

    // Each tick names its slot; the first came late, the second in time.
    for (name, slot) in [(&fires_down, down), (&fires_up, up)] {
        let tick = stage.message_on(stream::RACK, &Subject::Tick).await;
        let expected = Subject::Slot {
            rack: name.clone(),
            slot,
        };
        assert_eq!(
            tick.header("Nats-Scheduler"),
            Some(expected.to_string().as_str())
        );
        let cycle = CycleId::of_slot(name, slot);
        let traceparent = cycle.traceparent();
        assert_eq!(tick.header("traceparent"), Some(traceparent.as_str()));
        assert_eq!(&tick.body[..], name.as_str().as_bytes());
        assert!(tick.time >= slot);
        let ticks = stage.bus.subjects(stream::RACK, "rack.tick").await.unwrap();
        assert_eq!(ticks["rack.tick"], 1);
        let taken = stage.bus.delete(stream::RACK, tick.sequence).await.unwrap();
        assert!(taken);
    }
    // The slot that was not due is still armed, once.
    assert_eq!(stage.armed(fires_down.as_str()).await, kept);
}

#[tokio::test]
async fn what_was_done_to_a_rack_by_who_died_then_is_told() {
    let stage = Stage::set().await;
    let event = |name: &str, who: &str, at| RackEvent {
        rack: rack(name),
        action: Action {
            at,
            by: who.into(),
            why: "power work".into(),
            deed: Deed::Paused,
        },
    };
    // Whoever acts tells it at once: what is younger than ten seconds is left to them.
    let (young, late) = (event("r1", "bob", ahead(3600)), event("r2", "ann", ago(11)));
    stage.add_rack("r1", every(6), Timestamp::now()).await;
    stage.add_rack("r2", every(6), Timestamp::now()).await;
    stage
        .change_rack("r1", |record| record.untold.push(young.action.clone()))
        .await;
    stage
        .change_rack("r2", |record| record.untold.push(late.action.clone()))
        .await;
    let scheduler = stage.scheduler(NEVER).await;
    let untold = async |name: &str| {
        let record = stage.ledger.rack(&rack(name)).await.unwrap().unwrap();
        record.untold.len()
    };
    until(SOON, "it is told", async || untold("r2").await == 0).await;
    let told = stage.message_on(stream::EVENTS, &late.subject()).await;
    assert_eq!(told.body, late.to_json());
    // It was its turn before.
    assert_eq!(untold("r1").await, 1);
    scheduler.stop().await;
}

#[tokio::test]
async fn what_cannot_be_told_keeps_nothing_else_from_being_told() {
    let stage = Stage::set().await;
    let mut topology = Topology::declared(Retention::default());
    topology.streams.get_mut(stream::EVENTS).unwrap()["max_msg_size"] = 1000.into();
    setup(&stage.bus, &topology).await.unwrap();
    let event = |name: &str, why: String| RackEvent {
        rack: rack(name),
        action: Action {
            at: ago(11),
            by: "ann".into(),
            why,
            deed: Deed::Paused,
        },
    };
    // The broker takes no event of this length, and it is the first and the last of those to be told.
    let (long, short) = ("x".repeat(1000), "power work".to_owned());
    let actions = [
        event("r1", long.clone()),
        event("r2", short),
        event("r3", long),
    ];
    for event in &actions {
        let name = event.rack.as_str();
        stage.add_rack(name, every(6), Timestamp::now()).await;
        let put = |record: &mut RackRecord| record.untold.push(event.action.clone());
        stage.change_rack(name, put).await;
    }
    let scheduler = stage.scheduler(NEVER).await;
    let untold = async |name: &str| {
        let record = stage.ledger.rack(&rack(name)).await.unwrap().unwrap();
        record.untold.len()
    };
    until(SOON, "it is told", async || untold("r2").await == 0).await;
    assert_eq!((untold("r1").await, untold("r3").await), (1, 1));
    for event in &actions {
        let name = event.rack.as_str();
        stage.until_armed(name, &wanted(name, &every(6))).await;
    }
    scheduler.stop().await;
}
