//! Ticks: one cycle with frozen decisions, and what leaves for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use lab::{Fault, FaultKind};
use model::cycle::Origin;
use model::event::Fact;
use model::outcome::{Outcome, SkipReason};
use model::subject::{Subject, filter, stream};
use model::task::{Submit, Task, Tick};

use crate::world::{Letter, World, each, paused, planned, six_hourly, submits};

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
    assert_eq!(rack.sent().await, submits(&record));

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

/// The first delivery reads a rack that shrank meanwhile, and finds the decisions of the second one there.
#[tokio::test]
async fn a_tick_overtaken_by_its_redelivery_drops_its_own_plan() {
    const MACHINES: &str = "GET /MAAS/api/2.0/machines/";
    let world = World::start().await;
    let rack = world.rack("r1", 3).await;
    rack.lab.inject(Fault {
        delay_ms: 1000,
        ..Fault::new(MACHINES, FaultKind::Latency)
    });
    let letter = Letter::tick(&rack.name);
    let slow = rack.deliver_tick(&letter);
    let fast = async {
        let asked = async || rack.requests(MACHINES) > 0;
        testkit::until(Duration::from_secs(10), "the first has asked", asked).await;
        rack.deliver_tick(&letter.clone().again()).await.unwrap();
        rack.lab.remove_machine("r1-m02").unwrap();
        rack.record(letter.cycle()).await.unwrap()
    };
    let (slow, record) = tokio::join!(slow, fast);
    slow.unwrap();
    assert_eq!(planned(&record).deploy.len(), 3);
    assert_eq!(rack.record(record.cycle).await.unwrap(), record);
    for task in submits(&record) {
        rack.run(&task).await;
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
        rack.count_sent().await >= 6
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
    assert_eq!(rack.count_sent().await, 3);
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
    assert_eq!(rack.sent().await, submits(&record)[..1]);

    let mut letter = Letter::tick(&rack.name);
    letter.task.spread = Some(Duration::ZERO);
    letter.delivery.sequence = 2;
    rack.deliver_tick(&letter).await.unwrap();
    assert_eq!(rack.count_sent().await, 5);
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
        (rack.count_sent().await, rack.told(record.cycle).await.len()),
        (0, told)
    );
}

#[tokio::test]
async fn a_manual_tick_of_a_paused_rack_skips_every_machine_and_ends_at_once() {
    let world = World::start().await;
    let rack = world.rack("r1", 3).await;
    rack.add(&paused()).await;
    let record = rack.cycle().await;
    let record = rack.ended(record.cycle).await;
    let skips: Vec<SkipReason> = planned(&record)
        .skip
        .values()
        .map(|skip| skip.reason)
        .collect();
    assert_eq!(skips, [SkipReason::RackPaused; 3]);
    assert_eq!(rack.count_sent().await, 0);
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
