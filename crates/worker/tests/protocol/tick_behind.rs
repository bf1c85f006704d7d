//! A tick that reads the machines' records from a copy of their bucket that is behind.

use std::time::Duration;

use model::machine::Claim;
use model::subject::key;
use testkit::{Cluster, until};

use crate::world::{World, planned, submits};

/// One tick in three reads the copy that is behind. That none of so many does happens once in three thousand runs.
const OFTEN: usize = 20;

#[tokio::test]
async fn a_machine_is_not_left_alone_for_a_claim_that_is_over() {
    let cluster = Cluster::start_over_lines().await;
    let world = World {
        bus: cluster.bus().await,
        ..World::start().await
    };
    let rack = world.rack("r1", 1).await;
    let task = submits(&rack.cycle().await)[0].clone();
    rack.run(&task).await;
    cluster.until_in_step().await;
    let follower = cluster.follower("KV_machines").await;
    cluster.hold_back(follower, "KV_machines").await;
    rack.follow(&task).await;
    assert_eq!(rack.machine(&task.machine).await.claim, Claim::Idle);

    // It is behind, and readers are put on it.
    let machines = rack.ledger().machines().clone();
    until(
        Duration::from_secs(60),
        "a reader is put there",
        async || {
            let key = key::machine(&task.machine);
            let found = machines.get_many([key.clone()]).await.unwrap();
            found[&key].value.claim.job() == Some(task.job)
        },
    )
    .await;
    for _ in 0..OFTEN {
        let record = rack.cycle().await;
        assert!(planned(&record).deploy.contains_key(&task.machine));
    }
}
