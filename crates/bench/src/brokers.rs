//! The broker of a run: one server, or three that keep three replicas.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::Client;
use broker::{Binary, Options, Port, Server};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::process::{cpu, memory};
use crate::sync::SyncPolicy;

/// How long three servers may take to become one broker, and their streams to have all replicas.
const PATIENCE: Duration = Duration::from_secs(60);
const SERVERS: usize = 3;

pub(crate) struct Brokers {
    servers: Vec<Server>,
    folders: Vec<PathBuf>,
    policy: SyncPolicy,
}

/// What a stream holds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Held {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// What the broker did since it started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    /// Messages that came in from clients.
    pub(crate) received: u64,
    /// Messages that went out to clients.
    pub(crate) sent: u64,
    /// Messages that its streams stored.
    pub(crate) stored: u64,
    /// Messages that its streams hold now.
    pub(crate) held: u64,
}

#[derive(Deserialize)]
struct Ports {
    monitoring: Vec<String>,
}

#[derive(Deserialize)]
struct Varz {
    in_msgs: u64,
    out_msgs: u64,
}

#[derive(Deserialize)]
struct StreamPage {
    #[serde(default)]
    streams: Option<Vec<StreamInfo>>,
}

#[derive(Deserialize)]
struct StreamInfo {
    config: Value,
    state: State,
    #[serde(default)]
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct State {
    messages: u64,
    bytes: u64,
    last_seq: u64,
}

#[derive(Deserialize)]
struct Cluster {
    #[serde(default)]
    leader: Option<String>,
    #[serde(default)]
    replicas: Option<Vec<Replica>>,
}

#[derive(Deserialize)]
struct Replica {
    current: bool,
}

impl Brokers {
    /// Starts what the policy needs, each server in a folder of its own below this one.
    pub(crate) async fn start(
        policy: SyncPolicy,
        binary: &Binary,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let routes = match policy {
            SyncPolicy::Cluster => free_ports(SERVERS)?,
            _ => vec![],
        };
        let mut brokers = Self {
            servers: vec![],
            folders: vec![],
            policy,
        };
        for number in 0..routes.len().max(1) {
            let folder = folder.join(format!("server{number}"));
            std::fs::create_dir(&folder)?;
            let config = folder.join("server.conf");
            let cluster = routes.get(number).map(|own| {
                let others: Vec<String> = routes
                    .iter()
                    .map(|port| format!("nats://127.0.0.1:{port}"))
                    .collect();
                format!(
                    "server_name: n{number}\ncluster {{ name: bench, listen: \"127.0.0.1:{own}\", routes: {} }}\n",
                    json!(others)
                )
            });
            std::fs::write(&config, policy.server() + &cluster.unwrap_or_default())?;
            let options = Options {
                port: Port::Free,
                folder: folder.clone(),
                config: Some(config),
                own_group: false,
            };
            brokers
                .servers
                .push(Server::start(binary.clone(), options).await?);
            brokers.folders.push(folder);
        }
        if policy == SyncPolicy::Cluster {
            brokers.wait_for_leader().await?;
        }
        Ok(brokers)
    }

    /// Where clients connect.
    pub(crate) fn url(&self) -> String {
        let urls: Vec<String> = self.servers.iter().map(Server::url).collect();
        urls.join(",")
    }

    /// A connection to ask what racktick has no need to ask.
    async fn client(&self) -> anyhow::Result<Client> {
        let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
        Ok(options.connect(self.servers[0].url()).await?)
    }

    async fn wait_for_leader(&self) -> anyhow::Result<()> {
        let client = self.client().await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = client.request("$JS.API.INFO", "".into()).await;
            if let Ok(answer) = answer
                && serde_json::from_slice::<Value>(&answer.payload)?["error"].is_null()
            {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the servers have no leader");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Makes three replicas of everything, where the policy is that, and waits for them.
    pub(crate) async fn replicate(&self) -> anyhow::Result<()> {
        if self.policy != SyncPolicy::Cluster {
            return Ok(());
        }
        let client = self.client().await?;
        for stream in streams(&client).await? {
            let mut config = stream.config;
            config["num_replicas"] = SERVERS.into();
            let name = config["name"].as_str().context("a stream has a name")?;
            let subject = format!("$JS.API.STREAM.UPDATE.{name}");
            let answer = client.request(subject, config.to_string().into()).await?;
            let answer: Value = serde_json::from_slice(&answer.payload)?;
            ensure!(answer["error"].is_null(), "{}", answer["error"]);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let all = streams(&client).await?;
            let current = |cluster: &Cluster| {
                let replicas = cluster.replicas.as_deref().unwrap_or_default();
                cluster.leader.is_some()
                    && replicas.len() == SERVERS - 1
                    && replicas.iter().all(|replica| replica.current)
            };
            if all
                .iter()
                .all(|stream| stream.cluster.as_ref().is_some_and(current))
            {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the streams do not get their replicas"
            );
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// User and system time of all servers, in seconds.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        let mut sum = 0.0;
        for id in self.ids()? {
            sum += cpu(id)?.as_secs_f64();
        }
        Ok(sum)
    }

    /// What all servers have in memory, in bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for id in self.ids()? {
            sum += memory(id)?.now;
        }
        Ok(sum)
    }

    fn ids(&self) -> anyhow::Result<Vec<u32>> {
        self.servers
            .iter()
            .map(|server| server.process().context("the broker has ended"))
            .collect()
    }

    /// Messages in, out and stored. With three servers, what they tell each other is not among them.
    pub(crate) async fn traffic(&self) -> anyhow::Result<Traffic> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let mut traffic = Traffic::default();
        for (server, folder) in self.servers.iter().zip(&self.folders) {
            let id = server.process().context("the broker has ended")?;
            let ports = std::fs::read(folder.join(format!("nats-server_{id}.ports")))?;
            let ports: Ports = serde_json::from_slice(&ports)?;
            let url = ports
                .monitoring
                .first()
                .context("it has a monitoring port")?;
            let varz: Varz = http.get(format!("{url}/varz")).send().await?.json().await?;
            traffic.received += varz.in_msgs;
            traffic.sent += varz.out_msgs;
        }
        for stream in streams(&self.client().await?).await? {
            traffic.stored += stream.state.last_seq;
            traffic.held += stream.state.messages;
        }
        Ok(traffic)
    }

    /// What the streams hold, by name.
    pub(crate) async fn held(&self) -> anyhow::Result<BTreeMap<String, Held>> {
        let held = |stream: StreamInfo| {
            let name = stream.config["name"].as_str()?.to_owned();
            let State {
                messages, bytes, ..
            } = stream.state;
            Some((name, Held { messages, bytes }))
        };
        let streams = streams(&self.client().await?).await?;
        Ok(streams.into_iter().filter_map(held).collect())
    }

    /// What all servers' data takes on the disk, in bytes.
    pub(crate) fn disk(&self) -> anyhow::Result<u64> {
        let sizes = self.folders.iter().map(|folder| size(&folder.join("data")));
        sizes.sum()
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        for server in &mut self.servers {
            server.stop().await?;
        }
        Ok(())
    }
}

/// What a folder takes on the disk. What is removed meanwhile takes nothing.
fn size(folder: &Path) -> anyhow::Result<u64> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        entries => entries.with_context(|| format!("{} cannot be read", folder.display()))?,
    };
    let mut sum = 0;
    for entry in entries {
        let entry = entry?;
        match entry.metadata() {
            Ok(data) if data.is_dir() => sum += size(&entry.path())?,
            Ok(data) => sum += data.blocks() * 512,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sum)
}

async fn streams(client: &Client) -> anyhow::Result<Vec<StreamInfo>> {
    let answer = client.request("$JS.API.STREAM.LIST", "".into()).await?;
    let page: StreamPage = serde_json::from_slice(&answer.payload)?;
    page.streams.context("the broker lists no streams")
}

/// Ports that were free a moment ago: the servers have to know each other's before they start.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let listeners = (0..count)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<Vec<_>, _>>()?;
    let ports = listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()));
    Ok(ports.collect::<Result<_, _>>()?)
}
