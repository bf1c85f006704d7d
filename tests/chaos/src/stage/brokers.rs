//! One broker, or a cluster of three, and what they suffer.

mod cluster;
mod ports;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use broker::{Binary, Options, Port, Server};
use bus::Bus;
use bus::topology::{Item, Retention, Standing, Topology};
use model::subject::stream;
use tokio::sync::Mutex;

use super::KEYS;
use crate::fault::{Cable, Node};
use cluster::Routes;

/// The broker must not make its limits from the free space of the disk.
const LIMITS: &str = "jetstream { max_file_store: 4GB, max_memory_store: 256MB }\n";
/// Brokers of a cluster.
const CLUSTER: usize = 3;
/// How long the brokers may take to say who leads.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// All brokers of a round. They end with this value.
pub(crate) struct Brokers {
    members: Vec<Member>,
    /// `None` when there is one only.
    routes: Option<Routes>,
}

struct Member {
    url: String,
    server: Mutex<Server>,
}

impl Brokers {
    /// Starts one, or three that find each other.
    pub(crate) async fn start(
        binary: Binary,
        folder: &Path,
        cluster: bool,
    ) -> anyhow::Result<Self> {
        let count = if cluster { CLUSTER } else { 1 };
        let routes = match cluster {
            true => Some(Routes::lay(count).await?),
            false => None,
        };
        let mut members = Vec::new();
        for (number, port) in ports::free(count)?.into_iter().enumerate() {
            let folder = folder.join(name(number));
            std::fs::create_dir(&folder)?;
            let mut config = LIMITS.to_owned();
            config += &format!("include \"../{KEYS}/server/authorization.conf\"\n");
            if let Some(routes) = &routes {
                config += &format!("server_name: {}\n{}", name(number), routes.config(number));
            }
            let server = start(binary.clone(), folder, port, &config).await?;
            members.push(Member {
                url: server.url(),
                server: Mutex::new(server),
            });
        }
        Ok(Self { members, routes })
    }

    /// Where clients connect, straight.
    pub(crate) fn urls(&self) -> String {
        let urls: Vec<&str> = self
            .members
            .iter()
            .map(|member| member.url.as_str())
            .collect();
        urls.join(",")
    }

    /// The same as socket addresses.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.members
            .iter()
            .filter_map(|member| member.url.rsplit(':').next()?.parse().ok())
            .map(|port: u16| (Ipv4Addr::LOCALHOST, port).into())
            .collect()
    }

    /// The number of a broker. When nobody leads, any is as good.
    pub(crate) async fn find(&self, bus: &Bus, node: Node) -> usize {
        let leader = match node {
            Node::Only => return 0,
            Node::Leader | Node::Follower(_) => self.leader(bus).await.unwrap_or(0),
        };
        match node {
            Node::Follower(which) => (leader + 1 + usize::from(which)) % self.members.len(),
            Node::Only | Node::Leader => leader,
        }
    }

    /// The broker that leads the stream of tasks.
    async fn leader(&self, bus: &Bus) -> anyhow::Result<usize> {
        let tasks = tasks(bus).await?;
        self.numbers()
            .find(|number| tasks.leader.as_ref() == Some(&name(*number)))
            .context("nobody leads")
    }

    /// An error unless the streams are stored on every broker.
    pub(crate) async fn check_replicas(&self, bus: &Bus) -> anyhow::Result<()> {
        let replicas = tasks(bus).await?.replicas;
        let brokers = self.members.len();
        ensure!(
            replicas == brokers as u64,
            "`racktick setup` for {brokers} brokers made streams with {replicas} replicas"
        );
        Ok(())
    }

    /// SIGKILL.
    pub(crate) async fn kill(&self, number: usize) -> anyhow::Result<()> {
        let mut server = self.members[number].server.lock().await;
        server.kill().await.context("a broker cannot be killed")
    }

    /// SIGTERM, and waits for its end.
    pub(crate) async fn stop(&self, number: usize) -> anyhow::Result<()> {
        let mut server = self.members[number].server.lock().await;
        server.stop().await.context("a broker cannot be stopped")
    }

    /// Starts it again with its store.
    pub(crate) async fn restart(&self, number: usize) -> anyhow::Result<()> {
        let mut server = self.members[number].server.lock().await;
        Ok(server.restart().await?)
    }

    /// All numbers.
    pub(crate) fn numbers(&self) -> std::ops::Range<usize> {
        0..self.members.len()
    }

    /// It and the others do not reach each other any more.
    pub(crate) fn cut_off(&self, number: usize) {
        if let Some(routes) = &self.routes {
            routes.of(number).for_each(|route| route.harm(Cable::Cut));
        }
    }

    /// They reach each other again.
    pub(crate) fn bring_back(&self, number: usize) {
        if let Some(routes) = &self.routes {
            routes.of(number).for_each(|route| route.heal());
        }
    }
}

/// How the stream of tasks stands.
async fn tasks(bus: &Bus) -> anyhow::Result<Standing> {
    let topology = Topology::declared(Retention::default());
    let sight = topology.look(bus, ANSWERS_WITHIN).await?;
    let mut all = sight.standings.into_iter();
    all.find(|standing| standing.item == Item::Stream(stream::TASK.into()))
        .context("there is no stream of tasks")
}

fn name(number: usize) -> String {
    format!("broker-{}", number + 1)
}

async fn start(binary: Binary, folder: PathBuf, port: u16, config: &str) -> anyhow::Result<Server> {
    let file = folder.join("server.conf");
    std::fs::write(&file, config)?;
    let options = Options {
        port: Port::Fixed(port),
        folder,
        config: Some(file),
        own_group: true,
    };
    Ok(Server::start(binary, options).await?)
}
