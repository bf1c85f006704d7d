//! The one race that only Testflinger could close: a worker stops, and what it sent arrives later than anything sent
//! may, after another worker has submitted the job.

use std::time::Duration;

use model::event::Fact;
use testkit::{LateLine, until};
use tests::{SOON, System};

/// The messages of a worker that stopped come again after the broker's ack_wait of 10 s; then the settle time passes.
const LIMIT: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_worker_stopped_for_longer_than_the_settle_time_is_found_out() {
    let mut system = System::start(&["--racks", "1", "--machines", "1", "--speed", "300"]).await;
    system.add_rack("r1").await;
    let lab = system.lab.url().to_owned();
    let address = lab.trim_start_matches("http://").parse().unwrap();
    let line = LateLine::until_released(address).await;
    system.set("TESTFLINGER_SERVER", &line.url());
    let stopped = system.worker("stopped");
    system.tick(b"r1").await;
    until(SOON, "the worker submits", async || line.held() == 1).await;
    // Nothing of it goes on, and what it sent is still on its way.
    stopped.stop().await;
    system.set("TESTFLINGER_SERVER", &lab);
    let _heir = system.worker("heir");
    until(LIMIT, "the heir submits", async || {
        system.lab.stats().await.jobs_submitted == 1
    })
    .await;
    line.release();
    until(SOON, "both have arrived", async || {
        system.lab.stats().await.jobs_with_same_id == 1
    })
    .await;
    stopped.go_on().await;
    let cycle = system.until_finished(1, LIMIT).await;
    system.until_quiet().await;
    let events = system.events().await;
    let mut told: Vec<String> = events
        .iter()
        .filter(|event| matches!(event.fact, Fact::JobDoubled { .. }))
        .map(|event| event.id())
        .collect();
    told.dedup();
    assert_eq!(told.len(), 1);
    let verdicts = system.cycle("r1", cycle).await.outcomes;
    assert!(verdicts.values().all(|outcome| outcome.is_verdict()));
    let jobs = system.lab.jobs().await;
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|job| !job.live), "{jobs:?}");
    assert_eq!(system.dead_letters().await, []);
}
