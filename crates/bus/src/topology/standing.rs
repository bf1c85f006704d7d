//! How streams and consumers stand on the servers: who leads, who keeps up, what waits.

use serde::Deserialize;
use serde_json::Value;

use super::{Config, Item, REPLICAS};

/// A stream or a consumer, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub item: Item,
    /// On how many servers it is kept.
    pub replicas: u64,
    /// The cluster that it is part of; `None` on a single server.
    pub cluster: Option<String>,
    /// The server that leads it, when the server says so.
    pub leader: Option<String>,
    /// The other servers that keep it.
    pub followers: Vec<Follower>,
    /// What a consumer has to hand out; `None` for a stream.
    pub work: Option<Work>,
}

impl Standing {
    /// How many servers are still to be given a copy, as for ten seconds after a stream was brought from one server to
    /// three (observed with 2.15.1; 2.14.6 takes about one). Its consumers get theirs up to a second after it.
    pub fn lacking(&self) -> u64 {
        let kept = 1 + self.followers.len() as u64;
        self.replicas.saturating_sub(kept)
    }
}

/// A server that keeps a copy and does not lead.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Follower {
    /// Its name.
    pub name: String,
    /// It has everything that the leader has, or nearly so.
    #[serde(default)]
    pub current: bool,
    /// The leader does not reach it.
    #[serde(default)]
    pub offline: bool,
    /// How many steps it is behind.
    #[serde(default)]
    pub lag: u64,
    /// How long ago the leader last heard of it, in nanoseconds.
    #[serde(default)]
    pub active: u64,
}

/// What a consumer has to hand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Messages that nobody has yet.
    pub waiting: u64,
    /// Messages that are handed out and not settled.
    pub out: u64,
    /// How many may be out at a time; zero is any number.
    pub most_out: u64,
    /// Those of them that were handed out before.
    pub again: u64,
    /// Requests of workers that wait for messages.
    pub takers: u64,
}

impl Work {
    pub(super) fn of(consumer: &Listed) -> Self {
        let most_out = consumer
            .config
            .get("max_ack_pending")
            .and_then(Value::as_u64);
        Self {
            waiting: consumer.num_pending,
            out: consumer.num_ack_pending,
            // Negative is any number.
            most_out: most_out.unwrap_or(0),
            again: consumer.num_redelivered,
            takers: consumer.num_waiting,
        }
    }
}

/// A consumer as its leader lists it.
#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) config: Config,
    #[serde(default)]
    pub(super) cluster: Cluster,
    #[serde(default)]
    num_pending: u64,
    #[serde(default)]
    num_ack_pending: u64,
    #[serde(default)]
    num_redelivered: u64,
    #[serde(default)]
    num_waiting: u64,
}

/// Who keeps a stream or a consumer.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Cluster {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    leader: Option<String>,
    #[serde(default)]
    replicas: Vec<Follower>,
}

/// On how many servers a stream is kept; zero for a consumer that is kept as its stream.
pub(super) fn replicas(config: &Config) -> u64 {
    config.get(REPLICAS).and_then(Value::as_u64).unwrap_or(0)
}

impl Standing {
    pub(super) fn of(item: Item, replicas: u64, cluster: Cluster, work: Option<Work>) -> Self {
        Self {
            item,
            replicas,
            cluster: cluster.name.filter(|name| !name.is_empty()),
            leader: cluster.leader.filter(|leader| !leader.is_empty()),
            followers: cluster.replicas,
            work,
        }
    }
}
