//! What is denied is said by name, and soon: well before a request that got no answer would be given up.

use std::time::Duration;

use bus::access::Role;
use bus::topology::{Retention, Topology, ensure, setup};
use bus::{Act, Bus, BusError, Connect, Outgoing, Start};
use jiff::Timestamp;
use model::rack::RackRecord;
use model::subject::{Subject, bucket, filter, stream};
use testkit::Broker;
use tokio::time::timeout;

/// Far above what an answer takes on a busy machine, below the time after which a request counts as unanswered.
const SOON: Duration = Duration::from_secs(8);

async fn broker() -> Broker {
    let broker = Broker::start_with_roles().await;
    let admin = broker.bus_as(Role::Admin).await;
    setup(&admin, &Topology::declared(Retention::default()))
        .await
        .unwrap();
    broker
}

/// The subject that was denied, and the error's text.
async fn denied<T>(work: impl Future<Output = Result<T, BusError>>) -> (Act, String, String) {
    let error = match timeout(SOON, work).await.expect("it is said soon") {
        Ok(_) => panic!("it was permitted"),
        Err(error) => error,
    };
    let text = error.to_string();
    match error {
        BusError::Denied { act, subject, .. } => (act, subject, text),
        other => panic!("{other}"),
    }
}

fn tick() -> Outgoing {
    Outgoing::new(Subject::Tick, "r1")
}

fn slot() -> Outgoing {
    let rack = "r1".parse().unwrap();
    let slot = Timestamp::now();
    Outgoing::new(Subject::Slot { rack, slot }, "r1").at(slot, Subject::Tick)
}

#[tokio::test]
async fn a_denied_publish_is_named_at_once_whatever_way_it_went() {
    let broker = broker().await;
    let worker = broker.bus_as(Role::Worker).await;
    let (act, subject, text) = denied(worker.publish(tick())).await;
    assert_eq!((act, subject.as_str()), (Act::Publish, "rack.tick"));
    assert_eq!(
        text,
        "publishing on rack.tick: the NATS server does not let this user publish on `rack.tick`; use the key of a \
         role that may"
    );
    assert_eq!(
        denied(worker.publish(tick().with_id("x"))).await.1,
        "rack.tick"
    );
    let (_, subject, _) = denied(worker.publish(slot())).await;
    assert!(subject.starts_with("rack.schedule.r1."), "{subject}");

    // In a batch, the one in the middle is found.
    let event = |what: &str| Subject::Event {
        about: "cycle".into(),
        rack: "r1".parse().unwrap(),
        machine: None,
        what: what.into(),
    };
    let batch = vec![
        Outgoing::new(event("one"), "1"),
        tick(),
        Outgoing::new(event("two"), "2"),
    ];
    assert_eq!(denied(worker.publish_batch(batch)).await.1, "rack.tick");

    let observer = broker.bus_as(Role::Observer).await;
    // Its inbox is denied, too, of which the server speaks once.
    for _ in 0..2 {
        let (act, subject, _) = denied(observer.publish(tick())).await;
        assert_eq!((act, subject.as_str()), (Act::Publish, "rack.tick"));
    }
}

#[tokio::test]
async fn a_denied_read_or_change_of_a_stream_is_named_at_once() {
    let broker = broker().await;
    let worker = broker.bus_as(Role::Worker).await;
    let read = worker.read(stream::DLQ, filter::DEAD, Start::All);
    let (_, subject, text) = denied(read).await;
    assert!(
        subject.starts_with("$JS.API.CONSUMER.CREATE.DLQ."),
        "{subject}"
    );
    assert!(text.starts_with("reading dlq.> of DLQ: "), "{text}");
    let dashboard = broker.bus_as(Role::Dashboard).await;
    let (_, subject, _) = denied(dashboard.purge(stream::RACK, ">")).await;
    assert_eq!(subject, "$JS.API.STREAM.PURGE.RACK");
    let racks = dashboard.bucket::<RackRecord>(bucket::RACKS);
    let (_, subject, _) = denied(racks.delete("r1", None)).await;
    assert_eq!(subject, "$KV.racks.r1");
}

#[tokio::test]
async fn a_role_that_would_have_to_create_a_stream_says_so_and_the_admin_can() {
    let broker = Broker::start_with_roles().await;
    let declared = Topology::declared(Retention::default());
    let worker = broker.bus_as(Role::Worker).await;
    // It is not the key that is wrong.
    let error = ensure(&worker, &declared).await.unwrap_err();
    assert!(matches!(error, BusError::Missing { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("stream ") && text.contains("racktick setup"),
        "{text}"
    );
    setup(&broker.bus_as(Role::Admin).await, &declared)
        .await
        .unwrap();
    assert_eq!(ensure(&worker, &declared).await.unwrap(), []);
}

#[tokio::test]
async fn a_key_without_its_inboxes_is_told_about_them() {
    let broker = broker().await;
    let connect = Connect {
        inbox_prefix: None,
        ..broker.connect_as(Role::Worker)
    };
    let bus = Bus::connect(&connect).await.unwrap();
    for _ in 0..2 {
        let (act, subject, text) = denied(bus.subjects(stream::TASK, ">")).await;
        assert_eq!(act, Act::Subscribe);
        assert!(subject.starts_with("_INBOX."), "{subject}");
        assert!(text.contains("NATS_INBOX_PREFIX"), "{text}");
    }
}

#[tokio::test]
async fn without_a_key_a_tick_is_stored_and_everything_else_asks_for_one() {
    let broker = broker().await;
    let nobody = broker.connect().await;
    nobody.publish(tick()).await.unwrap();
    let (_, subject, text) = denied(nobody.subjects(stream::RACK, ">")).await;
    assert_eq!(subject, "$JS.API.STREAM.INFO.RACK");
    assert!(text.contains("set NATS_NKEY"), "{text}");
    let admin = broker.bus_as(Role::Admin).await;
    let stored = admin.subjects(stream::RACK, ">").await.unwrap();
    assert_eq!(Vec::from_iter(stored), [("rack.tick".to_owned(), 1)]);
}
