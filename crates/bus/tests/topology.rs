#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Streams, consumers and buckets on a real server.

use std::time::Duration;

use bus::topology::{Retention, Topology, ensure, setup};
use bus::{BusError, Outgoing};
use model::name::RackName;
use model::subject::Subject;
use serde_json::json;
use testkit::Broker;

fn declared() -> Topology {
    Topology::declared(Retention::default())
}

fn with(change: impl FnOnce(&mut Topology)) -> Topology {
    let mut topology = declared();
    change(&mut topology);
    topology
}

fn reasons(error: BusError) -> Vec<String> {
    match error {
        BusError::Topology(reasons) => reasons,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_is_set_up_is_as_declared() {
    let broker = Broker::start().await;
    let bus = broker.connect().await;
    let report = setup(&bus, &declared()).await.unwrap();
    assert_eq!(report.changes.len(), 10, "{report}");
    assert_eq!(
        declared().compare(&declared().found(&bus).await.unwrap()),
        []
    );
    assert_eq!(setup(&bus, &declared()).await.unwrap().changes, [""; 0]);
    assert_eq!(ensure(&bus, &declared()).await.unwrap(), []);
}
