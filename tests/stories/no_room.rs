//! The broker has no room left, and then it has again.

use serde_json::{Value, json};
use testkit::{Broker, until};
use tests::{SOON, System, machines};

/// Little more than what dead letters and events may take, which is set aside for them.
const SMALL: &str = "jetstream { max_file_store: 290MB, max_memory_store: 1MB }\n";

async fn api(broker: &Broker, operation: &str, body: &Value) -> Value {
    let answer = broker
        .request(&format!("$JS.API.{operation}"), body.to_string())
        .await;
    serde_json::from_slice(&answer).expect("JetStream answers in JSON")
}

/// Whether the broker stores one more message of what is none of racktick's.
async fn takes_junk(broker: &Broker, size: usize) -> bool {
    let answer = broker.request("junk", vec![b'x'; size]).await;
    let answer: Value = serde_json::from_slice(&answer).expect("an acknowledgement");
    !answer["error"].is_object()
}

/// Fills the broker but for 50 MB, which can be filled while work is under way. Compressed it takes little of the disk,
/// and counts in full.
async fn fill_most(broker: &Broker) {
    let stream =
        json!({"name": "JUNK", "subjects": ["junk"], "storage": "file", "compression": "s2"});
    let made = api(broker, "STREAM.CREATE.JUNK", &stream).await;
    assert!(made["error"].is_null(), "{made}");
    for _ in 0..250 {
        assert!(takes_junk(broker, 1_000_000).await, "there is more room");
    }
}

/// Fills what is left until the broker takes no more.
async fn fill(broker: &Broker) {
    for size in [1_000_000, 10_000, 100] {
        while takes_junk(broker, size).await {}
    }
}

#[tokio::test]
async fn work_stops_with_a_word_and_goes_on_when_there_is_room_again() {
    let broker = Broker::start_with(SMALL).await;
    let lab = ["--racks", "1", "--machines", "6", "--speed", "300"];
    let system = System::start_on(broker, &lab).await;
    fill_most(&system.broker).await;
    system.add_spread_rack("r1").await;
    let scheduler = system.scheduler();
    let _workers = [system.worker("w1"), system.worker("w2")];
    system.tick(b"r1").await;
    system.until_submitted(1).await;
    fill(&system.broker).await;
    until(SOON, "it is said what is wrong", async || {
        scheduler.log().contains("no room left")
    })
    .await;
    let gone = api(&system.broker, "STREAM.DELETE.JUNK", &json!({})).await;
    assert_eq!(gone["success"], true, "{gone}");

    let cycle = system.until_finished(1, SOON).await;
    until(SOON, "it is said that it is over", async || {
        let log = scheduler.log();
        log.contains("has room again") && log.contains("the broker does not let out what is due")
    })
    .await;
    system
        .assert_one_job_each(&[cycle], &machines("r1", 6))
        .await;
    assert_eq!(system.dead_letters().await, []);
    system.until_quiet().await;
}
