//! Everything that runs in a round, as real processes of its own: nothing is shared with another round.

mod brokers;
mod lab;
mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ::lab::LabConfig;
use anyhow::{Context, ensure};
use broker::Binary;
use bus::access::{self, KeyFile};
use bus::{Bus, Connect, Credentials};
use ledger::Ledger;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

pub(crate) use brokers::Brokers;
pub(crate) use lab::LabClient;
pub(crate) use process::Process;

use crate::fault::{Cable, Role};
use crate::plan::{EVERY, MACHINES, RACKS, SCHEDULED};
use crate::proxy::Proxy;

/// The folder of the keys; every process has its role's.
const KEYS: &str = "keys";
/// Divides every wait of the lab and of racktick: a deployment takes one to two seconds.
const SPEED: f64 = 600.0;
/// The settle time at that speed. Short enough to be waited out after the last fault.
pub(crate) const SETTLE: Duration = Duration::from_secs(5);
/// The longest a POST takes at that speed.
pub(crate) const POST_LIMIT: Duration = Duration::from_millis(1500);

/// A role with its way to the brokers.
pub(crate) struct Player {
    pub(crate) role: Role,
    pub(crate) process: Process,
    proxies: Vec<Proxy>,
}

impl Player {
    pub(crate) fn harm(&self, cable: Cable) {
        self.proxies.iter().for_each(|proxy| proxy.harm(cable));
    }

    pub(crate) fn heal(&self) {
        self.proxies.iter().for_each(Proxy::heal);
    }
}

/// The system of a round. It ends with this value.
pub(crate) struct Stage {
    pub(crate) players: Vec<Player>,
    pub(crate) brokers: Brokers,
    pub(crate) lab: LabClient,
    pub(crate) ledger: Ledger,
    program: PathBuf,
    variables: BTreeMap<String, String>,
    _lab_process: Process,
    folder: TempDir,
}

impl Stage {
    /// Starts all of it, and adds the racks.
    pub(crate) async fn set(
        program: &Path,
        binary: Binary,
        seed: u64,
        cluster: bool,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("racktick-chaos-")
            .tempdir()?;
        access::make(&folder.path().join(KEYS), &[])?;
        let brokers = Brokers::start(binary, folder.path(), cluster).await?;
        let config = LabConfig {
            racks: RACKS,
            machines: MACHINES,
            odd: ::lab::ODDITIES.len() as u32,
            fail_rate: 0.1,
            speed: SPEED,
            seed,
            ..LabConfig::default()
        };
        let lab_process = Process::new(
            command(program, folder.path(), &BTreeMap::new()),
            "lab",
            lab_flags(&config),
            folder.path(),
        );
        lab_process.start().await?;
        let lab = LabClient::of(&lab_process).await?;
        let mut variables = variables(&config, lab.authority());
        variables.insert("NATS_URL".into(), brokers.urls());
        let key = |of| key(folder.path(), of);
        variables.insert("NATS_NKEY".into(), key(access::Role::Operator));
        let mut players = Vec::new();
        for role in Role::ALL {
            let mut proxies = Vec::new();
            for address in brokers.addresses() {
                proxies.push(Proxy::to(address).await?);
            }
            let urls: Vec<String> = proxies
                .iter()
                .map(|proxy| format!("nats://{}", proxy.address()))
                .collect();
            let mut own = variables.clone();
            own.insert("NATS_URL".into(), urls.join(","));
            let name = role.to_string();
            let (arguments, access) = match role {
                Role::Scheduler(_) => (vec!["scheduler".into()], access::Role::Scheduler),
                Role::Worker(_) => (
                    vec!["worker".into(), "--name".into(), name.clone()],
                    access::Role::Worker,
                ),
            };
            own.insert("NATS_NKEY".into(), key(access));
            let command = command(program, folder.path(), &own);
            players.push(Player {
                role,
                process: Process::new(command, &name, arguments, folder.path()),
                proxies,
            });
        }
        let stage = Self {
            ledger: Ledger::new(connect(&brokers.urls(), &key(access::Role::Admin)).await?),
            players,
            brokers,
            lab,
            program: program.into(),
            variables,
            _lab_process: lab_process,
            folder,
        };
        stage.set_up(cluster).await?;
        for player in &stage.players {
            player.process.start().await?;
        }
        stage.add_racks().await?;
        Ok(stage)
    }

    /// A cluster needs a moment until it has a leader.
    async fn set_up(&self, cluster: bool) -> anyhow::Result<()> {
        const LEADS_WITHIN: Duration = Duration::from_secs(60);
        const BETWEEN_TRIES: Duration = Duration::from_secs(1);
        let key = key(self.folder.path(), access::Role::Admin);
        let mut settings = vec![("NATS_NKEY", key.as_str())];
        if cluster {
            settings.push(("RACKTICK_REPLICAS", "3"));
        }
        let deadline = Instant::now() + LEADS_WITHIN;
        while let Err(error) = self.run(&["setup"], &settings).await {
            // What it says the last time is what is wrong.
            if Instant::now() > deadline {
                return Err(error);
            }
            sleep(BETWEEN_TRIES).await;
        }
        self.brokers.check_replicas(self.ledger.bus()).await
    }

    /// Most racks have windows longer than the round, so that a machine gets its job however late; two have short ones,
    /// so that decisions become too late and fates are forgotten again.
    async fn add_racks(&self) -> anyhow::Result<()> {
        for number in 1..=RACKS {
            let rack = format!("r{number}");
            let every = match number {
                SCHEDULED => format!("{}s", EVERY.as_secs()),
                _ => "6h".into(),
            };
            let short = number % 4 == 1;
            let mut arguments = vec!["rack", "add", &rack, "--first", "slot", "--yes"];
            arguments.extend(["--every", &every]);
            let (window, spread) = if short {
                ("submit_window=100m", "spread=20m")
            } else {
                ("submit_window=20h", "spread=1h")
            };
            // A job of an agent that has forgotten it ends at its deadline, which lies inside the round.
            for value in [window, spread, "catch_up=20h", "deadline=80m"] {
                arguments.extend(["--policy", value]);
            }
            self.run(&arguments, &[]).await?;
        }
        Ok(())
    }

    /// Runs the program to its end, which must be a good one, straight at the brokers.
    pub(crate) async fn run(
        &self,
        arguments: &[&str],
        more: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let output = command(&self.program, self.folder.path(), &self.variables)
            .args(arguments)
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("racktick does not start")?;
        ensure!(
            output.status.success(),
            "racktick {} ended with {}: {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// The role's place on the stage.
    pub(crate) fn player(&self, role: Role) -> &Player {
        self.players
            .iter()
            .find(|player| player.role == role)
            .expect("every role has a player")
    }

    /// Starts every role again that has ended by itself, as a service manager would; returns which, and how it ended.
    pub(crate) async fn revive(&self) -> anyhow::Result<Vec<(Role, String)>> {
        let mut ended = Vec::new();
        for player in &self.players {
            if let Some(how) = player.process.revive().await? {
                ended.push((player.role, how));
            }
        }
        Ok(ended)
    }

    /// Leaves the folder with logs and data where it is, and says where that is.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

/// The key file of a role.
fn key(folder: &Path, role: access::Role) -> String {
    let file = folder
        .join(KEYS)
        .join(role.name())
        .join(format!("{role}.nk"));
    file.display().to_string()
}

/// A connection of this program's own, straight to the brokers.
async fn connect(urls: &str, key: &str) -> anyhow::Result<Bus> {
    let key = KeyFile::parse(&std::fs::read_to_string(key)?).context("a key file holds a key")?;
    let connect = Connect {
        wait: Duration::from_secs(20),
        credentials: Some(Credentials::Nkey(key.seed)),
        inbox_prefix: key.role.map(access::Role::inbox_prefix),
        ..Connect::to(urls, "chaos")
    };
    Ok(Bus::connect(&connect).await?)
}

fn lab_flags(config: &LabConfig) -> Vec<String> {
    [
        ("--listen", "127.0.0.1:0".to_owned()),
        ("--racks", config.racks.to_string()),
        ("--machines", config.machines.to_string()),
        ("--odd", config.odd.to_string()),
        ("--fail-rate", config.fail_rate.to_string()),
        ("--speed", config.speed.to_string()),
        ("--seed", config.seed.to_string()),
    ]
    .into_iter()
    .fold(vec!["lab".into()], |mut flags, (flag, value)| {
        flags.extend([flag.to_owned(), value]);
        flags
    })
}

/// Settings of all roles. Times are written as they would be in real time; the speed divides them.
fn variables(config: &LabConfig, authority: &str) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> =
        ::lab::environment(config, authority).into_iter().collect();
    let secret = config
        .client_secret("racktick")
        .expect("every lab has this client");
    let real = |shortened: Duration| format!("{}s", shortened.as_secs_f64() * SPEED);
    let settings = [
        ("TESTFLINGER_CLIENT_ID", "racktick".to_owned()),
        ("TESTFLINGER_SECRET_KEY", secret),
        ("RACKTICK_LOG_FORMAT", "text".into()),
        ("RACKTICK_MIN_EVERY", "1s".into()),
        ("RACKTICK_SETTLE", real(SETTLE)),
        ("RACKTICK_HTTP_CONNECT", real(Duration::from_secs(1))),
        ("RACKTICK_HTTP_FIRST_BYTE", real(POST_LIMIT)),
        ("RACKTICK_HTTP_SILENCE", real(POST_LIMIT)),
        ("RACKTICK_HTTP_TOTAL", real(POST_LIMIT)),
        ("RACKTICK_HTTP_LIST_TOTAL", real(Duration::from_secs(3))),
    ];
    variables.extend(settings.map(|(name, value)| (name.to_owned(), value)));
    variables
}

fn command(program: &Path, folder: &Path, variables: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .envs(variables);
    command
}
