//! The lab's state: one value behind one lock, changed by requests and by timers.

pub(crate) mod agent;
pub(crate) mod job;
pub(crate) mod machine;
pub(crate) mod population;
pub(crate) mod timer;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::chance::Chance;
use crate::config::{Client, LabConfig, MaasKey};
use crate::fault::Faults;
use crate::stats::Counters;
use agent::Agents;
use job::{Job, Jobs};
use machine::Machines;
use timer::Timers;

/// Everything the lab knows.
pub(crate) struct World {
    pub(crate) config: LabConfig,
    pub(crate) chance: Chance,
    pub(crate) machines: Machines,
    pub(crate) key: MaasKey,
    /// Nonces of accepted OAuth parameters, with the time they came.
    pub(crate) nonces: HashMap<String, Timestamp>,
    pub(crate) agents: Agents,
    pub(crate) jobs: Jobs,
    pub(crate) directory: Directory,
    pub(crate) timers: Timers,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
}

impl World {
    pub(crate) fn new(config: LabConfig, timers_changed: Arc<Notify>) -> Self {
        let mut world = Self {
            chance: Chance::new(config.seed),
            machines: Machines::default(),
            key: MaasKey::from_seed(config.seed),
            nonces: HashMap::new(),
            agents: Agents::default(),
            jobs: Jobs::default(),
            directory: Directory::new(&config),
            timers: Timers::new(timers_changed),
            faults: Faults::new(Chance::new(config.seed)),
            counters: Counters::default(),
            config,
        };
        world.populate();
        world
    }

    /// A duration of the real world, compressed.
    pub(crate) fn compressed(&self, seconds: f64) -> Duration {
        Duration::try_from_secs_f64(seconds / self.config.speed).unwrap_or(Duration::MAX)
    }

    /// Wakes `what` after this many seconds of the real world.
    pub(crate) fn wake_in(&mut self, seconds: f64, what: timer::Wake) {
        let delay = self.compressed(seconds);
        self.timers.add(delay, what);
    }

    /// An agent takes a job: it runs from now on, and how long it waited is known of its queue. Returns the job and when
    /// that was.
    pub(crate) fn start_job(&mut self, serial: u64) -> Option<(&Job, Timestamp)> {
        let now = Timestamp::now();
        self.jobs.set_state(serial, "running");
        let job = self.jobs.get_mut(serial)?;
        job.started_at = Some(now);
        let waited = now.duration_since(job.created_at).as_secs();
        let waits = &mut self.directory.wait_times;
        waits.entry(job.queue.clone()).or_default().push(waited);
        Some((job, now))
    }
}

/// Clients, tokens and queues of the pretend Testflinger: what is neither job nor agent.
pub(crate) struct Directory {
    pub(crate) clients: BTreeMap<String, ClientRecord>,
    /// Restricted queues, whoever owns them.
    pub(crate) restricted: BTreeSet<String>,
    pub(crate) refresh_tokens: HashMap<String, RefreshToken>,
    /// How many refresh tokens were given out; the next one's number.
    pub(crate) tokens_issued: u64,
    /// What signs access tokens.
    pub(crate) signing_key: String,
    /// Advertised queues and their descriptions.
    pub(crate) advertised: BTreeMap<String, AdvertisedQueue>,
    /// Seconds that jobs waited, by queue.
    pub(crate) wait_times: BTreeMap<String, Vec<i64>>,
    /// Bundles by file name, the latest only.
    pub(crate) files: HashMap<String, bytes::Bytes>,
}

/// A client's stored record.
#[derive(Debug, Clone)]
pub(crate) struct ClientRecord {
    pub(crate) secret: String,
    /// The record as the API shows it and as tokens carry it: only what is there.
    pub(crate) permissions: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug, Clone)]
pub(crate) struct RefreshToken {
    pub(crate) client_id: String,
    /// Administrators' and managers' tokens never expire.
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) revoked: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct AdvertisedQueue {
    pub(crate) description: Option<String>,
    pub(crate) images: serde_json::Map<String, serde_json::Value>,
}

impl Directory {
    fn new(config: &LabConfig) -> Self {
        let mut directory = Self {
            clients: BTreeMap::new(),
            restricted: BTreeSet::new(),
            refresh_tokens: HashMap::new(),
            tokens_issued: 0,
            signing_key: Chance::new(config.seed).key(&["signing key"], 48),
            advertised: BTreeMap::new(),
            wait_times: BTreeMap::new(),
            files: HashMap::new(),
        };
        for client in config.own_clients().iter().chain(&config.clients) {
            directory.add_client(client);
        }
        directory
    }

    fn add_client(&mut self, client: &Client) {
        let mut permissions = serde_json::Map::new();
        permissions.insert("client_id".to_owned(), client.client_id.clone().into());
        if let Some(role) = client.role {
            permissions.insert("role".to_owned(), role.as_str().into());
        }
        permissions.insert("max_priority".to_owned(), map_of(&client.max_priority));
        permissions.insert(
            "allowed_queues".to_owned(),
            client.allowed_queues.clone().into(),
        );
        permissions.insert(
            "max_reservation_time".to_owned(),
            map_of(&client.max_reservation_time),
        );
        self.restricted
            .extend(client.allowed_queues.iter().cloned());
        self.clients.insert(
            client.client_id.clone(),
            ClientRecord {
                secret: client.secret.clone(),
                permissions,
            },
        );
    }

    /// The clients that may push to a queue.
    pub(crate) fn owners(&self, queue: &str) -> Vec<&str> {
        self.clients
            .iter()
            .filter(|(_, record)| record.allowed_queues().any(|allowed| allowed == queue))
            .map(|(client_id, _)| client_id.as_str())
            .collect()
    }

    /// Restricts a queue to one more client.
    pub(crate) fn restrict(&mut self, queue: &str, client_id: &str) {
        self.restricted.insert(queue.to_owned());
        if let Some(record) = self.clients.get_mut(client_id)
            && !record.allowed_queues().any(|allowed| allowed == queue)
        {
            let allowed = record
                .permissions
                .entry("allowed_queues")
                .or_insert_with(|| Vec::<String>::new().into());
            if let Some(allowed) = allowed.as_array_mut() {
                allowed.push(queue.into());
            }
        }
    }

    /// Lifts a queue's restriction, for everyone, and takes the grant from one client.
    pub(crate) fn unrestrict(&mut self, queue: &str, client_id: &str) {
        self.restricted.remove(queue);
        if let Some(record) = self.clients.get_mut(client_id)
            && let Some(allowed) = record
                .permissions
                .get_mut("allowed_queues")
                .and_then(serde_json::Value::as_array_mut)
        {
            allowed.retain(|allowed| allowed != queue);
        }
    }
}

impl ClientRecord {
    pub(crate) fn allowed_queues(&self) -> impl Iterator<Item = &str> {
        self.permissions
            .get("allowed_queues")
            .and_then(serde_json::Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(serde_json::Value::as_str)
    }
}

fn map_of(map: &BTreeMap<String, i64>) -> serde_json::Value {
    map.iter()
        .map(|(key, value)| (key.clone(), serde_json::Value::from(*value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
