//! Ticks: which cycle one means, whether it is run, and what leaves when it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::cycle::{Fate, MissedCause, Origin};
use model::event::Fact;
use model::id::CycleId;
use model::name::RackName;
use model::outcome::{Outcome, SkipReason};
use model::rack::{Pause, RackRecord};
use model::schedule::Schedule;
use model::subject::{Subject, filter, stream};
use model::task::{Submit, Task, Tick};

use crate::world::{Letter, Rack, World, ago, each, planned, submits};

const HOUR: i64 = 3600;

/// A rack that ticks every six hours on the hour.
fn six_hourly() -> RackRecord {
    let every = Duration::from_secs(6 * 3600);
    let schedule = Schedule::Every {
        every,
        splay: Some(Duration::ZERO),
    };
    RackRecord::new(schedule, ago(7 * 24 * HOUR))
}

fn pause() -> Option<Pause> {
    Some(Pause {
        by: "ada".into(),
        why: String::new(),
        at: Timestamp::now(),
    })
}

/// The slot of that schedule before the next one.
fn last_slot() -> Timestamp {
    let now = Timestamp::now().as_second();
    Timestamp::from_second(now - now % (6 * HOUR)).unwrap()
}

/// A tick that a slot brought.
fn slot_tick(rack: &Rack, slot: Timestamp) -> Letter<Tick> {
    let subject = Subject::Slot {
        rack: rack.name.clone(),
        slot,
    };
    Letter::tick(&rack.name).scheduled_by(subject)
}

/// The submits that wait in the broker, and whether each is held back.
async fn sent(rack: &Rack) -> Vec<Submit> {
    let mut tasks = Vec::new();
    for (subject, count) in rack
        .bus
        .subjects(stream::TASK, filter::SUBMITS)
        .await
        .unwrap()
    {
        assert!(count >= 1);
        let stored = rack
            .bus
            .last_on(stream::TASK, &subject)
            .await
            .unwrap()
            .unwrap();
        tasks.push(Submit::parse(&stored.body).unwrap());
    }
    tasks
}

async fn count_sent(rack: &Rack) -> u64 {
    rack.bus
        .subjects(stream::TASK, filter::SUBMITS)
        .await
        .unwrap()
        .values()
        .sum()
}

#[tokio::test]
async fn a_tick_becomes_one_cycle_with_a_submit_for_every_machine() {
    let world = World::start().await;
    let rack = world.rack("r1", 3).await;
    let mut letter = Letter::tick(&rack.name);
    letter.task = Tick::parse(br#"{"rack": "r1", "by": "ada", "reason": "new firmware"}"#).unwrap();
    assert_eq!(rack.deliver_tick(&letter).await, Ok(1));
    let record = rack.record(letter.cycle()).await.unwrap();
    let (by, reason) = (Some("ada".into()), Some("new firmware".into()));
    assert_eq!(record.origin, Origin::Manual { by, reason });
    assert_eq!(sent(&rack).await, submits(&record));

    // Run a second time, it is the same cycle with the same decisions, whatever became of the machines.
    rack.lab.remove_machine("r1-m02").unwrap();
    assert_eq!(rack.deliver_tick(&letter.again()).await, Ok(2));
    assert_eq!(rack.record(record.cycle).await.unwrap(), record);
    for what in ["started", "planned"] {
        assert_eq!(
            rack.events(record.cycle, "cycle", what).await.len(),
            1,
            "{what}"
        );
    }
    for task in submits(&record) {
        rack.deliver_submit(&Letter::submit(&task)).await.unwrap();
        rack.follow(&task).await;
    }
    rack.ended(record.cycle).await;
}

/// The broker has forgotten the ids of the first batch.
#[tokio::test]
async fn copies_of_submits_after_the_window_submit_nothing_twice() {
    let world = World::start().await;
    let rack = world.rack("r1", 3).await;
    let letter = Letter::tick(&rack.name);
    rack.deliver_tick(&letter).await.unwrap();
    let mut deliveries = 1;
    testkit::until(Duration::from_secs(10), "the window is over", async || {
        deliveries += 1;
        rack.deliver_tick(&letter.clone().again()).await.unwrap();
        count_sent(&rack).await >= 6
    })
    .await;
    let record = rack.record(letter.cycle()).await.unwrap();
    let copies: Vec<Submit> = submits(&record)
        .into_iter()
        .flat_map(|task| [task.clone(), task])
        .collect();
    each(&rack, copies, async |rack, task| {
        rack.deliver_submit(&Letter::submit(&task)).await.unwrap();
    })
    .await;
    for task in submits(&record) {
        rack.follow(&task).await;
        rack.deliver_submit(&Letter::submit(&task)).await.unwrap();
    }
    rack.ended(record.cycle).await;
    assert_eq!(rack.lab.stats().jobs_submitted, 3);
}

#[tokio::test]
async fn inside_the_window_a_repeated_batch_is_no_failure() {
    let world = World::with_window(Duration::from_secs(3600)).await;
    let rack = world.rack("r1", 3).await;
    let letter = Letter::tick(&rack.name);
    assert_eq!(rack.deliver_tick(&letter).await, Ok(1));
    assert_eq!(rack.deliver_tick(&letter.clone().again()).await, Ok(2));
    assert_eq!(count_sent(&rack).await, 3);
    assert_eq!(rack.told(letter.cycle()).await.len(), 2);
}

#[tokio::test]
async fn submits_are_held_back_over_the_spread() {
    let world = World::start().await;
    let mut rack = world.rack_as("r1", 4, |_| {}).await;
    rack.settings.policy.spread = Duration::from_secs(3600);
    let record = rack.cycle().await;
    let decided = planned(&record);
    assert_eq!(
        decided.deploy_by.duration_since(decided.at),
        SignedDuration::from_mins(90)
    );
    let waits: Vec<i64> = decided
        .deploy
        .values()
        .map(|due| due.duration_since(decided.at).as_mins())
        .collect();
    assert_eq!(waits, [0, 15, 30, 45]);
    let held = rack
        .bus
        .subjects(stream::TASK, filter::WAITING_SUBMITS)
        .await
        .unwrap();
    let expected: BTreeSet<String> = submits(&record)[1..]
        .iter()
        .map(|task| Subject::WaitSubmit(task.job).to_string())
        .collect();
    assert_eq!(held.into_keys().collect::<BTreeSet<_>>(), expected);
    assert_eq!(sent(&rack).await, submits(&record)[..1]);

    let mut letter = Letter::tick(&rack.name);
    letter.task.spread = Some(Duration::ZERO);
    letter.delivery.sequence = 2;
    rack.deliver_tick(&letter).await.unwrap();
    assert_eq!(count_sent(&rack).await, 5);
}

#[tokio::test]
async fn a_slot_is_the_same_cycle_however_it_comes() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    // The slot of this very minute, once a day.
    let slot = Timestamp::from_second(Timestamp::now().as_second() / 60 * 60).unwrap();
    let cron = slot.strftime("%M %H * * *").to_string();
    let schedule = Schedule::Cron {
        cron,
        time_zone: "UTC".into(),
        splay: None,
    };
    rack.add(&RackRecord {
        schedule,
        ..six_hourly()
    })
    .await;
    let letter = slot_tick(&rack, slot);
    assert_eq!(letter.cycle(), CycleId::of_slot(&rack.name, slot));
    rack.deliver_tick(&letter).await.unwrap();
    let mut other = slot_tick(&rack, slot);
    other.delivery.sequence = 77;
    rack.deliver_tick(&other).await.unwrap();
    let record = rack.record(letter.cycle()).await.unwrap();
    assert_eq!(record.origin, Origin::Slot { slot });
    assert_eq!(sent(&rack).await, submits(&record));
    assert_eq!(rack.events(record.cycle, "cycle", "planned").await.len(), 1);
}

#[tokio::test]
async fn a_slot_that_may_not_run_is_a_missed_one() {
    let paused = RackRecord {
        paused: pause(),
        ..six_hourly()
    };
    let cases = [
        ("removed", None, last_slot(), MissedCause::Removed),
        ("paused", Some(paused), last_slot(), MissedCause::Paused),
        (
            "rescheduled",
            Some(six_hourly()),
            last_slot() - SignedDuration::from_mins(7),
            MissedCause::Rescheduled,
        ),
        (
            "late",
            Some(six_hourly()),
            last_slot() - SignedDuration::from_hours(12),
            MissedCause::Late,
        ),
    ];
    let world = World::start().await;
    for (name, record, slot, cause) in cases {
        let rack = world.rack(name, 2).await;
        if let Some(record) = record {
            rack.add(&record).await;
        }
        let letter = slot_tick(&rack, slot);
        assert_eq!(rack.deliver_tick(&letter).await, Ok(1));
        // Told twice, it is one event.
        assert_eq!(rack.deliver_tick(&letter.clone().again()).await, Ok(2));
        let record = rack.ended(letter.cycle()).await;
        assert_eq!(record.fate, Fate::Missed { cause });
        let told: Vec<Fact> = rack
            .told(record.cycle)
            .await
            .into_iter()
            .map(|told| told.event.fact)
            .collect();
        let missed =
            |fact: &Fact| matches!(fact, Fact::TickMissed { cause: told, .. } if *told == cause);
        assert!(told.iter().all(missed), "{told:?}");
        assert_eq!(rack.lab.stats().requests.len(), 0, "nothing was asked");
    }
}

/// Its worker died after T3 and nobody was there until the catch-up window was over.
#[tokio::test]
async fn a_slot_that_is_too_old_by_now_goes_on_from_its_record() {
    let world = World::start().await;
    let rack = world.rack("r1", 2).await;
    rack.add(&six_hourly()).await;
    let slot = last_slot() - SignedDuration::from_hours(12);
    let letter = slot_tick(&rack, slot);
    let other = rack.cycle().await;
    rack.bus.purge(stream::TASK, ">").await.unwrap();
    let stored = model::cycle::CycleRecord {
        cycle: letter.cycle(),
        origin: Origin::Slot { slot },
        ..other.clone()
    };
    let key = model::subject::key::cycle(&rack.name, stored.cycle);
    rack.ledger().cycles().create(&key, &stored).await.unwrap();
    rack.deliver_tick(&letter.again()).await.unwrap();
    assert_eq!(sent(&rack).await, submits(&stored));
    for task in submits(&stored) {
        rack.deliver_submit(&Letter::submit(&task).again())
            .await
            .unwrap();
        rack.follow(&task).await;
    }
    rack.ended(stored.cycle).await;
}

/// And after some of its jobs are over.
#[tokio::test]
async fn a_tick_delivered_again_after_the_end_changes_nothing() {
    let world = World::start().await;
    let rack = world.rack("r1", 2).await;
    let letter = Letter::tick(&rack.name);
    rack.deliver_tick(&letter).await.unwrap();
    let record = rack.record(letter.cycle()).await.unwrap();
    for task in submits(&record) {
        rack.run(&task).await;
        rack.follow(&task).await;
        rack.deliver_tick(&letter.clone().again()).await.unwrap();
    }
    let ended = rack.ended(record.cycle).await;
    rack.bus.purge(stream::TASK, ">").await.unwrap();
    let told = rack.told(record.cycle).await.len();
    rack.deliver_tick(&letter.again()).await.unwrap();
    assert_eq!(rack.ended(record.cycle).await, ended);
    assert_eq!(
        (count_sent(&rack).await, rack.told(record.cycle).await.len()),
        (0, told)
    );
}

#[tokio::test]
async fn a_manual_tick_of_a_paused_rack_skips_every_machine_and_ends_at_once() {
    let world = World::start().await;
    let rack = world.rack("r1", 3).await;
    rack.add(&RackRecord {
        paused: pause(),
        ..six_hourly()
    })
    .await;
    let record = rack.cycle().await;
    let record = rack.ended(record.cycle).await;
    let skips: Vec<SkipReason> = planned(&record)
        .skip
        .values()
        .map(|skip| skip.reason)
        .collect();
    assert_eq!(skips, [SkipReason::RackPaused; 3]);
    assert_eq!(count_sent(&rack).await, 0);
    let finished = rack.events(record.cycle, "cycle", "finished").await;
    let Fact::CycleFinished { counts, .. } = &finished[0].fact else {
        panic!()
    };
    assert_eq!(counts.reasons[&SkipReason::RackPaused], 3);
}

#[tokio::test]
async fn a_machine_with_a_job_is_in_flight() {
    let world = World::start().await;
    let rack = world.rack("r1", 2).await;
    let first = rack.cycle().await;
    let [task, other] = &submits(&first)[..] else {
        panic!()
    };
    rack.run(task).await;
    let second = rack.cycle().await;
    let skip = &planned(&second).skip[&task.machine];
    assert_eq!(
        (skip.reason, skip.detail.as_deref()),
        (SkipReason::InFlight, Some(&*task.job.to_string()))
    );
    assert!(planned(&second).deploy.contains_key(&other.machine));
}

#[tokio::test]
async fn a_tick_that_came_long_ago_is_not_run() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let mut letter = Letter::tick(&rack.name);
    letter.delivery.stored_at = ago(2 * HOUR);
    rack.deliver_tick(&letter).await.unwrap();
    assert_eq!(
        rack.ended(letter.cycle()).await.fate,
        Fate::Missed {
            cause: MissedCause::Late
        }
    );

    // So old that the record which would show that it ran may be gone.
    letter.delivery.stored_at = ago(31 * 24 * HOUR);
    let why = rack.deliver_tick(&letter).await.unwrap_err();
    assert!(why.contains("744 hours old"), "{why}");
    assert!(rack.record(letter.cycle()).await.is_none());
}

#[tokio::test]
async fn a_tick_from_another_racks_slot_is_rejected() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let subject = Subject::Slot {
        rack: RackName::new("r2").unwrap(),
        slot: last_slot(),
    };
    for scheduler in [subject, Subject::Tick] {
        let letter = Letter::tick(&rack.name).scheduled_by(scheduler.clone());
        let why = rack.deliver_tick(&letter).await.unwrap_err();
        assert!(
            why.contains(&format!("{scheduler} does not schedule ticks of rack r1")),
            "{why}"
        );
    }
    assert_eq!(rack.lab.stats().requests.len(), 0);
}

#[tokio::test]
async fn a_rack_that_was_never_added_is_run_only_where_that_is_allowed() {
    let world = World::start().await;
    let mut rack = world.rack_as("r1", 1, |_| {}).await;
    rack.settings.adhoc_racks = false;
    let letter = Letter::tick(&rack.name);
    let why = rack.deliver_tick(&letter).await.unwrap_err();
    assert!(
        why.contains("r1 was never added") && why.contains("racktick rack add r1"),
        "{why}"
    );
    assert!(rack.record(letter.cycle()).await.is_none());
    rack.add(&six_hourly()).await;
    rack.deliver_tick(&letter).await.unwrap();
    assert_eq!(
        planned(&rack.record(letter.cycle()).await.unwrap())
            .deploy
            .len(),
        1
    );
}

/// A rack whose machines all have their oddness: skips in the record, in the events, and in the counts.
#[tokio::test]
async fn every_skip_is_told_before_the_cycle_ends() {
    let world = World::start().await;
    let rack = world
        .rack_as("r1", 0, |lab| {
            (lab.racks, lab.machines, lab.odd) = (1, 10, 10)
        })
        .await;
    let rack = Arc::new(rack);
    let record = rack.cycle().await;
    let record = rack.ended(record.cycle).await;
    let reasons: BTreeSet<SkipReason> = planned(&record)
        .skip
        .values()
        .map(|skip| skip.reason)
        .collect();
    assert!(reasons.len() >= 8, "{reasons:?}");
    let told = rack.events(record.cycle, "machine", "skipped").await;
    let told: BTreeSet<_> = told
        .iter()
        .filter_map(|event| event.fact.machine())
        .collect();
    assert_eq!(told, planned(&record).skip.keys().collect());
    let counts = record.counts();
    assert_eq!(counts.outcomes.get(Outcome::Passed.word()), None);
    assert_eq!(counts.reasons.values().sum::<usize>(), 10);
}
