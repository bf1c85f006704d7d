#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Publishing to a real server.

use std::time::Duration;

use bus::{Batch, Bus, BusError, LARGEST_BATCH, Outgoing, Published, Start};
use jiff::{SignedDuration, Timestamp};
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::subject::{Subject, filter, stream};
use testkit::{Broker, until};

const SOON: Duration = Duration::from_secs(10);

fn rack() -> RackName {
    RackName::new("r7").unwrap()
}

fn machine(number: usize) -> MachineName {
    MachineName::new(format!("m{number}")).unwrap()
}

fn job(number: usize) -> JobId {
    JobId::of(
        CycleId::of_slot(&rack(), Timestamp::UNIX_EPOCH),
        &machine(number),
    )
}

fn submit(number: usize) -> Subject {
    Subject::Submit {
        rack: rack(),
        machine: machine(number),
    }
}

fn waiting(number: usize, time: Timestamp) -> Outgoing {
    Outgoing::new(Subject::WaitSubmit(job(number)), "{}")
        .at(time, submit(number))
        .with_id(job(number).to_string())
}

fn in_an_hour() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(1)
}

async fn count(bus: &Bus, filter: &str) -> u64 {
    bus.subjects(stream::TASK, filter)
        .await
        .unwrap()
        .values()
        .sum()
}

#[tokio::test]
async fn a_message_with_a_known_id_is_not_stored_again() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let message = Outgoing::new(Subject::Tick, "r7").with_id("one");
    let Published::Stored(first) = bus.publish(message.clone()).await.unwrap() else {
        panic!("stored")
    };
    assert_eq!(
        bus.publish(message).await.unwrap(),
        Published::Duplicate(first)
    );
    assert_eq!(
        bus.subjects(stream::RACK, ">")
            .await
            .unwrap()
            .values()
            .sum::<u64>(),
        1
    );
}

#[tokio::test]
async fn a_message_held_back_comes_out_when_it_is_due_and_not_before() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let due = Timestamp::now() + SignedDuration::from_millis(1500);
    bus.publish(waiting(1, due)).await.unwrap();
    assert_eq!(count(&bus, filter::SUBMITS).await, 0);
    until(SOON, "the submit comes out", async || {
        count(&bus, filter::SUBMITS).await == 1
    })
    .await;
    let fired = bus
        .last_on(stream::TASK, &submit(1).to_string())
        .await
        .unwrap()
        .unwrap();
    assert!(fired.time >= due, "{} is before {due}", fired.time);
    assert_eq!(
        fired.header("Nats-Scheduler"),
        Some(Subject::WaitSubmit(job(1)).to_string().as_str())
    );
    assert_eq!(count(&bus, filter::WAITING_SUBMITS).await, 0);
}

#[tokio::test]
async fn a_time_that_is_over_means_at_once() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    bus.publish(waiting(1, Timestamp::now() - SignedDuration::from_hours(2)))
        .await
        .unwrap();
    until(SOON, "the submit comes out", async || {
        count(&bus, filter::SUBMITS).await == 1
    })
    .await;
}

#[tokio::test]
async fn what_waits_is_replaced_by_the_next_on_its_subject_and_can_be_purged() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    for body in ["first", "second"] {
        let look = Subject::Watch {
            rack: rack(),
            machine: machine(1),
        };
        bus.publish(Outgoing::new(Subject::WaitWatch(job(1)), body).at(in_an_hour(), look))
            .await
            .unwrap();
    }
    let subject = Subject::WaitWatch(job(1)).to_string();
    let left = bus.last_on(stream::TASK, &subject).await.unwrap().unwrap();
    assert_eq!(
        (&left.body[..], count(&bus, filter::WAITING_LOOKS).await),
        (&b"second"[..], 1)
    );
    assert_eq!(bus.purge(stream::TASK, &subject).await.unwrap(), 1);
    assert_eq!(bus.last_on(stream::TASK, &subject).await.unwrap(), None);
    assert_eq!(
        bus.message(stream::TASK, left.sequence).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn first_only_leaves_what_is_there() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let slot = Subject::Slot {
        rack: rack(),
        slot: "2030-01-01T00:00:00Z".parse().unwrap(),
    };
    let arm = |body: &'static str| {
        Outgoing::new(slot.clone(), body)
            .at(in_an_hour(), Subject::Tick)
            .first_only()
    };
    assert!(matches!(
        bus.publish(arm("one")).await.unwrap(),
        Published::Stored(_)
    ));
    assert_eq!(bus.publish(arm("two")).await.unwrap(), Published::Exists);
    assert_eq!(
        &bus.last_on(stream::RACK, &slot.to_string())
            .await
            .unwrap()
            .unwrap()
            .body[..],
        b"one"
    );
    bus.purge(stream::RACK, &filter::slots_of(&rack()))
        .await
        .unwrap();
    assert!(matches!(
        bus.publish(arm("three")).await.unwrap(),
        Published::Stored(_)
    ));
}

#[tokio::test]
async fn a_batch_is_stored_whole_and_once() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let batch: Vec<Outgoing> = (0..LARGEST_BATCH)
        .map(|number| waiting(number, in_an_hour()))
        .collect();
    assert_eq!(
        bus.publish_batch(batch.clone()).await.unwrap(),
        Batch::Stored
    );
    assert_eq!(count(&bus, filter::WAITING_SUBMITS).await, 1000);
    assert_eq!(
        bus.publish_batch(batch).await.unwrap(),
        Batch::AlreadyStored
    );
    assert_eq!(count(&bus, filter::WAITING_SUBMITS).await, 1000);
}

#[tokio::test]
async fn one_known_id_keeps_the_whole_batch_out() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    bus.publish_batch(vec![waiting(1, in_an_hour())])
        .await
        .unwrap();
    let mixed = vec![waiting(2, in_an_hour()), waiting(1, in_an_hour())];
    assert_eq!(
        bus.publish_batch(mixed).await.unwrap(),
        Batch::AlreadyStored
    );
    assert_eq!(count(&bus, filter::WAITING_SUBMITS).await, 1);
}

#[tokio::test]
async fn messages_of_a_batch_fire_like_any_other() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    bus.publish_batch(
        (0..5)
            .map(|number| waiting(number, Timestamp::now()))
            .collect(),
    )
    .await
    .unwrap();
    until(SOON, "all come out", async || {
        count(&bus, filter::SUBMITS).await == 5
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_stored_is_said_at_once() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let strange = vec![
        waiting(1, in_an_hour()),
        Outgoing::new(Subject::Tick, "r7").with_id("t"),
    ];
    assert!(matches!(
        bus.publish_batch(strange).await,
        Err(BusError::Refused { .. })
    ));
    assert_eq!(count(&bus, ">").await, 0);
    let many = (0..=LARGEST_BATCH)
        .map(|number| waiting(number, in_an_hour()))
        .collect();
    assert!(matches!(
        bus.publish_batch(many).await,
        Err(BusError::TooLarge {
            limit: LARGEST_BATCH,
            ..
        })
    ));
    let huge = Outgoing::new(Subject::Tick, vec![b'x'; 2_000_000]);
    assert!(matches!(
        bus.publish(huge).await,
        Err(BusError::TooLarge {
            size: 2_000_000,
            ..
        })
    ));
    assert_eq!(bus.publish_batch(Vec::new()).await.unwrap(), Batch::Stored);
    // The target of what is held back must be in the same stream.
    let astray = Outgoing::new(Subject::WaitSubmit(job(1)), "{}").at(in_an_hour(), Subject::Tick);
    assert!(matches!(
        bus.publish(astray).await,
        Err(BusError::Refused { code: 10190, .. })
    ));
}

#[tokio::test]
async fn a_stream_that_does_not_exist_is_named() {
    let broker = Broker::start().await;
    let bus = broker.connect().await;
    let error = bus
        .subjects(stream::TASK, ">")
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "counting > of TASK: it does not exist; run `racktick setup`"
    );
    let error = bus
        .publish(Outgoing::new(Subject::Tick, "r7"))
        .await
        .unwrap_err();
    assert!(matches!(error, BusError::Nobody { .. }), "{error}");
}

#[tokio::test]
async fn thousands_of_subjects_are_counted() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    for part in 0..12 {
        let batch = (part * 1000..(part + 1) * 1000)
            .map(|number| waiting(number, in_an_hour()))
            .collect();
        bus.publish_batch(batch).await.unwrap();
    }
    let subjects = bus
        .subjects(stream::TASK, filter::WAITING_SUBMITS)
        .await
        .unwrap();
    assert_eq!(
        (subjects.len(), subjects.values().max()),
        (12_000, Some(&1))
    );
}

#[tokio::test]
async fn a_publish_waits_out_a_broker_that_is_killed() {
    let mut broker = Broker::start().await;
    let bus = broker.bus().await;
    broker.kill_9().await;
    let publishing = tokio::spawn({
        let bus = bus.clone();
        async move {
            bus.publish(Outgoing::new(Subject::Tick, "r7").with_id("one"))
                .await
                .unwrap();
            bus.publish_batch(
                (0..50)
                    .map(|number| waiting(number, in_an_hour()))
                    .collect(),
            )
            .await
            .unwrap()
        }
    });
    broker.restart().await;
    assert_ne!(publishing.await.unwrap(), Batch::AlreadyStored);
    assert_eq!(count(&bus, ">").await, 50);
    assert_eq!(
        bus.subjects(stream::RACK, ">").await.unwrap()["rack.tick"],
        1
    );
}

#[tokio::test]
async fn without_an_id_an_unknown_outcome_is_an_error() {
    let mut broker = Broker::start().await;
    let bus = broker.bus().await;
    broker.kill_9().await;
    let error = bus
        .publish(Outgoing::new(Subject::Tick, "r7"))
        .await
        .unwrap_err();
    assert!(matches!(error, BusError::Unknown { .. }), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn events_are_read_from_any_point_on() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let event = |what: &str| Subject::Event {
        about: "cycle".into(),
        rack: rack(),
        machine: None,
        what: what.into(),
    };
    let mut new = bus
        .read(stream::EVENTS, filter::EVENTS, Start::New)
        .await
        .unwrap();
    for number in 0..1500 {
        bus.publish(Outgoing::new(event("started"), format!("{number}")))
            .await
            .unwrap();
    }
    bus.publish(Outgoing::new(event("finished"), "end"))
        .await
        .unwrap();

    let all = bus
        .read(stream::EVENTS, filter::EVENTS, Start::All)
        .await
        .unwrap();
    assert_eq!(all.pending(), 1501);
    let all = all.to_end().await.unwrap();
    let bodies: Vec<String> = all
        .iter()
        .map(|stored| String::from_utf8_lossy(&stored.body).into_owned())
        .collect();
    let expected: Vec<String> = (0..1500)
        .map(|number| number.to_string())
        .chain(["end".to_owned()])
        .collect();
    assert_eq!(bodies, expected);

    let bodies = async |from: Start, filter: &str| -> usize {
        bus.read(stream::EVENTS, filter, from)
            .await
            .unwrap()
            .to_end()
            .await
            .unwrap()
            .len()
    };
    assert_eq!(
        bodies(Start::AfterSequence(all[999].sequence), filter::EVENTS).await,
        501
    );
    assert_eq!(
        bodies(Start::Since(all[1000].time), filter::EVENTS).await,
        501
    );
    assert_eq!(bodies(Start::All, "event.*.*.finished").await, 1);
    assert_eq!(bodies(Start::All, "event.*.r8.>").await, 0);
    assert_eq!(bodies(Start::LastOfEach, filter::EVENTS).await, 2);
    assert_eq!(&new.next().await.unwrap().body[..], b"0");
}

#[tokio::test]
async fn a_reader_follows_through_a_restart_of_the_broker_without_a_gap() {
    let mut broker = Broker::start().await;
    let bus = broker.bus().await;
    let event = Subject::Event {
        about: "tick".into(),
        rack: rack(),
        machine: None,
        what: "missed".into(),
    };
    let send = async |number: usize| {
        bus.publish(Outgoing::new(event.clone(), number.to_string()).with_id(number.to_string()))
            .await
            .unwrap();
    };
    let mut reader = bus
        .read(stream::EVENTS, filter::EVENTS, Start::New)
        .await
        .unwrap();
    for number in 0..100 {
        if number == 50 {
            broker.kill_9().await;
            broker.restart().await;
        }
        send(number).await;
        if number % 2 == 1 {
            for expected in [number - 1, number] {
                let stored = tokio::time::timeout(SOON, reader.next())
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(String::from_utf8_lossy(&stored.body), expected.to_string());
            }
        }
    }
}
