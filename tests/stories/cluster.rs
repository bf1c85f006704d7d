//! Three brokers, and the loss of one while a cycle runs.

use model::subject::stream;
use tests::{SOON, System, machines};

#[tokio::test]
async fn cycles_go_on_while_the_leader_of_three_brokers_is_killed() {
    let lab = ["--racks", "1", "--machines", "8", "--speed", "300"];
    let mut system = System::start_on_cluster(&lab).await;
    let scheduler = system.scheduler();
    let workers = [system.worker("w1"), system.worker("w2")];
    system.add_spread_rack("r1").await;
    system.run(&["tick", "r1"]).await;
    system.until_submitted(2).await;
    let leader = system.broker.leader(stream::TASK).await;
    system.broker.kill_9(leader).await;
    let before = system.lab.stats().await.jobs_submitted;
    assert!(before < 8, "all of them were out already");

    // With two of three, everything goes on.
    let first = system.until_finished(1, SOON).await;
    system.broker.restart(leader).await;
    system.until_agents_wait().await;
    system.run(&["tick", "r1"]).await;
    let second = system.until_finished(2, SOON).await;
    system
        .assert_one_job_each(&[first, second], &machines("r1", 8))
        .await;
    assert_eq!(system.dead_letters().await, []);
    system.until_quiet().await;
    drop((scheduler, workers));
}
