//! Slots: which cycle one means, and whether it is run.

use jiff::{SignedDuration, Timestamp};
use model::cycle::{CycleRecord, Fate, MissedCause, Origin};
use model::event::Fact;
use model::id::CycleId;
use model::name::RackName;
use model::rack::RackRecord;
use model::schedule::Schedule;
use model::subject::{Subject, key, stream};
use model::task::Resume;

use crate::world::{Letter, World, ago, last_slot, paused, six_hourly, submits};

const HOUR: i64 = 3600;

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
    let letter = rack.slot_tick(slot);
    assert_eq!(letter.cycle(), CycleId::of_slot(&rack.name, slot));
    rack.deliver_tick(&letter).await.unwrap();
    let mut other = rack.slot_tick(slot);
    other.delivery.sequence = 77;
    rack.deliver_tick(&other).await.unwrap();
    let record = rack.record(letter.cycle()).await.unwrap();
    assert_eq!(record.origin, Origin::Slot { slot });
    assert_eq!(rack.sent().await, submits(&record));
    assert_eq!(rack.events(record.cycle, "cycle", "planned").await.len(), 1);
}

#[tokio::test]
async fn a_slot_that_may_not_run_is_a_missed_one() {
    let cases = [
        ("removed", None, last_slot(), MissedCause::Removed),
        ("paused", Some(paused()), last_slot(), MissedCause::Paused),
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
        let letter = rack.slot_tick(slot);
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
    let letter = rack.slot_tick(slot);
    let other = rack.cycle().await;
    rack.bus.purge(stream::TASK, ">").await.unwrap();
    let stored = CycleRecord {
        cycle: letter.cycle(),
        origin: Origin::Slot { slot },
        ..other.clone()
    };
    let key = key::cycle(&rack.name, stored.cycle);
    rack.ledger().cycles().create(&key, &stored).await.unwrap();
    rack.deliver_tick(&letter.again()).await.unwrap();
    assert_eq!(rack.sent().await, submits(&stored));
    for task in submits(&stored) {
        rack.deliver_submit(&Letter::submit(&task).again())
            .await
            .unwrap();
        rack.follow(&task).await;
    }
    rack.ended(stored.cycle).await;
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
async fn a_tick_that_says_what_it_cannot_know_is_rejected() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    rack.add(&six_hourly()).await;
    let now = Timestamp::now();
    let coming = last_slot() + SignedDuration::from_hours(6);
    let cycle = CycleId::of_slot(&rack.name, coming);
    let resume = |cycle, slot| Resume {
        cycle,
        origin: Origin::Slot { slot },
        ticked_at: now,
        attempt: 1,
        place: None,
    };
    let mut letters = Vec::new();
    for resume in [
        resume(cycle, coming),
        resume(cycle, last_slot()),
        resume(CycleId::of_slot(&rack.name, last_slot()), coming),
    ] {
        let mut letter = Letter::tick(&rack.name);
        letter.task.resume = Some(resume);
        letters.push(letter);
    }
    // As above, as a person's.
    for cycle in [cycle, CycleId::of_slot(&rack.name, last_slot())] {
        let mut letter = Letter::tick(&rack.name);
        letter.task.resume = Some(Resume {
            origin: Origin::Manual {
                by: None,
                reason: None,
            },
            ..resume(cycle, coming)
        });
        letters.push(letter);
    }
    // A slot whose tick the broker stored before it was due.
    let mut early = rack.slot_tick(last_slot());
    early.delivery.stored_at = last_slot() - SignedDuration::from_secs(60);
    letters.push(early);
    // A slot that is let out before its time.
    letters.push(rack.slot_tick(coming));
    // A retry of another cycle than the one on whose subject it waited.
    let mut letter = Letter::tick(&rack.name);
    letter.task.resume = Some(resume(
        CycleId::of_slot(&rack.name, last_slot()),
        last_slot(),
    ));
    letters.push(letter.scheduled_by(Subject::Retry {
        rack: rack.name.clone(),
        cycle,
    }));
    for letter in letters {
        let said = rack.deliver_tick(&letter).await;
        assert!(said.is_err(), "{said:?}");
    }
    assert_eq!(rack.posts(), 0);
    assert!(rack.record(cycle).await.is_none());
}
