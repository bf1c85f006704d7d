//! Three servers that are one cluster.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::fetch::Binary;
use crate::server::{Options, Port, Server, StartError};

/// How many servers a cluster has here.
pub const NODES: usize = 3;

/// How long the nodes may take to find each other and a leader.
const FORM: Duration = Duration::from_secs(60);
/// How long a node's monitoring may take to answer.
const MONITORING: Duration = Duration::from_secs(2);
/// How often other ports are tried when somebody took one that was free a moment ago.
const TRIES: usize = 3;

/// A running cluster. It ends with this value.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
}

#[derive(Deserialize)]
struct Jetstream {
    #[serde(default)]
    account_details: Vec<Account>,
}

#[derive(Deserialize)]
struct Account {
    #[serde(default)]
    stream_detail: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    name: String,
    cluster: Option<Group>,
    #[serde(default)]
    consumer_detail: Vec<Consumer>,
}

#[derive(Deserialize)]
struct Consumer {
    name: String,
    cluster: Option<Group>,
}

#[derive(Deserialize)]
struct Group {
    leader: Option<String>,
}

impl Cluster {
    /// Starts three servers on free ports of the loopback address, and waits until they are one cluster. Each has a
    /// folder of its own below `folder`, and `config` among its configuration. `own_group`: see [`Options`].
    ///
    /// # Errors
    /// `StartError` with the end of a server's log.
    pub async fn start(
        binary: &Binary,
        folder: &Path,
        config: &str,
        own_group: bool,
    ) -> Result<Self, StartError> {
        Self::start_over(binary, folder, config, own_group, async |ports| {
            Ok(direct(ports))
        })
        .await
    }

    /// The same, where `lay` says how the nodes reach each other: of the ports on which they listen for each other it
    /// makes what each has in its `cluster` block besides.
    ///
    /// # Errors
    /// As [`start`](Self::start), and when `lay` fails.
    pub async fn start_over(
        binary: &Binary,
        folder: &Path,
        config: &str,
        own_group: bool,
        lay: impl AsyncFn([u16; NODES]) -> std::io::Result<[String; NODES]>,
    ) -> Result<Self, StartError> {
        let mut tries = 1;
        loop {
            match Self::try_start(binary, folder, config, own_group, &lay).await {
                Err(StartError::Start { .. }) if tries < TRIES => tries += 1,
                ended => return ended,
            }
        }
    }

    async fn try_start(
        binary: &Binary,
        folder: &Path,
        config: &str,
        own_group: bool,
        lay: impl AsyncFn([u16; NODES]) -> std::io::Result<[String; NODES]>,
    ) -> Result<Self, StartError> {
        let failed = |source| StartError::Folder {
            folder: folder.into(),
            source,
        };
        let ports = free_ports().map_err(failed)?;
        let ways = lay(ports).await.map_err(failed)?;
        let mut servers = Vec::new();
        for (index, (port, ways)) in ports.into_iter().zip(ways).enumerate() {
            let folder = folder.join(node_name(index));
            let file = folder.join("server.conf");
            let text = format!(
                "{config}\nserver_name: {}\ncluster {{\n  name: racktick\n  listen: \"127.0.0.1:{port}\"\n  \
                 {ways}\n}}\n",
                node_name(index)
            );
            std::fs::create_dir_all(&folder)
                .and_then(|()| std::fs::write(&file, text))
                .map_err(failed)?;
            let options = Options {
                port: Port::Free,
                folder,
                config: Some(file),
                own_group,
            };
            servers.push(Server::start(binary.clone(), options).await?);
        }
        let cluster = Self { servers };
        if cluster.until_healthy(FORM).await {
            return Ok(cluster);
        }
        let log = tokio::fs::read_to_string(cluster.servers[0].log()).await;
        Err(StartError::Start {
            why: format!("the three did not become a cluster within {FORM:?}"),
            log: log.unwrap_or_default(),
        })
    }

    /// Where clients connect: the addresses of all nodes, with commas between.
    pub fn urls(&self) -> String {
        let urls: Vec<String> = self.servers.iter().map(Server::url).collect();
        urls.join(",")
    }

    /// A node, to look at.
    pub fn node(&self, index: usize) -> &Server {
        &self.servers[index]
    }

    /// A node, to stop, kill and restart.
    pub fn node_mut(&mut self, index: usize) -> &mut Server {
        &mut self.servers[index]
    }

    /// The node that leads a stream, as far as some node knows. Frozen nodes still count as leaders until the others
    /// elect another.
    pub async fn leader(&self, stream: &str) -> Option<usize> {
        self.leader_in(|account| {
            let detail = account.stream_detail.iter();
            let mut found = detail.filter(|detail| detail.name == stream);
            found.next()?.cluster.as_ref()?.leader.clone()
        })
        .await
    }

    /// The node that leads a consumer, as [`leader`](Self::leader).
    pub async fn consumer_leader(&self, stream: &str, consumer: &str) -> Option<usize> {
        self.leader_in(|account| {
            let detail = account.stream_detail.iter();
            let detail = detail.filter(|detail| detail.name == stream);
            let mut found = detail
                .flat_map(|detail| &detail.consumer_detail)
                .filter(|detail| detail.name == consumer);
            found.next()?.cluster.as_ref()?.leader.clone()
        })
        .await
    }

    async fn leader_in(&self, find: impl Fn(&Account) -> Option<String>) -> Option<usize> {
        for server in &self.servers {
            let Some((200, body)) = monitored(server, "/jsz?consumers=true").await else {
                continue;
            };
            let Ok(state) = serde_json::from_value::<Jetstream>(body) else {
                continue;
            };
            if let Some(leader) = state.account_details.iter().find_map(&find) {
                return (0..NODES).find(|index| node_name(*index) == leader);
            }
        }
        None
    }

    /// True when every node runs and has everything that the cluster has.
    pub async fn is_healthy(&self) -> bool {
        for server in &self.servers {
            if !matches!(monitored(server, "/healthz").await, Some((200, _))) {
                return false;
            }
        }
        true
    }

    /// Waits until [`is_healthy`](Self::is_healthy). False when it does not become so in time.
    pub async fn until_healthy(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while !self.is_healthy().await {
            if Instant::now() > deadline {
                return false;
            }
            sleep(Duration::from_millis(50)).await;
        }
        true
    }
}

/// Every node knows where all of them listen.
fn direct(ports: [u16; NODES]) -> [String; NODES] {
    let routes = ports.map(|port| format!("nats-route://127.0.0.1:{port}"));
    let routes = format!("routes: [{}]", routes.join(", "));
    std::array::from_fn(|_| routes.clone())
}

/// The name of a node: `n1`, `n2`, `n3`.
pub fn node_name(index: usize) -> String {
    format!("n{}", index + 1)
}

/// Ports that are free now. Nodes have to know each other's before the first of them starts.
fn free_ports() -> std::io::Result<[u16; NODES]> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners: Vec<TcpListener> = (0..NODES).map(bind).collect::<Result<_, _>>()?;
    let mut ports = [0; NODES];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Status and body of what a node's monitoring says; `None` when it says nothing.
async fn monitored(server: &Server, path: &str) -> Option<(u16, Value)> {
    timeout(MONITORING, get(server.monitoring()?, path))
        .await
        .ok()?
}

async fn get(address: SocketAddr, path: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}
