//! Three nats-servers for one test.

use std::time::Duration;

use broker::NODES;
use bus::Bus;
use bus::topology::{Retention, Topology, setup};
use serde_json::Value;
use tempfile::TempDir;

use crate::routes::Routes;
use crate::{LIMITS, binary, connect, prepare};

/// Longer than an election takes, on a machine with other things to do.
const ELECTION: Duration = Duration::from_secs(60);

/// A cluster of three nats-servers, with stores of their own.
pub struct Cluster {
    cluster: broker::Cluster,
    routes: Option<Routes>,
    // Declared later, so that the servers end before their folder is removed.
    _folder: TempDir,
}

impl Cluster {
    /// Starts one, and waits until it is one.
    ///
    /// # Panics
    /// When that fails, as all of these.
    pub async fn start() -> Self {
        prepare();
        let folder = tempfile::tempdir().expect("a folder for the cluster");
        let cluster = broker::Cluster::start(&binary().await, folder.path(), LIMITS, false).await;
        Self::of(cluster, folder, None)
    }

    /// Starts one of which a node can be [held back](Self::hold_back).
    pub async fn start_over_lines() -> Self {
        prepare();
        let folder = tempfile::tempdir().expect("a folder for the cluster");
        let routes = Routes::default();
        let lay = async |ports| routes.lay(ports).await;
        let binary = binary().await;
        let cluster = broker::Cluster::start_over(&binary, folder.path(), LIMITS, false, lay).await;
        Self::of(cluster, folder, Some(routes))
    }

    fn of(
        cluster: Result<broker::Cluster, broker::StartError>,
        folder: TempDir,
        routes: Option<Routes>,
    ) -> Self {
        Self {
            cluster: cluster.unwrap_or_else(|error| panic!("{error}")),
            routes,
            _folder: folder,
        }
    }

    /// From now on a node that does not lead the stream hears nothing of it any more, and keeps the copy that it has.
    /// Clients find it well: it takes part in everything else, and what is read there is read from that copy.
    pub async fn hold_back(&self, node: usize, stream: &str) {
        let routes = self.routes.as_ref().expect("it was started over lines");
        let client = async_nats::connect(self.url(node)).await;
        let client = client.expect("the node is reached");
        let info = client.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into());
        let info = info.await.expect("the stream's leader answers");
        let info: Value = serde_json::from_slice(&info.payload).expect("the answer is JSON");
        let group = info["cluster"]["raft_group"].as_str();
        let group = group.expect("a stream with replicas has a group");
        routes.hold_back(broker::node_name(node), group.into());
    }

    /// Where clients connect: all three addresses, with commas between.
    pub fn urls(&self) -> String {
        self.cluster.urls()
    }

    /// Where clients of one node connect.
    pub fn url(&self, node: usize) -> String {
        self.cluster.node(node).url()
    }

    /// Where the monitoring of all nodes that run answers, with commas between.
    pub fn monitoring(&self) -> String {
        let addresses = (0..NODES).filter_map(|node| self.cluster.node(node).monitoring());
        let urls: Vec<String> = addresses
            .map(|address| format!("http://{address}"))
            .collect();
        urls.join(",")
    }

    /// The topology with everything on all three.
    pub fn topology() -> Topology {
        Topology::declared(Retention::default()).with_replicas(u8::try_from(NODES).ok())
    }

    /// A new connection to a cluster on which everything is set up with three replicas that are in step.
    pub async fn bus(&self) -> Bus {
        let bus = self.connect().await;
        setup(&bus, &Self::topology())
            .await
            .expect("the topology is set up");
        self.until_healthy().await;
        bus
    }

    /// A new connection, with nothing set up.
    pub async fn connect(&self) -> Bus {
        connect(self.urls()).await
    }

    /// The node that leads a stream; waits while there is an election.
    pub async fn leader(&self, stream: &str) -> usize {
        let mut leader = None;
        crate::until(ELECTION, &format!("{stream} has a leader"), async || {
            leader = self.cluster.leader(stream).await;
            leader.is_some()
        })
        .await;
        leader.expect("it was waited for")
    }

    /// A node that does not lead a stream.
    pub async fn follower(&self, stream: &str) -> usize {
        (self.leader(stream).await + 1) % NODES
    }

    /// SIGKILL of one node.
    pub async fn kill_9(&mut self, node: usize) {
        let server = self.cluster.node_mut(node);
        server.kill().await.expect("the node is killed");
    }

    /// Stops one node as an administrator would.
    pub async fn stop(&mut self, node: usize) {
        let server = self.cluster.node_mut(node);
        server.stop().await.expect("the node is stopped");
    }

    /// Starts a node again, on the same ports and with the same data.
    pub async fn restart(&mut self, node: usize) {
        let restarted = self.cluster.node_mut(node).restart().await;
        restarted.unwrap_or_else(|error| panic!("{error}"));
    }

    /// SIGSTOP of one node: it answers nobody and keeps its connections.
    pub async fn freeze(&self, node: usize) {
        let frozen = self.cluster.node(node).freeze().await;
        frozen.expect("the node is frozen");
    }

    /// SIGCONT of one node.
    pub async fn thaw(&self, node: usize) {
        let thawed = self.cluster.node(node).thaw().await;
        thawed.expect("the node is thawed");
    }

    /// Waits until whoever leads a stream says that every copy of it is as far as its own. A node that came back says that it
    /// is healthy a little before, and what is read from it until then is old.
    pub async fn until_in_step(&self) {
        self.until_healthy().await;
        let bus = self.connect().await;
        crate::until(ELECTION, "every copy is in step", async || {
            let sight = Self::topology().look(&bus, Duration::from_secs(5)).await;
            let sight = sight.expect("the brokers can be asked");
            let mut followers = sight.standings.iter().flat_map(|item| &item.followers);
            sight.silent.is_empty() && followers.all(|copy| copy.current && copy.lag == 0)
        })
        .await;
    }

    /// Waits until every node runs and says that it is healthy.
    pub async fn until_healthy(&self) {
        let healthy = self.cluster.until_healthy(ELECTION).await;
        assert!(healthy, "the cluster is not healthy within {ELECTION:?}");
    }
}
