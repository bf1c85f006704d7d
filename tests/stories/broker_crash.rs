//! The broker dies in the middle of a cycle.

use testkit::until;
use tests::{SOON, System, machines};

#[tokio::test]
async fn a_cycle_goes_on_after_the_broker_was_killed() {
    let mut system = System::start(&["--racks", "1", "--machines", "8", "--speed", "300"]).await;
    let scheduler = system.scheduler();
    let workers = [system.worker("w1"), system.worker("w2")];
    // An hour of spread takes 12 seconds here, so some submits are out and some are held back.
    let policy = ["--policy", "submit_window=20h", "--policy", "catch_up=20h"];
    let add = ["rack", "add", "r1", "--every", "6h", "--first", "slot"];
    system.run(&[&add[..], &policy].concat()).await;
    system.tick(b"r1").await;
    until(SOON, "a few jobs are submitted", async || {
        system.lab.stats().await.jobs_submitted >= 2
    })
    .await;
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
