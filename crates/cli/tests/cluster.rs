//! Setting up and looking at three brokers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use std::time::Duration;

use program::Place;
use serde_json::Value;
use testkit::{Broker, Cluster, until};

const SOON: Duration = Duration::from_secs(60);

/// What the doctor says of one thing, with its health before it.
fn said(place: &Place, what: &str) -> Vec<String> {
    let ended = place.run(&["doctor", "--output", "json"]);
    let checks: Value = serde_json::from_str(&ended.stdout).unwrap();
    let checks = checks.as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    checks
        .filter(|check| check["what"] == what)
        .map(|check| format!("{}: {}", text(&check["health"]), text(&check["says"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_how_three_brokers_keep_everything() {
    let mut cluster = Cluster::start().await;
    let alone = Place::new()
        .env("NATS_URL", cluster.urls())
        .env("NATS_MONITORING", cluster.monitoring());
    alone.run(&["setup"]).with_code(0);
    let risks = said(&alone, "replicas");
    assert!(
        risks.len() == 1 && risks[0].starts_with("look: every stream is kept on one server of a"),
        "{risks:?}"
    );
    let syncs = said(&alone, "sync");
    assert!(
        syncs.len() == 3
            && syncs
                .iter()
                .all(|sync| sync.contains("writes to its disk every 2m")),
        "{syncs:?}"
    );

    // What is kept once is gone with its server, and the doctor says so instead of waiting for it.
    let only = cluster.leader("TASK").await;
    cluster.kill_9(only).await;
    until(SOON, "the doctor names what does not answer", async || {
        let silent = said(&alone, "streams");
        let says = |means: &str, item: &str| {
            let is =
                |says: &&String| says.starts_with("wrong: no answer from") && says.contains(means);
            silent
                .iter()
                .find(is)
                .is_some_and(|says| says.contains(item))
        };
        let tasks = "nobody gets their tasks, which wait";
        says("nothing of them can be read or stored", "stream TASK")
            && says(tasks, "consumer submit of TASK")
            && says(tasks, "consumer watch of TASK")
    })
    .await;
    cluster.restart(only).await;
    cluster.until_healthy().await;

    let place = alone
        .env("RACKTICK_REPLICAS", "3")
        .env("NATS_MONITORING", cluster.monitoring());
    let differences = said(&place, "streams");
    assert!(
        differences.len() == 8 && differences[0].contains("num_replicas (is 1, declared 3)"),
        "{differences:?}"
    );
    // For a moment the others still think that the server is not back.
    until(SOON, "setup raises the replicas", async || {
        let raised = place.run(&["setup"]);
        let changed = "stream TASK: num_replicas changed from 1 to 3";
        raised.code == 0 && raised.stdout.contains(changed)
    })
    .await;
    until(SOON, "the doctor sees all in step", async || {
        let replicas = said(&place, "replicas");
        replicas.len() == 1
            && replicas[0].starts_with("ok: every stream and consumer is kept 3 times; n")
    })
    .await;

    // Everything has a leader again, whoever led it.
    cluster.kill_9(2).await;
    until(SOON, "the doctor misses a server", async || {
        let replicas = said(&place, "replicas");
        let miss = "so 2 of 3 servers keep everything, and the loss of another one stops work";
        replicas
            .iter()
            .any(|says| says.starts_with("look: n3 is") && says.contains(miss))
            && said(&place, "streams") == ["ok: streams, consumers and buckets are as declared"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_broker_is_too_few_for_three_replicas() {
    let broker = Broker::start().await;
    let place = Place::new()
        .env("NATS_URL", broker.url())
        .env("RACKTICK_REPLICAS", "3");
    let ended = place.run(&["setup"]).with_code(1);
    assert!(
        ended.stderr.contains("too few NATS servers") && ended.stderr.contains("RACKTICK_REPLICAS"),
        "{ended:?}"
    );
}
