#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Three real servers that are one cluster.

use std::fs;
use std::path::Path;
use std::time::Duration;

use broker::{Binary, Cluster, NODES, Options, Port, Server};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

#[tokio::test]
async fn the_configuration_for_three_nodes_makes_a_cluster_that_syncs() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nats");
    let single = fs::read_to_string(shipped.join("server.conf")).unwrap();
    let cluster = fs::read_to_string(shipped.join("cluster/server.conf")).unwrap();
    let ports: Vec<u16> = (0..NODES).map(|_| free_port()).collect();
    let folders: Vec<TempDir> = (0..NODES).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut servers = Vec::new();
    for (index, folder) in folders.iter().enumerate() {
        // As shipped, but for names and ports that machines of their own would have.
        let mut text = cluster.replace("0.0.0.0:6222", &format!("127.0.0.1:{}", ports[index]));
        for (index, port) in ports.iter().enumerate() {
            let (name, address) = (
                format!("nats-{}:6222", index + 1),
                format!("127.0.0.1:{port}"),
            );
            assert!(text.contains(&name));
            text = text.replace(&name, &address);
        }
        text.push_str(&format!("server_name: racktick-{index}\n"));
        fs::create_dir(folder.path().join("cluster")).unwrap();
        fs::write(folder.path().join("server.conf"), &single).unwrap();
        fs::write(folder.path().join("cluster/server.conf"), text).unwrap();
        let options = Options {
            port: Port::Free,
            folder: folder.path().into(),
            config: Some(folder.path().join("cluster/server.conf")),
            own_group: false,
        };
        servers.push(Server::start(binary(), options).await.unwrap());
    }
    let end = tokio::time::Instant::now() + SOON;
    for (server, folder) in servers.iter().zip(&folders) {
        while !get(server, "/healthz").await.contains("\"ok\"") {
            assert!(tokio::time::Instant::now() < end, "they are no cluster");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let state = get(server, "/varz").await;
        assert!(
            state.contains("\"sync_always\": true") && state.contains("\"cluster_size\": 3"),
            "{state}"
        );
        // Not where a single server keeps its data.
        assert!(folder.path().join("data/cluster/jetstream").is_dir());
        assert!(!folder.path().join("data/jetstream").exists());
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// What a server says on its monitoring port.
async fn get(server: &Server, path: &str) -> String {
    let mut stream = TcpStream::connect(server.monitoring().unwrap())
        .await
        .unwrap();
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}
