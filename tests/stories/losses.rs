//! Everything that waits is gone, by a mistake or a bad restore, while the records are still there.

use model::subject::stream;
use testkit::until;
use tests::{SOON, System, machines};

#[tokio::test]
async fn after_all_waiting_messages_were_purged_the_schedulers_bring_the_cycle_to_its_end() {
    let system = System::start(&["--racks", "1", "--machines", "6", "--speed", "300"]).await;
    system.add_spread_rack("r1").await;
    let schedulers = [
        system.spawn("s1", &["scheduler"]),
        system.spawn("s2", &["scheduler"]),
    ];
    let armed = async || {
        let shown = system.json(&["rack", "show", "r1"]).await;
        shown["armed"].as_array().unwrap().len()
    };
    until(SOON, "the slots are armed", async || armed().await == 4).await;
    let mut worker = system.worker("w1");
    system.tick(b"r1").await;
    system.until_submitted(2).await;
    worker.kill_9().await;
    let lost = system.bus.purge(stream::TASK, ">").await.unwrap();
    assert!(lost >= 4, "{lost}");
    assert_eq!(
        system
            .bus
            .purge(stream::RACK, "rack.schedule.>")
            .await
            .unwrap(),
        4
    );
    assert!(system.lab.stats().await.jobs_submitted < 6);

    let _heir = system.worker("w2");
    let cycle = system.until_finished(1, SOON).await;
    system
        .assert_one_job_each(&[cycle], &machines("r1", 6))
        .await;
    until(SOON, "the slots are armed again", async || {
        armed().await == 4
    })
    .await;
    assert_eq!(system.dead_letters().await, []);
    system.until_quiet().await;
    let logs: String = schedulers.iter().map(tests::Process::log).collect();
    assert!(logs.contains("bringing it back"), "{logs}");
}
