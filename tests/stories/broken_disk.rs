//! The broker's disk takes nothing more, as one that became read-only, and then it does again.

use testkit::until;
use tests::{SOON, System, machines};

#[tokio::test]
async fn work_stops_with_a_word_and_goes_on_once_the_broker_was_restarted_on_a_mended_disk() {
    let mut system = System::start(&["--racks", "1", "--machines", "6", "--speed", "300"]).await;
    system.add_spread_rack("r1").await;
    let scheduler = system.scheduler();
    let _workers = [system.worker("w1"), system.worker("w2")];
    system.tick(b"r1").await;
    system.until_submitted(1).await;
    system.broker.break_disk(true);
    until(2 * SOON, "it is said what is wrong", async || {
        scheduler.log().contains("has not stored anything for")
    })
    .await;
    let before = system.lab.stats().await.jobs_submitted;
    assert!(before < 6, "all of them were out already");

    // The broker goes on failing after that until it is restarted.
    system.broker.break_disk(false);
    system.broker.kill_9().await;
    system.broker.restart().await;
    let cycle = system.until_finished(1, 2 * SOON).await;
    system
        .assert_one_job_each(&[cycle], &machines("r1", 6))
        .await;
    assert_eq!(system.dead_letters().await, []);
    system.until_quiet().await;
}
