//! Everything a story needs, and nothing that another story has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bus::Bus;
use bus::access::Role;
use ledger::Ledger;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{Broker, Cluster, until};
use tokio::process::Command;

use crate::process::program;
use crate::slots::away_from_slots;
use crate::{Ended, LabClient, Process, nats};

/// Longer than anything takes that does not wait for a lost worker's messages, on a machine with other things to do.
pub const SOON: Duration = Duration::from_secs(60);

/// A broker, a lab, and a folder to run the program in.
pub struct System<B = Broker> {
    /// The broker, or the cluster of them.
    pub broker: B,
    /// A connection to it.
    pub bus: Bus,
    /// The records.
    pub ledger: Ledger,
    /// The lab's control API.
    pub lab: LabClient,
    lab_process: Process,
    folder: TempDir,
    variables: BTreeMap<String, String>,
    /// On a broker that tells roles apart: the key file of each.
    keys: Vec<(Role, PathBuf)>,
}

impl System {
    /// Starts a broker and a lab with these flags, and sets the broker up.
    ///
    /// # Panics
    /// When any of it fails, as all of these.
    pub async fn start(lab_flags: &[&str]) -> Self {
        Self::start_on(Broker::start().await, lab_flags).await
    }

    /// The same on a broker of one's own.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_on(broker: Broker, lab_flags: &[&str]) -> Self {
        let (url, bus) = (broker.url(), broker.connect().await);
        Self::on(broker, bus, Vec::new(), &[("NATS_URL", &url)], lab_flags).await
    }

    /// The same, with a broker that tells roles apart: each process has its own role's key.
    ///
    /// # Panics
    /// When any of it fails.
    pub async fn start_with_roles(lab_flags: &[&str]) -> Self {
        let broker = Broker::start_with_roles().await;
        let (url, bus) = (broker.url(), broker.bus_as(Role::Admin).await);
        let keys = Role::ALL.map(|role| (role, broker.key_file(role))).into();
        Self::on(broker, bus, keys, &[("NATS_URL", &url)], lab_flags).await
    }
}

impl System<Cluster> {
    /// The same with three brokers that keep everything three times.
    ///
    /// # Panics
    /// When any of it fails, as all of these.
    pub async fn start_on_cluster(lab_flags: &[&str]) -> Self {
        let cluster = Cluster::start().await;
        let (urls, bus) = (cluster.urls(), cluster.connect().await);
        let variables = [("NATS_URL", urls.as_str()), ("RACKTICK_REPLICAS", "3")];
        let system = Self::on(cluster, bus, Vec::new(), &variables, lab_flags).await;
        system.broker.until_healthy().await;
        system
    }
}

impl<B> System<B> {
    async fn on(
        broker: B,
        bus: Bus,
        keys: Vec<(Role, PathBuf)>,
        variables: &[(&str, &str)],
        lab_flags: &[&str],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder to run in");
        let mut lab_command = command(folder.path(), &BTreeMap::new());
        lab_command.args(["lab", "--listen", "127.0.0.1:0"]);
        lab_command.args(lab_flags);
        let lab_process = Process::start("lab", lab_command, folder.path());
        let mut url = None;
        until(SOON, "the lab listens", async || {
            url = lab_process.log().split_whitespace().find_map(|word| {
                let address = word.strip_prefix("http://")?;
                Some(address.trim_end_matches([';', ',', '/', '"']).to_owned())
            });
            url.is_some()
        })
        .await;
        let address = url.expect("it was found");
        let mut system = Self {
            ledger: Ledger::new(bus.clone()),
            bus,
            lab: LabClient::new(format!("http://{address}")),
            lab_process,
            variables: BTreeMap::from([
                ("RACKTICK_LOG_FORMAT".into(), "text".into()),
                // Room that stories with a small broker have, too.
                ("RACKTICK_EVENTS_MAX_BYTES".into(), "16MB".into()),
                ("RACKTICK_EVIDENCE_MAX_BYTES".into(), "4MB".into()),
            ]),
            broker,
            folder,
            keys,
        };
        for (name, value) in variables {
            system.set(name, value);
        }
        let print_env = ["lab", "--print-env", "--listen", &address];
        for line in system.run(&[&print_env, lab_flags].concat()).await.lines() {
            let (name, value) = line.split_once('=').expect("NAME=value");
            system.set(name, value);
        }
        system.run(&["setup"]).await;
        away_from_slots().await;
        system
    }

    /// Sets a variable for the processes to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.into(), value.into());
    }

    /// Writes the configuration file of the processes to come.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, text: &str) {
        let file = self.folder.path().join("racktick.toml");
        std::fs::write(file, text).expect("the configuration is written");
    }

    /// Runs the program to its end, however it ends.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn try_run(&self, arguments: &[&str]) -> Ended {
        self.try_run_as(role_of(arguments), arguments).await
    }

    /// The same with the key of this role, on a broker that tells roles apart.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn try_run_as(&self, role: Role, arguments: &[&str]) -> Ended {
        let output = self
            .command(role)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = output.await.expect("the program starts");
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into(),
            stderr: String::from_utf8_lossy(&output.stderr).into(),
        }
    }

    /// Runs the program, which must succeed, and returns its data.
    ///
    /// # Panics
    /// When it fails.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let ended = self.try_run(arguments).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended.stdout
    }

    /// The same, with the data as JSON.
    ///
    /// # Panics
    /// When it fails.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[arguments, &["--output", "json"]].concat()).await;
        serde_json::from_str(&text).expect("`--output json` prints JSON")
    }

    /// The same for a command that prints one JSON value a line.
    ///
    /// # Panics
    /// When it fails.
    pub async fn json_lines(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.run(&[arguments, &["--output", "json"]].concat()).await;
        let lines = text.lines().map(serde_json::from_str);
        lines
            .collect::<Result<_, _>>()
            .expect("one JSON value a line")
    }

    /// Starts a role and leaves it running.
    pub fn spawn(&self, name: &str, arguments: &[&str]) -> Process {
        self.spawn_as(role_of(arguments), name, arguments)
    }

    /// The same with the key of this role, on a broker that tells roles apart.
    pub fn spawn_as(&self, role: Role, name: &str, arguments: &[&str]) -> Process {
        let mut command = self.command(role);
        command.args(arguments);
        Process::start(name, command, self.folder.path())
    }

    /// What processes of this name have logged, if there was one.
    pub(crate) fn log_of(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join(format!("{name}.log"))).ok()
    }

    fn command(&self, role: Role) -> Command {
        let mut command = command(self.folder.path(), &self.variables);
        if let Some((_, key)) = self.keys.iter().find(|(of, _)| *of == role) {
            command.env("NATS_NKEY", key);
        }
        command
    }

    /// Starts a worker of this name.
    pub fn worker(&self, name: &str) -> Process {
        self.spawn(name, &["worker", "--name", name])
    }

    /// Starts a scheduler.
    pub fn scheduler(&self) -> Process {
        self.spawn("scheduler", &["scheduler"])
    }

    /// The lab's process, to end it.
    pub fn lab_process(&mut self) -> &mut Process {
        &mut self.lab_process
    }

    /// Adds a rack that ticks every 6 hours and whose times do not press: windows far longer than any story, no
    /// spread. Its first slot is hours away.
    ///
    /// # Panics
    /// When the program refuses.
    pub async fn add_rack(&self, rack: &str) {
        self.add_patient_rack(rack, "0s").await;
    }

    /// The same with an hour of spread. That takes 12 seconds at a speed of 300, in which some submits of a cycle are out
    /// and some are held back.
    ///
    /// # Panics
    /// When the program refuses.
    pub async fn add_spread_rack(&self, rack: &str) {
        self.add_patient_rack(rack, "1h").await;
    }

    async fn add_patient_rack(&self, rack: &str, spread: &str) {
        let spread = format!("spread={spread}");
        let mut arguments = vec!["rack", "add", rack, "--every", "6h", "--first", "slot"];
        for value in ["submit_window=20h", "catch_up=20h", &spread] {
            arguments.extend(["--policy", value]);
        }
        self.run(&arguments).await;
    }

    /// Waits until so many jobs are submitted.
    ///
    /// # Panics
    /// When they are not in time.
    pub async fn until_submitted(&self, jobs: u64) {
        until(SOON, "some jobs are submitted", async || {
            self.lab.stats().await.jobs_submitted >= jobs
        })
        .await;
    }
}

impl System {
    /// A manual tick by core NATS publish.
    ///
    /// # Panics
    /// When the broker is away.
    pub async fn tick(&self, body: &[u8]) {
        nats::publish(&self.broker.url(), "rack.tick", body).await;
    }
}

impl<B> Drop for System<B> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let logs = std::fs::read_dir(self.folder.path());
        for log in logs.into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(log.path()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(40)..].join("\n");
            eprintln!("--- {}\n{end}", log.path().display());
        }
    }
}

/// Whose work a command line is.
fn role_of(arguments: &[&str]) -> Role {
    match arguments.first() {
        Some(&"setup") => Role::Admin,
        Some(&"scheduler") => Role::Scheduler,
        Some(&"worker") => Role::Worker,
        _ => Role::Operator,
    }
}

fn command(folder: &Path, variables: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(program());
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .envs(variables);
    command
}
