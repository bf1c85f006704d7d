//! Streams, consumers and buckets: as declared in `nats/`, as found on a server, and how the two are brought together.
//!
//! The files are the server's own configurations, as `nats stream add --config` and `nats consumer add --config` take
//! them; a bucket is its stream. Only what a file sets is compared, so that defaults of the server are no differences.

mod compare;
mod setup;
mod sight;
mod standing;

use std::collections::BTreeMap;
use std::time::Duration;

use model::subject::stream;
use model::task::TaskKind;
use serde_json::{Map, Value};

pub use compare::{Difference, Item};
pub use setup::{Report, ensure, setup};
pub use sight::Sight;
pub use standing::{Follower, Standing, Work};

/// The configuration of one server for racktick, as in `nats/server.conf`.
pub const SERVER_CONF: &str = include_str!("../../../../nats/server.conf");

const STREAMS: [&str; 8] = [
    include_str!("../../../../nats/streams/RACK.json"),
    include_str!("../../../../nats/streams/TASK.json"),
    include_str!("../../../../nats/streams/EVENTS.json"),
    include_str!("../../../../nats/streams/DLQ.json"),
    include_str!("../../../../nats/streams/KV_racks.json"),
    include_str!("../../../../nats/streams/KV_machines.json"),
    include_str!("../../../../nats/streams/KV_cycles.json"),
    include_str!("../../../../nats/streams/OBJ_evidence.json"),
];

const CONSUMERS: [(TaskKind, &str); 3] = [
    (
        TaskKind::Tick,
        include_str!("../../../../nats/consumers/tick.json"),
    ),
    (
        TaskKind::Submit,
        include_str!("../../../../nats/consumers/submit.json"),
    ),
    (
        TaskKind::Watch,
        include_str!("../../../../nats/consumers/watch.json"),
    ),
];

/// The field that says on how many servers a stream is kept.
const REPLICAS: &str = "num_replicas";

/// A configuration as the server writes it: names and nanoseconds.
pub type Config = Map<String, Value>;

/// The stream whose consumer hands out a kind of task.
pub(crate) fn stream_of(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Tick => stream::RACK,
        TaskKind::Submit | TaskKind::Watch => stream::TASK,
    }
}

/// Streams (buckets among them) by name, and consumers by stream and name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Topology {
    /// Configurations of streams.
    pub streams: BTreeMap<String, Config>,
    /// Configurations of consumers.
    pub consumers: BTreeMap<(String, String), Config>,
}

/// How long events or evidence are kept: whichever limit is reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long.
    pub age: Duration,
    /// How many bytes.
    pub bytes: u64,
}

impl Retention {
    /// What the file of the bucket of evidence says: 30 days or 1 GB.
    pub const EVIDENCE: Self = Self {
        age: Duration::from_secs(30 * 24 * 60 * 60),
        bytes: 1_000_000_000,
    };

    fn set(&self, config: &mut Config) {
        let age = u64::try_from(self.age.as_nanos()).unwrap_or(u64::MAX);
        config["max_age"] = age.into();
        config["max_bytes"] = self.bytes.into();
    }
}

impl Default for Retention {
    /// What the file of the events says: 30 days or 2 GB.
    fn default() -> Self {
        Self {
            age: Duration::from_secs(30 * 24 * 60 * 60),
            bytes: 2_000_000_000,
        }
    }
}

impl Topology {
    /// What the files in `nats/` declare, with events kept this long.
    pub fn declared(events: Retention) -> Self {
        let read = |text: &str| -> (String, Config) {
            let config: Config = serde_json::from_str(text).expect("the files are read by a test");
            (
                config["name"]
                    .as_str()
                    .expect("every file has a name")
                    .to_owned(),
                config,
            )
        };
        let mut streams: BTreeMap<_, _> = STREAMS.into_iter().map(read).collect();
        if let Some(config) = streams.get_mut(stream::EVENTS) {
            events.set(config);
        }
        let consumers = CONSUMERS
            .into_iter()
            .map(|(kind, text)| {
                let (name, config) = read(text);
                ((stream_of(kind).to_owned(), name), config)
            })
            .collect();
        Self { streams, consumers }
    }

    /// The same with evidence kept this long.
    #[must_use]
    pub fn with_evidence(mut self, evidence: Retention) -> Self {
        if let Some(config) = self.streams.get_mut(stream::EVIDENCE) {
            evidence.set(config);
        }
        self
    }

    /// The same with every stream and bucket kept on this many servers, and with them their consumers. Where nothing
    /// is said of it, a server makes one of each, and another number is no difference.
    #[must_use]
    pub fn with_replicas(mut self, replicas: Option<u8>) -> Self {
        if let Some(replicas) = replicas {
            for config in self.streams.values_mut() {
                config.insert(REPLICAS.into(), replicas.into());
            }
        }
        self
    }
}

fn is_work_queue(config: &Config) -> bool {
    config.get("retention").and_then(Value::as_str) == Some("workqueue")
}
