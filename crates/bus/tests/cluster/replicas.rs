//! From one replica to three and what stands in the way.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use broker::NODES;
use bus::topology::{Difference, Report, Retention, Topology, ensure, setup};
use bus::{BusError, Outgoing, Written};
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::subject::{Subject, filter};
use serde_json::{Value, json};
use testkit::{Broker, Cluster, until};

use crate::load::{Counter, event};

const SOON: Duration = Duration::from_secs(60);

fn on(replicas: Option<u8>) -> Topology {
    Topology::declared(Retention::default()).with_replicas(replicas)
}

/// How many of a stream's or a consumer's replicas are in step, as its leader says.
async fn in_step(url: &str, operation: &str) -> usize {
    let client = async_nats::connect(url).await.unwrap();
    let answer = client
        .request(format!("$JS.API.{operation}"), "".into())
        .await;
    let Ok(answer) = answer else { return 0 };
    let info: Value = serde_json::from_slice(&answer.payload).unwrap();
    let replicas = info["cluster"]["replicas"].as_array();
    let current = |peer: &&Value| peer["current"] == json!(true);
    1 + replicas.map_or(0, |peers| peers.iter().filter(current).count())
}

#[tokio::test]
async fn one_server_cannot_keep_three_and_says_what_to_do() {
    let broker = Broker::start().await;
    let bus = broker.connect().await;
    for result in [
        setup(&bus, &on(Some(3))).await.map(|_| ()),
        ensure(&bus, &on(Some(3))).await.map(|_| ()),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, BusError::TooFewServers { .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.starts_with("creating stream DLQ: there are too few NATS servers")
                && text.contains("RACKTICK_REPLICAS"),
            "{text}"
        );
    }
    // What is there stays, and stays usable.
    setup(&bus, &on(None)).await.unwrap();
    let text = setup(&bus, &on(Some(3))).await.unwrap_err().to_string();
    assert!(
        text.starts_with("changing stream DLQ: there are too few"),
        "{text}"
    );
    assert_eq!(setup(&bus, &on(Some(1))).await.unwrap(), Report::default());
}

#[tokio::test]
async fn what_was_kept_once_is_kept_three_times_and_nothing_of_it_is_lost() {
    let cluster = Cluster::start().await;
    let bus = cluster.connect().await;
    setup(&bus, &on(None)).await.unwrap();
    let racks = bus.bucket::<Counter>("racks");
    let counter = Counter::of(7);
    let Written::Done(revision) = racks.create("r1", &counter).await.unwrap() else {
        panic!("nobody else writes");
    };
    bus.publish(Outgoing::new(Subject::Tick, "r1"))
        .await
        .unwrap();
    for number in 0..50 {
        bus.publish(event(number)).await.unwrap();
    }

    // A role reports what differs and changes nothing.
    let differences = ensure(&bus, &on(Some(3))).await.unwrap();
    assert_eq!(differences.len(), 8, "{differences:?}");
    assert!(
        differences
            .iter()
            .all(|difference| difference.danger().is_none())
    );
    let Difference::Field { field, now, .. } = &differences[0] else {
        panic!("{differences:?}");
    };
    assert_eq!((field.as_str(), now), ("num_replicas", &json!(1)));
    assert_eq!(in_step(&cluster.url(0), "STREAM.INFO.EVENTS").await, 1);

    setup(&bus, &on(Some(3))).await.unwrap();
    let url = cluster.url(0);
    for what in [
        "STREAM.INFO.EVENTS",
        "STREAM.INFO.KV_racks",
        "CONSUMER.INFO.RACK.tick",
        "CONSUMER.INFO.TASK.watch",
    ] {
        until(SOON, what, async || in_step(&url, what).await == 3).await;
    }
    let stored = bus.subjects("EVENTS", "event.>").await.unwrap();
    assert_eq!(stored.values().sum::<u64>(), 50);
    assert_eq!(bus.subjects("RACK", "rack.tick").await.unwrap().len(), 1);
    let entry = racks.get("r1").await.unwrap().unwrap();
    assert_eq!((entry.value, entry.revision), (counter, revision));

    // Nobody who says nothing of replicas complains or takes any away.
    assert_eq!(ensure(&bus, &on(None)).await.unwrap(), []);
    assert_eq!(setup(&bus, &on(None)).await.unwrap(), Report::default());
    assert_eq!(ensure(&bus, &on(Some(3))).await.unwrap(), []);
}

#[tokio::test]
async fn what_a_single_server_held_is_taken_to_a_cluster_by_backup_and_restore() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let racks = bus.bucket::<Counter>("racks");
    racks.create("r1", &Counter::of(7)).await.unwrap();
    for number in 0..50 {
        bus.publish(event(number)).await.unwrap();
    }
    // One comes out while nobody is there, and one much later.
    let now = Timestamp::now();
    let due = now + SignedDuration::from_secs(3);
    bus.publish(waiting("m1", due)).await.unwrap();
    let later = now + SignedDuration::from_hours(1);
    bus.publish(waiting("m2", later)).await.unwrap();
    let mut backups = Vec::new();
    for stream in on(None).streams.keys() {
        backups.push((stream.clone(), back_up(&broker.url(), stream).await));
    }
    drop((bus, broker));

    let mut cluster = Cluster::start().await;
    for (stream, backup) in &backups {
        restore(&cluster.url(0), stream, backup).await;
    }
    let bus = cluster.bus().await;
    // 2.15.1 lets out what became due before the restore only after it started anew; 2.14.6 does so at once.
    for node in 0..NODES {
        cluster.stop(node).await;
        cluster.restart(node).await;
        cluster.until_healthy().await;
    }
    let entry = bus.bucket::<Counter>("racks").get("r1").await.unwrap();
    assert_eq!(entry.unwrap().value, Counter::of(7));
    let events = bus.subjects("EVENTS", "event.>").await.unwrap();
    assert_eq!(events.values().sum::<u64>(), 50);
    until(SOON, "what became due comes out", async || {
        bus.subjects("TASK", "task.watch.>").await.unwrap().len() == 1
    })
    .await;
    let waits = bus.subjects("TASK", filter::WAITING_LOOKS).await.unwrap();
    assert_eq!(waits.len(), 1, "{waits:?}");
}

/// A look that is held back until a time.
fn waiting(machine: &str, time: Timestamp) -> Outgoing {
    let (rack, machine) = (
        RackName::new("r1").unwrap(),
        MachineName::new(machine).unwrap(),
    );
    let job = JobId::of(CycleId::of_slot(&rack, Timestamp::UNIX_EPOCH), &machine);
    Outgoing::new(Subject::WaitWatch(job), "{}").at(time, Subject::Watch { rack, machine })
}

/// What the server says of the stream, and its pieces: the NATS CLI's `stream backup` writes the same to files.
type Backup = (Value, Vec<bytes::Bytes>);

async fn back_up(url: &str, stream: &str) -> Backup {
    let client = async_nats::connect(url).await.unwrap();
    let inbox = client.new_inbox();
    let mut pieces = client.subscribe(inbox.clone()).await.unwrap();
    let request = json!({"deliver_subject": inbox, "no_consumers": false, "chunk_size": 65536});
    let subject = format!("$JS.API.STREAM.SNAPSHOT.{stream}");
    let answer = client.request(subject, request.to_string().into()).await;
    let head: Value = serde_json::from_slice(&answer.unwrap().payload).unwrap();
    assert_eq!(head["error"], Value::Null, "{head}");
    let mut backup = Vec::new();
    loop {
        let piece = pieces.next().await.unwrap();
        if let Some(reply) = piece.reply {
            client.publish(reply, "".into()).await.unwrap();
        }
        if piece.payload.is_empty() {
            return (head, backup);
        }
        backup.push(piece.payload);
    }
}

async fn restore(url: &str, stream: &str, (head, pieces): &Backup) {
    let client = async_nats::connect(url).await.unwrap();
    let request = json!({"config": head["config"], "state": head["state"]});
    let subject = format!("$JS.API.STREAM.RESTORE.{stream}");
    let answer = client.request(subject, request.to_string().into()).await;
    let begun: Value = serde_json::from_slice(&answer.unwrap().payload).unwrap();
    let to = begun["deliver_subject"].as_str().unwrap().to_owned();
    let mut said = bytes::Bytes::new();
    for piece in pieces.iter().cloned().chain([bytes::Bytes::new()]) {
        // The node that takes them may be known to ours only in a moment.
        until(SOON, "a piece is taken", async || {
            match client.request(to.clone(), piece.clone()).await {
                Ok(answer) => said = answer.payload,
                Err(error) if error.kind() == RequestErrorKind::NoResponders => return false,
                Err(error) => panic!("{error}"),
            }
            true
        })
        .await;
    }
    let end: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(end["error"], Value::Null, "{end}");
}
