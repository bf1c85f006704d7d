//! What a lab looks like before anything happens in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::LabError;
use crate::chance::Chance;

/// How many kinds of oddness there are; see [`Oddity`].
pub const ODDITIES: [Oddity; 11] = [
    Oddity::NoAgent,
    Oddity::Offline,
    Oddity::Maintenance,
    Oddity::OtherLocation,
    Oddity::SilentAgent,
    Oddity::RestrictedQueue,
    Oddity::FailStreak,
    Oddity::Locked,
    Oddity::OwnedByPerson,
    Oddity::MaasOnly,
    Oddity::TestflingerOnly,
];

/// What is wrong with an odd machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oddity {
    /// Its agent's record has expired; the queue it advertised is still listed.
    NoAgent,
    /// An administrator took the agent offline.
    Offline,
    /// The agent is in maintenance.
    Maintenance,
    /// The agent says it stands elsewhere.
    OtherLocation,
    /// The agent's record is 30 hours old: its host is gone.
    SilentAgent,
    /// The agent's own queue is restricted to another client.
    RestrictedQueue,
    /// The last 24 provisions failed.
    FailStreak,
    /// The machine is deployed and locked in MAAS.
    Locked,
    /// A person deployed the machine in MAAS.
    OwnedByPerson,
    /// Testflinger has never heard of the machine.
    MaasOnly,
    /// An agent without a machine in MAAS.
    TestflingerOnly,
}

/// A Testflinger role, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs jobs.
    Agent,
    /// Submits and cancels jobs.
    Contributor,
    /// Manages agents and queues.
    Manager,
    /// May do everything.
    Admin,
}

impl Role {
    /// As written in tokens and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Agent => "agent",
            Role::Contributor => "contributor",
            Role::Manager => "manager",
            Role::Admin => "admin",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Role::Agent, Role::Contributor, Role::Manager, Role::Admin]
            .into_iter()
            .find(|role| role.as_str() == name)
    }
}

/// A client that may get a token from the pretend Testflinger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The user of HTTP Basic.
    pub client_id: String,
    /// The password of HTTP Basic.
    pub secret: String,
    /// `None` is how old records look; it means contributor.
    pub role: Option<Role>,
    /// Restricted queues it may push to. A queue named here is restricted.
    pub allowed_queues: Vec<String>,
    /// Highest priority per queue, `*` for all.
    pub max_priority: BTreeMap<String, i64>,
    /// Longest reservation in seconds per queue, `*` for all.
    pub max_reservation_time: BTreeMap<String, i64>,
}

impl Client {
    /// A client with a role and nothing else.
    pub fn new(client_id: impl Into<String>, secret: impl Into<String>, role: Role) -> Self {
        Self {
            client_id: client_id.into(),
            secret: secret.into(),
            role: Some(role),
            allowed_queues: Vec::new(),
            max_priority: BTreeMap::new(),
            max_reservation_time: BTreeMap::new(),
        }
    }
}

/// The lab to start.
#[derive(Debug, Clone)]
pub struct LabConfig {
    /// Racks `r1`, `r2`, ...; each is a MAAS tag.
    pub racks: u32,
    /// Machines per rack: `r1-m01`, `r1-m02`, ...
    pub machines: u32,
    /// Every duration is divided by this: 1 is real time, 60 makes a minute a second. The clock stays real.
    pub speed: f64,
    /// Where keys, durations and outcomes come from.
    pub seed: u64,
    /// Share of jobs whose provision fails, 0 to 1.
    pub fail_rate: f64,
    /// Share of jobs whose provision hangs until the job's global timeout, 0 to 1.
    pub stuck_rate: f64,
    /// Odd machines per rack, the last ones, one kind after the other as in [`ODDITIES`], then again from the first.
    pub odd: u32,
    /// No simulated agents: a job is complete at its n-th `GET /v1/result/{id}` (0: as soon as it is stored).
    pub instant: Option<u32>,
    /// Where the agents say they stand.
    pub location: String,
    /// The MAAS user of the API key; the agents deploy as this user.
    pub maas_user: String,
    /// Whether that user is a MAAS administrator.
    pub maas_admin: bool,
    /// With OIDC on, Testflinger refuses requests without a token.
    pub oidc: bool,
    /// Seconds that an access token of Testflinger lasts, in real time.
    pub token_seconds: u32,
    /// Testflinger clients besides the lab's own (see [`LabConfig::own_clients`]).
    pub clients: Vec<Client>,
    /// Bytes of provision log per job, to make result documents as large as real ones.
    pub log_bytes: usize,
}

impl Default for LabConfig {
    /// Two racks of eight machines in real time, all eligible, all jobs pass.
    fn default() -> Self {
        Self {
            racks: 2,
            machines: 8,
            speed: 1.0,
            seed: 1,
            fail_rate: 0.0,
            stuck_rate: 0.0,
            odd: 0,
            instant: None,
            location: "TOR3".to_owned(),
            maas_user: "lab".to_owned(),
            maas_admin: false,
            oidc: false,
            token_seconds: 600,
            clients: Vec::new(),
            log_bytes: 0,
        }
    }
}

impl LabConfig {
    pub(crate) fn check(&self) -> Result<(), LabError> {
        let refuse = |name, value: String, hint| Err(LabError::Setting { name, value, hint });
        if !(self.speed.is_finite() && self.speed > 0.0) {
            return refuse(
                "speed",
                self.speed.to_string(),
                "it divides durations, so it must be above 0",
            );
        }
        for (name, rate) in [
            ("fail_rate", self.fail_rate),
            ("stuck_rate", self.stuck_rate),
        ] {
            if !(0.0..=1.0).contains(&rate) {
                return refuse(name, rate.to_string(), "a share lies between 0 and 1");
            }
        }
        if self.odd > self.machines {
            return refuse(
                "odd",
                self.odd.to_string(),
                "a rack cannot have more odd machines than machines",
            );
        }
        Ok(())
    }

    /// The API key of the lab's MAAS user: consumer key, token key and token secret, from the seed.
    pub fn api_key(&self) -> String {
        let key = MaasKey::from_seed(self.seed);
        format!("{}:{}:{}", key.consumer, key.token, key.secret)
    }

    /// The clients every lab has, with secrets from the seed: `testflinger-admin` (admin), `lab-agent` (agent),
    /// `lab-manager` (manager), `racktick` (contributor) and `lab-owner` (contributor), who owns the restricted queues
    /// of odd machines.
    pub fn own_clients(&self) -> Vec<Client> {
        let chance = Chance::new(self.seed);
        [
            ("testflinger-admin", Role::Admin),
            ("lab-manager", Role::Manager),
            ("lab-agent", Role::Agent),
            ("racktick", Role::Contributor),
            ("lab-owner", Role::Contributor),
        ]
        .into_iter()
        .map(|(client_id, role)| {
            Client::new(
                client_id,
                chance.key(&["client secret", client_id], 32),
                role,
            )
        })
        .collect()
    }

    /// The secret of one of the lab's own clients.
    pub fn client_secret(&self, client_id: &str) -> Option<String> {
        self.clients
            .iter()
            .cloned()
            .chain(self.own_clients())
            .find(|client| client.client_id == client_id)
            .map(|client| client.secret)
    }
}

/// The three parts of a MAAS API key.
#[derive(Debug, Clone)]
pub(crate) struct MaasKey {
    pub(crate) consumer: String,
    pub(crate) token: String,
    pub(crate) secret: String,
}

impl MaasKey {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let chance = Chance::new(seed);
        Self {
            consumer: chance.key(&["consumer key"], 18),
            token: chance.key(&["token key"], 18),
            secret: chance.key(&["token secret"], 32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_by_name() {
        let bad = [
            LabConfig {
                speed: 0.0,
                ..LabConfig::default()
            },
            LabConfig {
                speed: f64::NAN,
                ..LabConfig::default()
            },
            LabConfig {
                fail_rate: 1.5,
                ..LabConfig::default()
            },
            LabConfig {
                stuck_rate: -0.1,
                ..LabConfig::default()
            },
            LabConfig {
                odd: 9,
                ..LabConfig::default()
            },
        ];
        let names: Vec<_> = bad
            .iter()
            .map(|config| match config.check() {
                Err(LabError::Setting { name, .. }) => name,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(names, ["speed", "speed", "fail_rate", "stuck_rate", "odd"]);
        assert!(LabConfig::default().check().is_ok());
    }
}
