//! How streams and consumers stand on the servers: who leads, who keeps up, what waits.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Item, Topology};
use crate::connect::Bus;
use crate::error::BusError;

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
    /// three (observed with 2.15.1; 2.14.6 takes about one).
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

#[derive(Deserialize)]
struct StreamInfo {
    config: Replicated,
    #[serde(default)]
    cluster: Cluster,
}

#[derive(Deserialize)]
struct ConsumerInfo {
    config: Replicated,
    #[serde(default)]
    cluster: Cluster,
    #[serde(default)]
    num_pending: u64,
    #[serde(default)]
    num_ack_pending: u64,
    #[serde(default)]
    num_redelivered: u64,
    #[serde(default)]
    num_waiting: u64,
}

#[derive(Deserialize)]
struct Replicated {
    #[serde(default)]
    num_replicas: u64,
    /// Negative is any number.
    #[serde(default)]
    max_ack_pending: i64,
}

#[derive(Default, Deserialize)]
struct Cluster {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    leader: Option<String>,
    #[serde(default)]
    replicas: Vec<Follower>,
}

impl Topology {
    /// How everything in this topology stands. What is missing is left out.
    ///
    /// # Errors
    /// When the broker cannot be asked. A stream without a leader answers nothing, too.
    pub async fn standing(&self, bus: &Bus) -> Result<Vec<Standing>, BusError> {
        let mut all = Vec::new();
        for name in self.streams.keys() {
            let item = Item::Stream(name.clone());
            let operation = format!("STREAM.INFO.{name}");
            if let Some(StreamInfo { config, cluster }) = ask(bus, &item, &operation).await? {
                all.push(standing(item, &config, cluster, None));
            }
        }
        for (stream, name) in self.consumers.keys() {
            let item = Item::Consumer {
                stream: stream.clone(),
                name: name.clone(),
            };
            let operation = format!("CONSUMER.INFO.{stream}.{name}");
            let Some(info) = ask::<ConsumerInfo>(bus, &item, &operation).await? else {
                continue;
            };
            let work = Work {
                waiting: info.num_pending,
                out: info.num_ack_pending,
                most_out: u64::try_from(info.config.max_ack_pending).unwrap_or(0),
                again: info.num_redelivered,
                takers: info.num_waiting,
            };
            all.push(standing(item, &info.config, info.cluster, Some(work)));
        }
        Ok(all)
    }
}

fn standing(item: Item, config: &Replicated, cluster: Cluster, work: Option<Work>) -> Standing {
    let kept = 1 + cluster.replicas.len() as u64;
    Standing {
        item,
        // A consumer says nothing of its own when it has as many as its stream.
        replicas: match config.num_replicas {
            0 => kept,
            replicas => replicas,
        },
        cluster: cluster.name.filter(|name| !name.is_empty()),
        leader: cluster.leader.filter(|leader| !leader.is_empty()),
        followers: cluster.replicas,
        work,
    }
}

async fn ask<T: DeserializeOwned>(
    bus: &Bus,
    item: &Item,
    operation: &str,
) -> Result<Option<T>, BusError> {
    match bus
        .api(&format!("reading {item}"), operation, &json!({}))
        .await
    {
        Ok(info) => Ok(Some(info)),
        Err(BusError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
