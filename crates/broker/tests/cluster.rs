#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Three real servers that are one cluster.

use std::path::Path;
use std::time::Duration;

use broker::{Binary, Cluster, NODES};

const SOON: Duration = Duration::from_secs(60);

fn binary() -> Binary {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache");
    Binary::find(&cache).unwrap()
}

#[tokio::test]
async fn a_cluster_is_whole_again_after_a_node_was_killed_and_restarted() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(&binary(), folder.path(), "", false)
        .await
        .unwrap();
    assert_eq!(cluster.urls().split(',').count(), NODES);
    assert_eq!(cluster.leader("NONE").await, None);
    let url = cluster.node(1).url();
    cluster.node_mut(1).kill().await.unwrap();
    assert!(!cluster.is_healthy().await);
    cluster.node_mut(1).restart().await.unwrap();
    assert!(cluster.until_healthy(SOON).await);
    assert_eq!(cluster.node(1).url(), url);

    cluster.node(2).freeze().await.unwrap();
    assert!(!cluster.is_healthy().await);
    cluster.node(2).thaw().await.unwrap();
    assert!(cluster.until_healthy(SOON).await);
}
