//! What the sweep brings back.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{Start, dead};
use jiff::Timestamp;
use ledger::{outgoing, submit_task};
use model::cycle::Origin;
use model::id::CycleId;
use model::machine::{CancelCause, CancelRequest};
use model::name::RackName;
use model::subject::{Subject, stream};
use model::task::{Resume, Submit, Task, Tick, Watch};
use serde_json::json;
use testkit::until;
use tokio::time::Instant;

use crate::records::{complete, cycle, job, planned, planned_mut, running, submitting};
use crate::sent::{SETTLE, submit_subject, watch_subject};
use crate::slots::{every, name_with_slot};
use crate::stage::{SOON, Stage, ago, ahead, machine};

#[tokio::test]
async fn a_lost_look_comes_back_after_two_passes() {
    let stage = Stage::set().await;
    let record = cycle(ago(60), &["m1", "m2"]);
    stage.write_cycle(&record).await;
    for name in ["m1", "m2"] {
        stage.write_machine(name, &running(&record, name)).await;
        stage.hold_look(&record, name).await;
    }
    let began = Instant::now();
    let scheduler = stage.scheduler(SETTLE).await;
    let lost = Subject::WaitWatch(job(&record, "m1")).to_string();
    assert_eq!(stage.bus.purge(stream::TASK, &lost).await.unwrap(), 1);

    let look = stage.message_on(stream::TASK, &watch_subject("m1")).await;
    assert!(began.elapsed() >= 2 * SETTLE, "{:?}", began.elapsed());
    let task = Watch::parse(&look.body).unwrap();
    assert_eq!((task.job, task.look), (job(&record, "m1"), 0));
    let trace = record.cycle.traceparent();
    assert_eq!(look.header("traceparent"), Some(trace.as_str()));
    // The other job has its look still, the one it had.
    let kept = Subject::WaitWatch(job(&record, "m2")).to_string();
    let kept = stage.bus.last_on(stream::TASK, &kept).await.unwrap();
    assert!(kept.unwrap().sequence <= 2);
    let other = watch_subject("m2").to_string();
    assert_eq!(stage.bus.last_on(stream::TASK, &other).await.unwrap(), None);
    scheduler.stop().await;
}

/// Whoever wrote the cancel died before arming the look that reads it.
#[tokio::test]
async fn a_look_that_does_not_know_of_its_cancel_comes_at_once_and_one_that_does_in_its_time() {
    let stage = Stage::set().await;
    let record = cycle(ago(60), &["m1", "m2", "m3"]);
    stage.write_cycle(&record).await;
    let look = |name: &str| submit_task(&record, planned(&record), &machine(name)).first_look();
    for name in ["m1", "m2", "m3"] {
        let mut machine = running(&record, name);
        if name != "m3" {
            let request = CancelRequest {
                cause: CancelCause::Asked,
                by: "ann".into(),
                why: String::new(),
                at: Timestamp::now(),
            };
            machine.ask_to_cancel(job(&record, name), request).unwrap();
        }
        stage.write_machine(name, &machine).await;
    }
    // Has seen the job let go once, and will have to see it twice.
    let knows = Watch {
        look: 4,
        let_go: 1,
        ..look("m1")
    };
    stage.ledger.arm_look(&knows, ahead(600)).await.unwrap();
    stage.hold_look(&record, "m3").await;
    let held = async |name: &str| {
        let subject = Subject::WaitWatch(job(&record, name)).to_string();
        let stored = stage.bus.last_on(stream::TASK, &subject).await.unwrap();
        stored.map(|stored| stored.sequence)
    };
    let before = (held("m1").await, held("m3").await);
    let scheduler = stage.scheduler(SETTLE).await;
    // Twice, so that a whole pass lies between.
    for number in [7, 8] {
        let unaware = Watch {
            look: number,
            deadline: Some(ahead(600)),
            ..look("m2")
        };
        stage
            .ledger
            .arm_next_look(&unaware, ahead(600))
            .await
            .unwrap();
        let came = stage.message_on(stream::TASK, &watch_subject("m2")).await;
        let task = Watch::parse(&came.body).unwrap();
        assert_eq!((task.look, task.deadline), (number, None));
        let handled = watch_subject("m2").to_string();
        stage.bus.purge(stream::TASK, &handled).await.unwrap();
    }
    assert_eq!((held("m1").await, held("m3").await), before);
    scheduler.stop().await;
}

#[tokio::test]
async fn a_lost_submit_comes_back_under_its_own_id_and_slower_each_time() {
    let stage = Stage::set().await;
    let record = cycle(ago(60), &["m1", "m2"]);
    stage.write_cycle(&record).await;
    // One is lost with a claim that nobody freed, the other before it was ever taken.
    stage.write_machine("m1", &submitting(&record, "m1")).await;
    for name in ["m1", "m2"] {
        stage.send_submit(&record, name).await;
    }
    stage
        .bus
        .purge(stream::TASK, "task.submit.>")
        .await
        .unwrap();
    let claim = stage.ledger.machine(&machine("m1")).await.unwrap().revision;

    let scheduler = stage.scheduler(SETTLE).await;
    let mut came = Vec::new();
    for _ in 0..4 {
        let message = stage.message_on(stream::TASK, &submit_subject("m1")).await;
        came.push(Instant::now());
        let id = message.header("Nats-Msg-Id").unwrap();
        assert!(
            id.starts_with(&format!("{}.sweep.", job(&record, "m1"))),
            "{id}"
        );
        let traceparent = record.cycle.traceparent();
        assert_eq!(message.header("traceparent"), Some(traceparent.as_str()));
        let expected = Submit {
            swept: true,
            ..submit_task(&record, planned(&record), &machine("m1"))
        };
        assert_eq!(Submit::parse(&message.body).unwrap(), expected);
        assert!(
            stage
                .bus
                .delete(stream::TASK, message.sequence)
                .await
                .unwrap()
        );
    }
    let gaps: Vec<Duration> = came.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let slack = Duration::from_millis(500);
    assert!(
        gaps[1] + slack >= 2 * SETTLE && gaps[2] + slack >= 4 * SETTLE,
        "{gaps:?}"
    );
    // What nobody lost again was not sent again, and no claim was touched.
    let all = stage.bus.subjects(stream::TASK, ">").await.unwrap();
    assert_eq!(
        all.get(&submit_subject("m2").to_string()),
        Some(&1),
        "{all:?}"
    );
    assert_eq!(
        stage.ledger.machine(&machine("m1")).await.unwrap().revision,
        claim
    );
    scheduler.stop().await;
}

#[tokio::test]
async fn a_submit_that_is_spread_is_not_brought_back_before_its_time() {
    let stage = Stage::set().await;
    let mut record = cycle(ago(60), &["m1", "m2"]);
    let due = ahead(4);
    planned_mut(&mut record).deploy.insert(machine("m2"), due);
    stage.write_cycle(&record).await;
    let scheduler = stage.scheduler(SETTLE).await;
    stage.message_on(stream::TASK, &submit_subject("m1")).await;
    let late = stage.message_on(stream::TASK, &submit_subject("m2")).await;
    assert!(late.time >= due + SETTLE, "{} {due}", late.time);
    scheduler.stop().await;
}

#[tokio::test]
async fn a_message_that_no_worker_survived_is_buried_and_its_work_brought_back() {
    let stage = Stage::set().await;
    let record = cycle(ago(60), &["m1"]);
    stage.write_cycle(&record).await;
    stage.send_submit(&record, "m1").await;
    let stuck = stage.message_on(stream::TASK, &submit_subject("m1")).await;
    let advisory = json!({
        "stream": "TASK",
        "consumer": "submit",
        "stream_seq": stuck.sequence,
        "deliveries": 20,
        "timestamp": Timestamp::now(),
    });
    let subject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.TASK.submit";
    stage
        .publish_raw(subject, advisory.to_string().as_bytes())
        .await;

    let scheduler = stage.scheduler(SETTLE).await;
    until(SOON, "the work comes back in a new message", async || {
        let subject = submit_subject("m1").to_string();
        let message = stage.bus.last_on(stream::TASK, &subject).await.unwrap();
        message.is_some_and(|message| message.sequence > stuck.sequence)
    })
    .await;
    assert_eq!(
        stage
            .bus
            .message(stream::TASK, stuck.sequence)
            .await
            .unwrap(),
        None
    );
    let letters = dead::list(&stage.bus).await.unwrap();
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = &letters[0].letter;
    assert_eq!((letter.sequence, letter.attempts), (stuck.sequence, 20));
    scheduler.stop().await;
}

#[tokio::test]
async fn a_complete_cycle_that_was_never_closed_is_told_and_closed_once() {
    let stage = Stage::set().await;
    let record = complete(cycle(ago(60), &["m1"]));
    stage.write_cycle(&record).await;
    let all_skipped = cycle(ago(90), &[]);
    stage.write_cycle(&all_skipped).await;
    let both = (stage.scheduler(SETTLE).await, stage.scheduler(SETTLE).await);
    for record in [&record, &all_skipped] {
        until(SOON, "the cycle is closed", async || {
            stage.is_closed(&record.rack, record.cycle).await
        })
        .await;
    }
    stage.until_swept(1).await;
    let told = stage.bus.subjects(stream::EVENTS, ">").await.unwrap();
    let expected = [
        "event.cycle.r1.finished",
        "event.cycle.r1.planned",
        "event.machine.r1.spare.skipped",
    ];
    assert_eq!(
        told,
        BTreeMap::from(expected.map(|subject| (subject.to_owned(), 3))),
        "one for each of the two, and one for the mark"
    );
    // A tick that is delivered late finds its cycle closed and tells nothing, so its decisions come first.
    let place = async |id: String| {
        let events = stage.bus.read(stream::EVENTS, ">", Start::All).await;
        let events = events.unwrap().to_end().await.unwrap();
        events
            .iter()
            .position(|event| event.header("Nats-Msg-Id") == Some(&id))
    };
    for cycle in [record.cycle, all_skipped.cycle] {
        let skipped = place(format!("{cycle}.spare.skipped")).await.unwrap();
        let finished = place(format!("{cycle}.finished")).await.unwrap();
        assert!(skipped < finished, "{cycle}");
    }
    both.0.stop().await;
    both.1.stop().await;
}

#[tokio::test]
async fn only_a_slot_that_may_still_run_and_never_ticked_is_armed_again() {
    let stage = Stage::set().await;
    let schedule = every(24);
    let now = Timestamp::now();
    let found = |prefix| name_with_slot(prefix, &schedule, now, -900..-600);
    let add = async |name: &RackName, since| {
        stage.add_rack(name.as_str(), schedule.clone(), since).await;
    };
    // Sorted as the sweep goes through them: the lost one comes last.
    let (new, _) = found("a");
    add(&new, ago(300)).await;
    let (retrying, slot) = found("b");
    add(&retrying, ago(200_000)).await;
    stage.hold_retry(&retrying, slot).await;
    let (ran, slot) = found("c");
    add(&ran, ago(200_000)).await;
    let mut record = cycle(slot, &[]);
    record.closed = true;
    record.rack = ran.clone();
    record.cycle = CycleId::of_slot(&ran, slot);
    stage.write_cycle(&record).await;
    let (too_old, _) = name_with_slot("d", &schedule, now, -4200..-3900);
    add(&too_old, ago(200_000)).await;
    let (lost, slot) = found("z");
    add(&lost, ago(200_000)).await;

    let scheduler = stage.scheduler(SETTLE).await;
    let expected = Subject::Slot {
        rack: lost.clone(),
        slot,
    }
    .to_string();
    for _ in 0..2 {
        // It is due, so it fires at once; lost again, it comes again.
        let tick = stage.message_on(stream::RACK, &Subject::Tick).await;
        assert_eq!(tick.header("Nats-Scheduler"), Some(expected.as_str()));
        let ticks = stage.bus.subjects(stream::RACK, "rack.tick").await.unwrap();
        assert_eq!(ticks["rack.tick"], 1);
        assert!(stage.bus.delete(stream::RACK, tick.sequence).await.unwrap());
    }
    scheduler.stop().await;
}

/// All ticks share one subject, and anybody may put one there.
#[tokio::test]
async fn a_waiting_tick_keeps_no_other_slot_from_being_armed_again() {
    let stage = Stage::set().await;
    let schedule = every(24);
    let now = Timestamp::now();
    // The sweep goes through them in this order.
    let (waits, slot_of_waits) = name_with_slot("a", &schedule, now, -900..-600);
    let (lost, slot_of_lost) = name_with_slot("z", &schedule, now, -900..-600);
    for rack in [&waits, &lost] {
        stage
            .add_rack(rack.as_str(), schedule.clone(), ago(200_000))
            .await;
    }
    stage
        .bus
        .publish(bus::Outgoing::new(Subject::Tick, "anybody"))
        .await
        .unwrap();
    let slot = |rack: &RackName, slot| Subject::Slot {
        rack: rack.clone(),
        slot,
    };
    let due = bus::Outgoing::new(slot(&waits, slot_of_waits), waits.to_string())
        .at(slot_of_waits, Subject::Tick);
    stage.bus.publish(due).await.unwrap();
    let ticks = async || {
        let stored = stage.bus.subjects(stream::RACK, "rack.tick").await.unwrap();
        stored.get("rack.tick").copied().unwrap_or_default()
    };
    until(SOON, "the slot's tick waits", async || ticks().await == 2).await;

    let scheduler = stage.scheduler(SETTLE).await;
    until(SOON, "the lost slot ticks", async || ticks().await == 3).await;
    let tick = stage.message_on(stream::RACK, &Subject::Tick).await;
    assert_eq!(tick.scheduler(), Some(slot(&lost, slot_of_lost)));
    scheduler.stop().await;
}

impl Stage {
    async fn hold_retry(&self, rack: &RackName, slot: Timestamp) {
        let cycle = CycleId::of_slot(rack, slot);
        let tick = Tick {
            resume: Some(Resume {
                cycle,
                origin: Origin::Slot { slot },
                ticked_at: slot,
                attempt: 2,
                place: None,
            }),
            ..Tick::of(rack.clone())
        };
        let wait = Subject::Retry {
            rack: rack.clone(),
            cycle,
        };
        self.bus
            .publish(outgoing(wait, &tick).at(ahead(600), Subject::Tick))
            .await
            .unwrap();
    }
}
