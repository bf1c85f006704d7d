//! The broker dies in the middle of a cycle.

use testkit::until;
use tests::{SOON, System, machines};

#[tokio::test]
async fn a_cycle_goes_on_after_the_broker_was_killed() {
    let mut system = System::start(&["--racks", "1", "--machines", "8", "--speed", "300"]).await;
    let scheduler = system.scheduler();
    let workers = [system.worker("w1"), system.worker("w2")];
    system.add_spread_rack("r1").await;
    system.tick(b"r1").await;
    system.until_submitted(2).await;
    system.broker.kill_9().await;
    let before = system.lab.stats().await.jobs_submitted;
    assert!(before < 8, "all of them were out already");
    system.broker.restart().await;

    let cycle = system.until_finished(1, SOON).await;
    system
        .assert_one_job_each(&[cycle], &machines("r1", 8))
        .await;
    assert_eq!(system.dead_letters().await, []);
    system.until_quiet().await;
    until(SOON, "the slots are armed still", async || {
        let shown = system.json(&["rack", "show", "r1"]).await;
        shown["armed"].as_array().unwrap().len() == 4
    })
    .await;
    drop((scheduler, workers));
}
