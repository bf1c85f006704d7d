//! Everything a story needs, and nothing that another story has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bus::dead::{self, Kept};
use bus::{Bus, Start};
use ledger::Ledger;
use model::cycle::CycleRecord;
use model::event::{Event, Fact};
use model::id::CycleId;
use model::machine::Claim;
use model::name::RackName;
use model::subject::{filter, key, stream};
use serde_json::Value;
use tempfile::TempDir;
use testkit::{Broker, until};
use tokio::process::Command;

use crate::process::program;
use crate::{Ended, LabClient, Process, nats};

/// Longer than anything takes that does not wait for a lost worker's messages, on a machine with other things to do.
pub const SOON: Duration = Duration::from_secs(60);

/// A broker, a lab, and a folder to run the program in.
pub struct System {
    /// The broker.
    pub broker: Broker,
    /// A connection to it.
    pub bus: Bus,
    /// The records.
    pub ledger: Ledger,
    /// The lab's control API.
    pub lab: LabClient,
    lab_process: Process,
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

impl System {
    /// Starts a broker and a lab with these flags, and sets the broker up.
    ///
    /// # Panics
    /// When any of it fails, as all of these.
    pub async fn start(lab_flags: &[&str]) -> Self {
        let broker = Broker::start().await;
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
            bus: broker.connect().await,
            ledger: Ledger::new(broker.connect().await),
            lab: LabClient::new(format!("http://{address}")),
            lab_process,
            variables: BTreeMap::from([
                ("NATS_URL".into(), broker.url()),
                ("RACKTICK_LOG_FORMAT".into(), "text".into()),
            ]),
            broker,
            folder,
        };
        let print_env = ["lab", "--print-env", "--listen", &address];
        for line in system.run(&[&print_env, lab_flags].concat()).await.lines() {
            let (name, value) = line.split_once('=').expect("NAME=value");
            system.set(name, value);
        }
        system.run(&["setup"]).await;
        system
    }

    /// Sets a variable for the processes to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.into(), value.into());
    }

    /// Runs the program to its end, however it ends.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn try_run(&self, arguments: &[&str]) -> Ended {
        let output = command(self.folder.path(), &self.variables)
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

    /// Starts a role and leaves it running.
    pub fn spawn(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = command(self.folder.path(), &self.variables);
        command.args(arguments);
        Process::start(name, command, self.folder.path())
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
        let patience = ["submit_window=20h", "catch_up=20h", "spread=0s"];
        let mut arguments = vec!["rack", "add", rack, "--every", "6h", "--first", "slot"];
        for value in patience {
            arguments.extend(["--policy", value]);
        }
        self.run(&arguments).await;
    }

    /// A manual tick by core NATS publish.
    ///
    /// # Panics
    /// When the broker is away.
    pub async fn tick(&self, body: &[u8]) {
        nats::publish(&self.broker.url(), "rack.tick", body).await;
    }

    /// All events so far, in order.
    ///
    /// # Panics
    /// When the broker is away, or an event is none.
    pub async fn events(&self) -> Vec<Event> {
        let reader = self
            .bus
            .read(stream::EVENTS, filter::EVENTS, Start::All)
            .await;
        let stored = reader.expect("events can be read").to_end().await;
        stored
            .expect("events can be read")
            .iter()
            .map(|stored| Event::from_json(&stored.body).expect("an event"))
            .collect()
    }

    /// The cycles that were told to be finished, in order.
    ///
    /// # Panics
    /// As [`events`](Self::events).
    pub async fn finished(&self) -> Vec<CycleId> {
        self.events()
            .await
            .into_iter()
            .filter(|event| matches!(event.fact, Fact::CycleFinished { .. }))
            .map(|event| event.cycle)
            .collect()
    }

    /// Waits until so many cycles in all are finished, and returns the last.
    ///
    /// # Panics
    /// When they are not within the limit; the logs are then shown.
    pub async fn until_finished(&self, count: usize, limit: Duration) -> CycleId {
        until(limit, &format!("{count} cycles are finished"), async || {
            self.finished().await.len() >= count
        })
        .await;
        let finished = self.finished().await;
        assert_eq!(finished.len(), count, "{finished:?}");
        *finished.last().expect("there is one")
    }

    /// The record of a cycle.
    ///
    /// # Panics
    /// When there is none.
    pub async fn cycle(&self, rack: &str, cycle: CycleId) -> CycleRecord {
        let rack = RackName::new(rack).expect("a rack's name");
        let record = self.ledger.cycle(&rack, cycle).await;
        record.expect("it is read").expect("the cycle has a record")
    }

    /// The records of all cycles of a rack.
    ///
    /// # Panics
    /// When the broker is away.
    pub async fn cycles(&self, rack: &str) -> Vec<CycleRecord> {
        let rack = RackName::new(rack).expect("a rack's name");
        let entries = self.ledger.cycles().entries(&key::cycles_of(&rack)).await;
        let entries = entries.expect("cycles can be read");
        entries.into_values().map(|entry| entry.value).collect()
    }

    /// All dead letters.
    ///
    /// # Panics
    /// When the broker is away.
    pub async fn dead_letters(&self) -> Vec<Kept> {
        dead::list(&self.bus)
            .await
            .expect("dead letters can be read")
    }

    /// Waits until every agent of the lab that can take a job waits for one.
    ///
    /// # Panics
    /// When one does not in time.
    pub async fn until_agents_wait(&self) {
        until(SOON, "the agents wait for jobs", async || {
            let jobs = self.lab.jobs().await;
            let agents = self.lab.agents().await;
            let busy =
                |agent: &&lab::AgentView| agent.job_id.as_deref().is_some_and(|id| !id.is_empty());
            jobs.iter().all(|job| !job.live)
                && agents
                    .iter()
                    .filter(|agent| agent.simulated)
                    .filter(busy)
                    .count()
                    == 0
                && agents
                    .iter()
                    .all(|agent| agent.state.as_deref() != Some("cleanup"))
        })
        .await;
    }

    /// Asserts the one rule: in each of these cycles each of these machines has exactly one job, and there are no
    /// other jobs.
    ///
    /// # Panics
    /// When it does not hold.
    pub async fn assert_one_job_each(&self, cycles: &[CycleId], machines: &[String]) {
        let stats = self.lab.stats().await;
        assert_eq!(stats.machines_with_two_jobs_in_one_cycle, 0, "{stats:?}");
        assert_eq!(stats.jobs_with_same_id, 0, "{stats:?}");
        let wanted: BTreeSet<&str> = machines.iter().map(String::as_str).collect();
        for cycle in cycles {
            let jobs = stats.jobs_by_cycle.get(&cycle.to_string());
            let jobs = jobs.unwrap_or_else(|| panic!("no jobs of cycle {cycle}: {stats:?}"));
            let had: BTreeSet<&str> = jobs.keys().map(String::as_str).collect();
            assert_eq!(had, wanted, "cycle {cycle}: {stats:?}");
            assert!(jobs.values().all(|count| *count == 1), "{stats:?}");
        }
        let expected = cycles.len() * machines.len();
        assert_eq!(stats.jobs_submitted, expected as u64, "{stats:?}");
    }

    /// Waits until nothing is under way: no task is stored, and every claim is idle.
    ///
    /// # Panics
    /// When something stays.
    pub async fn until_quiet(&self) {
        until(SOON, "no task and no claim is left", async || {
            let tasks = self.bus.subjects(stream::TASK, ">").await;
            let machines = self.ledger.machines().entries(">").await;
            tasks.expect("tasks can be counted").is_empty()
                && machines
                    .expect("machines can be read")
                    .values()
                    .all(|entry| entry.value.claim == Claim::Idle)
        })
        .await;
    }
}

impl Drop for System {
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

fn command(folder: &Path, variables: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(program());
    command
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .envs(variables);
    command
}

/// The machines of a rack of the lab: `r1-m01` and on.
pub fn machines(rack: &str, count: usize) -> Vec<String> {
    (1..=count)
        .map(|number| format!("{rack}-m{number:02}"))
        .collect()
}
