//! Configuration: one table of settings, five places to write them, one typed result.

mod connect;
mod context;
mod file;
mod layers;
mod problem;
mod rack;
mod read;
mod settings;
mod show;
mod source;
mod text;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bus::topology::Retention;
use dashboard::web::Proxy;
use maas::{ApiKey, Limits, MaasUrl};
use model::name::RackName;
use model::policy::Policy;
use model::speed::Speed;
use secrecy::SecretString;
use testflinger::Root;

pub(crate) use layers::Places;
pub(crate) use problem::{ConfigError, Problem, nearest};
pub(crate) use rack::{RackDefaults, ScheduleWords, Shown, set_policy_text};
pub(crate) use settings::{Key, SETTINGS};
pub(crate) use show::{Row, rows};
pub(crate) use value::{Kinds, LogFormat, Replicas, duration};

use read::read;

/// Every setting, read and checked. What a role cannot do without is checked when the role asks for it.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) adhoc_racks: bool,
    pub(crate) min_every: Duration,
    pub(crate) settle: Duration,
    pub(crate) speed: Speed,
    pub(crate) nats: Nats,
    pub(crate) maas: Maas,
    pub(crate) testflinger: Testflinger,
    pub(crate) worker: Worker,
    /// Limits of HTTP calls, in real time.
    pub(crate) http: Limits,
    pub(crate) events: Retention,
    /// How long evidence is kept.
    pub(crate) evidence: Retention,
    pub(crate) dashboard: Dashboard,
    /// Where a worker or a scheduler tells its metrics, if anywhere.
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) log: Log,
    pub(crate) policy: Policy,
    pub(crate) racks: BTreeMap<RackName, RackDefaults>,
    /// The variables of OpenTelemetry, which say where traces go.
    pub(crate) otel: BTreeMap<String, String>,
    pub(crate) warnings: Vec<String>,
}

/// How to reach the broker.
#[derive(Debug)]
pub(crate) struct Nats {
    pub(crate) url: Addresses,
    pub(crate) creds: Option<PathBuf>,
    pub(crate) nkey: Option<PathBuf>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<SecretString>,
    pub(crate) token: Option<SecretString>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) certificate: Option<bus::Certificate>,
    pub(crate) inbox_prefix: Option<String>,
    pub(crate) replicas: Option<Replicas>,
    pub(crate) monitoring: Option<String>,
}

/// Addresses of the broker, with commas between. One can hold a password, so it is shown without.
pub(crate) struct Addresses(pub(crate) String);

impl std::fmt::Debug for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&bus::without_passwords(&self.0))
    }
}

/// How to reach MAAS.
#[derive(Debug)]
pub(crate) struct Maas {
    pub(crate) url: Option<MaasUrl>,
    pub(crate) api_key: Option<ApiKey>,
    pub(crate) ca: Option<PathBuf>,
}

/// How to reach Testflinger.
#[derive(Debug)]
pub(crate) struct Testflinger {
    pub(crate) server: Root,
    pub(crate) credentials: Option<testflinger::Credentials>,
    pub(crate) ca: Option<PathBuf>,
}

/// What a worker is told.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: Option<String>,
    pub(crate) concurrency: usize,
    pub(crate) only: Kinds,
    pub(crate) grace: Duration,
    pub(crate) threads: usize,
}

/// What the dashboard is told.
#[derive(Debug)]
pub(crate) struct Dashboard {
    pub(crate) listen: SocketAddr,
    pub(crate) history: PathBuf,
    pub(crate) keep: Duration,
    pub(crate) tokens: PathBuf,
    pub(crate) public_read: bool,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) hosts: Vec<String>,
}

/// How the program logs.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) filter: String,
    /// Whether somebody asked for this filter.
    pub(crate) is_set: bool,
    pub(crate) format: LogFormat,
}

/// Reads the text of a `racktick.toml` as if nothing else said anything: all values by name as `config show` prints
/// them, or everything that is wrong.
///
/// # Errors
/// One text for each thing that is wrong; none of them holds a secret's value.
pub fn check_file(text: &str) -> Result<Vec<(String, Option<String>)>, Vec<String>> {
    let mut problems = Vec::new();
    let resolved = layers::resolve_file(text, &mut problems);
    let rows = rows(&resolved);
    match read(&resolved, problems) {
        Ok(_) => Ok(rows.into_iter().map(|row| (row.name, row.value)).collect()),
        Err(ConfigError(problems)) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

impl Config {
    /// Looks everywhere, reads everything, and reports all that is wrong at once.
    pub(crate) fn load(places: &Places) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let resolved = layers::resolve(places, &mut problems);
        read(&resolved, problems)
    }

    /// As [`Config::load`], with the rows that `config show` prints.
    pub(crate) fn load_with_rows(places: &Places) -> Result<(Self, Vec<Row>), ConfigError> {
        let mut problems = Vec::new();
        let resolved = layers::resolve(places, &mut problems);
        let rows = rows(&resolved);
        read(&resolved, problems).map(|config| (config, rows))
    }
}
