//! One broker, or a cluster of three, and what they suffer.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use broker::{Binary, Options, Port, Server};
use tokio::sync::Mutex;

/// The broker must not make its limits from the free space of the disk.
const LIMITS: &str = "jetstream { max_file_store: 4GB, max_memory_store: 256MB }\n";

/// All brokers of a round. They end with this value.
pub(crate) struct Brokers {
    nodes: Vec<Node>,
}

struct Node {
    url: String,
    server: Mutex<Server>,
}

impl Brokers {
    pub(crate) async fn start(
        binary: Binary,
        folder: &Path,
        cluster: bool,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(!cluster, "--cluster is not there yet");
        let folder = folder.join("broker-1");
        std::fs::create_dir(&folder)?;
        let config = folder.join("server.conf");
        std::fs::write(&config, LIMITS)?;
        let options = Options {
            port: Port::Free,
            folder,
            config: Some(config),
            own_group: true,
        };
        let server = Server::start(binary, options).await?;
        Ok(Self {
            nodes: vec![Node {
                url: server.url(),
                server: Mutex::new(server),
            }],
        })
    }

    /// Where clients connect, straight.
    pub(crate) fn urls(&self) -> String {
        let urls: Vec<&str> = self.nodes.iter().map(|node| node.url.as_str()).collect();
        urls.join(",")
    }

    /// The same as socket addresses.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes
            .iter()
            .filter_map(|node| node.url.rsplit(':').next()?.parse().ok())
            .map(|port: u16| (Ipv4Addr::LOCALHOST, port).into())
            .collect()
    }

    /// SIGKILL.
    pub(crate) async fn kill(&self, node: usize) -> anyhow::Result<()> {
        let mut server = self.nodes[node].server.lock().await;
        server.kill().await.context("a broker cannot be killed")
    }

    /// SIGTERM, and waits for its end.
    pub(crate) async fn stop(&self, node: usize) -> anyhow::Result<()> {
        let mut server = self.nodes[node].server.lock().await;
        server.stop().await.context("a broker cannot be stopped")
    }

    /// Starts it again with its store.
    pub(crate) async fn restart(&self, node: usize) -> anyhow::Result<()> {
        let mut server = self.nodes[node].server.lock().await;
        Ok(server.restart().await?)
    }
}
