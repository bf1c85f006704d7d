//! Nodes are lost and come back while work goes on.

use std::time::Duration;

use broker::NODES;
use model::subject::stream;
use testkit::Cluster;

use crate::load::Load;

/// Far longer than recovery takes, for a machine with other things to do.
const SOON: Duration = Duration::from_secs(90);

#[tokio::test]
async fn work_goes_on_through_the_loss_of_the_leader_of_a_follower_and_of_a_connection() {
    let mut cluster = Cluster::start().await;
    let bus = cluster.bus().await;
    let load = Load::start(&bus);
    load.goes_on("the start", SOON).await;

    let leader = cluster.leader(stream::EVENTS).await;
    cluster.kill_9(leader).await;
    load.goes_on("the leader of EVENTS was killed", SOON).await;
    cluster.restart(leader).await;
    cluster.until_healthy().await;

    let follower = cluster.follower(stream::EVENTS).await;
    cluster.kill_9(follower).await;
    load.goes_on("a follower was killed", SOON).await;
    cluster.restart(follower).await;
    cluster.until_healthy().await;
    load.end(SOON).await;
}

#[tokio::test]
async fn work_goes_on_while_a_node_is_cut_off_and_when_it_comes_back() {
    let cluster = Cluster::start().await;
    let bus = cluster.bus().await;
    let load = Load::start(&bus);
    load.goes_on("the start", SOON).await;
    let leader = cluster.leader(stream::RACK).await;
    cluster.freeze(leader).await;
    load.goes_on("the leader of RACK was frozen", SOON).await;
    cluster.thaw(leader).await;
    load.goes_on("it was thawed", SOON).await;
    cluster.until_healthy().await;
    load.end(SOON).await;
}

#[tokio::test]
async fn work_goes_on_while_all_nodes_are_restarted_one_after_the_other() {
    let mut cluster = Cluster::start().await;
    let bus = cluster.bus().await;
    let load = Load::start(&bus);
    load.goes_on("the start", SOON).await;
    for node in 0..NODES {
        cluster.stop(node).await;
        load.goes_on(&format!("node {node} was stopped"), SOON)
            .await;
        cluster.restart(node).await;
        cluster.until_healthy().await;
    }
    load.goes_on("all were restarted", SOON).await;
    load.end(SOON).await;
}
