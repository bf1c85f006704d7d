//! Ticks while MAAS or Testflinger cannot be read, or say what cannot be true: nothing is decided, and the cause has a
//! name.

use std::time::Duration;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lab::{Fault, FaultKind};
use model::cycle::{CycleRecord, Fate};
use model::event::{Event, Fact};
use model::id::CycleId;
use model::rack::{RackRecord, Sizes};
use model::subject::{Subject, filter, stream};
use model::task::{Task, Tick};
use tokio::task::JoinSet;

use crate::world::{Letter, Rack, World, ago, last_slot, planned, six_hourly};

const MACHINES: &str = "GET /MAAS/api/2.0/machines/";
const WHOAMI: &str = "GET /MAAS/api/2.0/users/?op=whoami";
const AGENTS: &str = "GET /v1/agents/data";

fn status(target: &str, status: u16) -> Fault {
    Fault {
        status: Some(status),
        ..Fault::new(target, FaultKind::Status)
    }
}

fn for_ever(fault: Fault) -> Fault {
    Fault { count: 0, ..fault }
}

/// A rack that had so many machines and agents when it ticked last.
fn grown(count: usize) -> RackRecord {
    let good_sizes = Some(Sizes {
        machines: count,
        agents: count,
    });
    RackRecord {
        good_sizes,
        ..six_hourly()
    }
}

impl Rack {
    /// The attempt of a tick that waits for its time.
    pub(crate) async fn waiting_retry(&self, cycle: CycleId) -> Option<Letter<Tick>> {
        let subject = Subject::Retry {
            rack: self.name.clone(),
            cycle,
        };
        let stored = self
            .bus
            .last_on(stream::RACK, &subject.to_string())
            .await
            .unwrap()?;
        let task = Tick::parse(&stored.body).unwrap();
        Some(Letter::new(task, &Subject::Tick).scheduled_by(subject))
    }

    /// Delivers a tick whose attempt has to fail, and returns what was told of it and the attempt that waits.
    pub(crate) async fn put_off(&self, letter: &Letter<Tick>) -> (Event, Letter<Tick>) {
        assert_eq!(self.deliver_tick(letter).await, Ok(1));
        assert_eq!(
            self.record(letter.cycle()).await,
            None,
            "something was decided"
        );
        let told = self.events(letter.cycle(), "cycle", "retrying").await;
        let retry = self
            .waiting_retry(letter.cycle())
            .await
            .expect("an attempt waits");
        (told.last().expect("it was told").clone(), retry)
    }

    pub(crate) async fn submits_sent(&self) -> usize {
        let sent = self.bus.subjects(stream::TASK, "task.>").await.unwrap();
        sent.keys()
            .filter(|subject| subject.contains(&format!(".{}.", self.name)))
            .count()
    }

    /// Delivers a tick and returns its cycle's record.
    pub(crate) async fn decided(&self, letter: &Letter<Tick>) -> CycleRecord {
        self.deliver_tick(letter).await.unwrap();
        self.record(letter.cycle())
            .await
            .expect("something was decided")
    }
}

fn cause(event: &Event) -> &str {
    match &event.fact {
        Fact::CycleRetrying { cause, .. } => cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whatever_cannot_be_read_is_read_again_later_by_the_same_cycle() {
    let kinds = [
        (FaultKind::Hang, "timeout"),
        (FaultKind::HangAfter, "timeout"),
        (FaultKind::ResetBefore, "cut"),
        (FaultKind::ResetAfter, "cut"),
        (FaultKind::Truncate, "cut"),
        (FaultKind::Malformed, "malformed"),
        (FaultKind::Null, "malformed"),
        (FaultKind::Html, "html"),
        (FaultKind::Endless, "too_large"),
    ];
    let codes = [
        (401, "auth"),
        (403, "forbidden"),
        (429, "throttled"),
        (500, "status"),
        (503, "status"),
    ];
    let world = World::start().await;
    let mut cases = JoinSet::new();
    for (t, target) in [MACHINES, WHOAMI, AGENTS].into_iter().enumerate() {
        let broken = kinds.map(|(kind, word)| (Fault::new(target, kind), word));
        let refused = codes.map(|(code, word)| (status(target, code), word));
        for (n, (fault, word)) in broken.into_iter().chain(refused).enumerate() {
            let rack = world.rack(&format!("r{t}-{n}"), 2).await;
            cases.spawn(async move { is_read_again(&rack, fault, word).await });
        }
    }
    cases.join_all().await;
}

async fn is_read_again(rack: &Arc<Rack>, fault: Fault, word: &str) {
    rack.lab.inject(fault.clone());
    let letter = Letter::tick(&rack.name);
    let (told, retry) = rack.put_off(&letter).await;
    assert_eq!(cause(&told), word, "{fault:?}: {:?}", told.fact);
    assert_eq!(rack.submits_sent().await, 0);
    assert_eq!(retry.task.resume.as_ref().unwrap().attempt, 2);
    let record = rack.decided(&retry).await;
    assert_eq!(record.cycle, letter.cycle());
    assert_eq!(planned(&record).deploy.len(), 2, "{fault:?}");
    assert_eq!(rack.submits_sent().await, 2);
    assert_eq!(rack.events(record.cycle, "cycle", "started").await.len(), 1);
}

#[tokio::test]
async fn a_retry_comes_later_each_time_and_as_late_as_the_server_asks() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    rack.lab.inject(for_ever(status(MACHINES, 503)));
    let mut letter = Letter::tick(&rack.name);
    let mut waits = Vec::new();
    for _ in 0..3 {
        let before = Timestamp::now();
        let (told, retry) = rack.put_off(&letter).await;
        let Fact::CycleRetrying { next_at, .. } = told.fact else {
            panic!()
        };
        waits.push(next_at.duration_since(before).as_secs());
        letter = retry;
    }
    assert_eq!(waits, [30, 60, 120]);
    rack.lab.clear_faults();
    rack.lab.inject(Fault {
        retry_after: Some(400),
        ..status(MACHINES, 503)
    });
    let before = Timestamp::now();
    let (told, _) = rack.put_off(&letter).await;
    let Fact::CycleRetrying { next_at, .. } = told.fact else {
        panic!()
    };
    assert_eq!(next_at.duration_since(before).as_secs(), 400);
}

/// A redelivery after the worker died with the retry armed: still one attempt waits.
#[tokio::test]
async fn a_tick_that_fails_twice_over_waits_once() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    rack.lab.inject(for_ever(status(AGENTS, 500)));
    let letter = Letter::tick(&rack.name);
    rack.put_off(&letter).await;
    rack.deliver_tick(&letter.clone().again()).await.unwrap();
    let waiting = rack
        .bus
        .subjects(stream::RACK, &filter::retries_of(&rack.name))
        .await
        .unwrap();
    assert_eq!(waiting.values().sum::<u64>(), 1);
    assert_eq!(
        rack.events(letter.cycle(), "cycle", "retrying").await.len(),
        1
    );
}

#[tokio::test]
async fn a_cycle_fails_once_when_its_time_to_retry_is_over() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    rack.lab
        .inject(for_ever(Fault::new(MACHINES, FaultKind::Html)));
    let (_, mut retry) = rack.put_off(&Letter::tick(&rack.name)).await;
    // A manual tick is tried for an hour.
    let resume = retry.task.resume.as_mut().unwrap();
    resume.ticked_at -= SignedDuration::from_mins(60);
    assert_eq!(rack.deliver_tick(&retry).await, Ok(1));
    rack.lab.clear_faults();
    assert_eq!(rack.deliver_tick(&retry.clone().again()).await, Ok(2));
    let record = rack.ended(retry.cycle()).await;
    let Fate::Failed {
        cause, attempts, ..
    } = &record.fate
    else {
        panic!("{:?}", record.fate)
    };
    assert_eq!((cause.as_str(), *attempts), ("html", 2));
    let failed = rack.events(record.cycle, "cycle", "failed").await;
    assert!(matches!(&failed[0].fact, Fact::CycleFailed { cause, .. } if cause == "html"));
    assert_eq!(rack.submits_sent().await, 0);
}

/// A slot is tried for half its period, and then it is a failed cycle, not a missed one.
#[tokio::test]
async fn an_attempt_of_a_slot_is_not_late() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    rack.add(&six_hourly()).await;
    let slot = last_slot();
    let mut letter = Letter::tick(&rack.name);
    letter.task.resume = Some(model::task::Resume {
        cycle: CycleId::of_slot(&rack.name, slot),
        origin: model::cycle::Origin::Slot { slot },
        ticked_at: ago(2 * 3600),
        attempt: 9,
        place: None,
    });
    let record = rack.decided(&letter).await;
    assert_eq!(planned(&record).deploy.len(), 1);
}

/// All workers were gone for so long that nobody may act on the tick any more.
#[tokio::test]
async fn an_attempt_that_waited_past_its_window_fails_and_submits_nothing() {
    let world = World::start().await;
    for (name, is_slot) in [("slot", true), ("manual", false)] {
        let rack = world.rack(name, 1).await;
        rack.add(&six_hourly()).await;
        let mut letter = Letter::tick(&rack.name);
        let (cycle, origin) = if is_slot {
            let slot = last_slot();
            (
                CycleId::of_slot(&rack.name, slot),
                model::cycle::Origin::Slot { slot },
            )
        } else {
            let nonce = uuid::Uuid::new_v4();
            letter.task.nonce = Some(nonce);
            let origin = model::cycle::Origin::Manual {
                by: None,
                reason: None,
            };
            (CycleId::of_request(&rack.name, nonce), origin)
        };
        letter.task.resume = Some(model::task::Resume {
            cycle,
            origin,
            ticked_at: ago(10 * 3600),
            attempt: 2,
            place: None,
        });
        rack.deliver_tick(&letter).await.unwrap();
        let record = rack.record(cycle).await.unwrap();
        assert!(
            matches!(&record.fate, model::cycle::Fate::Failed { cause, .. } if cause == "late"),
            "{:?}",
            record.fate
        );
        assert!(record.closed);
        assert_eq!(rack.submits_sent().await, 0);
    }
}

/// Testflinger forgets jobs after seven days, and with them the proof that a job was submitted.
#[tokio::test]
async fn a_spread_of_weeks_is_refused() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let mut letter = Letter::tick(&rack.name);
    letter.task.spread = Some(Duration::from_secs(8000 * 3600));
    let refused = rack.deliver_tick(&letter).await.unwrap_err();
    assert!(refused.contains("spread"), "{refused}");
}

#[tokio::test]
async fn a_list_that_is_suddenly_empty_is_an_outage() {
    let world = World::start().await;
    for (name, target) in [("maas", MACHINES), ("testflinger", AGENTS)] {
        let rack = world.rack(name, 8).await;
        rack.add(&grown(8)).await;
        rack.lab.inject(Fault::new(target, FaultKind::EmptyList));
        let (told, retry) = rack.put_off(&Letter::tick(&rack.name)).await;
        assert_eq!(cause(&told), "implausible_shrink");
        assert_eq!(rack.submits_sent().await, 0);
        let record = rack.decided(&retry).await;
        assert_eq!(planned(&record).deploy.len(), 8);
    }
}

#[tokio::test]
async fn a_shrink_is_believed_by_another_cycle_or_when_somebody_accepts_it() {
    let world = World::start().await;
    for (name, accepted) in [("seen-twice", false), ("accepted", true)] {
        let rack = world.rack(name, 3).await;
        rack.add(&grown(20)).await;
        let first = Letter::tick(&rack.name);
        let (told, retry) = rack.put_off(&first).await;
        assert_eq!(cause(&told), "implausible_shrink");
        // Another attempt of the same cycle is no confirmation.
        let (told, _) = rack.put_off(&retry).await;
        assert_eq!(cause(&told), "implausible_shrink");
        let mut letter = Letter::tick(&rack.name);
        letter.delivery.sequence = 2;
        if accepted {
            // At once, on a rack that nobody has doubted.
            rack.ledger()
                .change_rack(&rack.name, |record| record.doubted = None)
                .await
                .unwrap();
            letter.task.accept_shrink = true;
        }
        let record = rack.decided(&letter).await;
        assert_eq!(planned(&record).deploy.len(), 3);
        let known = rack.ledger().rack(&rack.name).await.unwrap().unwrap();
        assert_eq!(
            (known.good_sizes, known.doubted),
            (
                Some(Sizes {
                    machines: 3,
                    agents: 3
                }),
                None
            )
        );
    }
}

/// A tag without machines is legal.
#[tokio::test]
async fn a_rack_without_machines_is_an_empty_cycle() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    rack.add(&six_hourly()).await;
    rack.lab.remove_machine("r1-m01").unwrap();
    let record = rack.cycle().await;
    let record = rack.ended(record.cycle).await;
    assert!(planned(&record).deploy.is_empty() && planned(&record).skip.is_empty());
}

#[tokio::test]
async fn a_tag_that_maas_does_not_know_fails_at_once_unless_somebody_added_the_rack() {
    let world = World::start().await;
    for (name, added) in [("typo", false), ("added", true)] {
        let rack = world.rack(name, 0).await;
        let letter = Letter::tick(&rack.name);
        if added {
            rack.add(&six_hourly()).await;
            let (told, _) = rack.put_off(&letter).await;
            assert_eq!(cause(&told), "unknown_tag");
            continue;
        }
        rack.deliver_tick(&letter).await.unwrap();
        let record = rack.ended(letter.cycle()).await;
        let Fate::Failed {
            cause,
            message,
            attempts,
            ..
        } = &record.fate
        else {
            panic!()
        };
        assert_eq!((cause.as_str(), *attempts), ("unknown_tag", 1));
        assert!(message.contains("typo"), "{message}");
        assert!(rack.waiting_retry(record.cycle).await.is_none());
    }
}
