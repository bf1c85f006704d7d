//! From one replica to three and what stands in the way.

use std::time::Duration;

use bus::topology::{Difference, Report, Retention, Topology, ensure, setup};
use bus::{BusError, Outgoing, Written};
use model::subject::Subject;
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
    assert_eq!(differences.len(), 7, "{differences:?}");
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
