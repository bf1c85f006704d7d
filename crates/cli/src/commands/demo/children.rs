//! The processes of the demo. All of them end with the values here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow};
use broker::{Binary, Options, Port, Server};
use lab::Stats;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::stage::Stage;
use crate::output;

/// The usual port of a broker; another is taken where it is in use.
const USUAL: u16 = 4222;

/// Somebody whose first line of output says where it listens.
struct Listening {
    name: &'static str,
    /// Its usual port; another is taken where it is in use.
    usual: u16,
}

const LAB: Listening = Listening {
    name: "lab",
    usual: 5240,
};
const DASHBOARD: Listening = Listening {
    name: "dashboard",
    usual: 8000,
};

/// How long one may take to say where it listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);

/// Finds and starts a broker.
pub(super) async fn broker(chosen: Option<PathBuf>, folder: &Path) -> anyhow::Result<Server> {
    let binary = match chosen {
        Some(path) => Binary::at(path),
        None => tokio::task::spawn_blocking(find)
            .await
            .context("looking for nats-server")??,
    };
    let data = folder.join("broker");
    std::fs::create_dir(&data)?;
    let options = |port| Options {
        port,
        folder: data.clone(),
        config: None,
        own_group: true,
    };
    if is_free(USUAL).await {
        // Somebody else may take the port in between.
        let usual = Server::start(binary.clone(), options(Port::Fixed(USUAL))).await;
        if let Ok(server) = usual {
            return Ok(server);
        }
    }
    Ok(Server::start(binary, options(Port::Free)).await?)
}

fn find() -> anyhow::Result<Binary> {
    if let Some(binary) = Binary::on_path() {
        return Ok(binary);
    }
    let cache = cache();
    output::say(format!(
        "nats-server {} is taken from {}, or fetched there once",
        broker::VERSION,
        cache.display()
    ));
    Ok(Binary::find(&cache)?)
}

/// Where a person's caches lie.
fn cache() -> PathBuf {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("racktick")
}

async fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).await.is_ok()
}

/// Lab, scheduler, workers and dashboard.
pub(super) struct Children {
    lab: String,
    dashboard: String,
    running: Vec<(&'static str, Child)>,
}

impl Children {
    pub(super) async fn start(stage: &Stage, nats_url: &str) -> anyhow::Result<Self> {
        let (lab_child, lab) = LAB
            .start(
                stage,
                |listen| {
                    let flags = stage.lab_flags(listen);
                    std::iter::once("lab".to_owned()).chain(flags).collect()
                },
                &[],
            )
            .await?;
        let environment = stage.environment(nats_url, &lab);
        let mut running = vec![("lab", lab_child)];
        for (name, arguments) in [
            ("scheduler", &["scheduler"][..]),
            ("worker-1", &["worker", "--name", "worker-1"]),
            ("worker-2", &["worker", "--name", "worker-2"]),
        ] {
            let mut command = program(stage, name)?;
            command.args(arguments).envs(environment.iter().cloned());
            running.push((
                name,
                command
                    .spawn()
                    .with_context(|| format!("cannot start the {name}"))?,
            ));
        }
        let (child, dashboard) = DASHBOARD
            .start(
                stage,
                |listen| {
                    ["dashboard", "--listen", listen]
                        .map(str::to_owned)
                        .to_vec()
                },
                &environment,
            )
            .await?;
        running.push(("dashboard", child));
        Ok(Self {
            lab,
            dashboard,
            running,
        })
    }

    /// Where the lab listens.
    pub(super) fn lab(&self) -> &str {
        &self.lab
    }

    /// Where the pages are.
    pub(super) fn dashboard(&self) -> &str {
        &self.dashboard
    }

    /// Resolves when a child has ended, which none should.
    pub(super) async fn first_to_end(&mut self) -> anyhow::Error {
        let ends = self.running.iter_mut().map(|(name, child)| {
            Box::pin(async move {
                match child.wait().await {
                    Ok(status) => anyhow!("the {name} ended with {status}"),
                    Err(error) => anyhow!("the {name} cannot be waited for: {error}"),
                }
            })
        });
        futures_util::future::select_all(ends).await.0
    }

    /// The lab's own counters.
    pub(super) async fn stats(&self) -> anyhow::Result<Stats> {
        let answer = reqwest::get(format!("{}/lab/stats", self.lab))
            .await?
            .error_for_status()?;
        Ok(answer.json().await?)
    }

    /// Ends all of them. Nothing is lost: they are made to be killed at any moment.
    pub(super) async fn stop(&mut self) {
        for (name, child) in self.running.iter_mut().rev() {
            if let Err(error) = child.kill().await {
                tracing::warn!(%error, "the {name} cannot be ended");
            }
        }
    }
}

impl Listening {
    /// Starts it on its usual port, or on any. The arguments depend on the address to listen on.
    async fn start(
        &self,
        stage: &Stage,
        arguments: impl Fn(&str) -> Vec<String>,
        environment: &[(String, String)],
    ) -> anyhow::Result<(Child, String)> {
        if is_free(self.usual).await {
            // Somebody else may take the port in between.
            let arguments = arguments(&format!("127.0.0.1:{}", self.usual));
            let usual = self.start_with(stage, arguments, environment).await;
            if usual.is_ok() {
                return usual;
            }
        }
        self.start_with(stage, arguments("127.0.0.1:0"), environment)
            .await
    }

    async fn start_with(
        &self,
        stage: &Stage,
        arguments: Vec<String>,
        environment: &[(String, String)],
    ) -> anyhow::Result<(Child, String)> {
        let name = self.name;
        let mut command = program(stage, name)?;
        command
            .args(arguments)
            .envs(environment.iter().cloned())
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        let stdout = child
            .stdout
            .take()
            .with_context(|| format!("the {name} has no output"))?;
        let mut line = String::new();
        timeout(LISTENS_WITHIN, BufReader::new(stdout).read_line(&mut line))
            .await
            .with_context(|| format!("the {name} does not start"))??;
        match line.trim() {
            "" => {
                let log = std::fs::read_to_string(log(stage, name)).unwrap_or_default();
                Err(anyhow!("the {name} ended at once: {}", log.trim()))
            }
            url => Ok((child, url.to_owned())),
        }
    }
}

fn log(stage: &Stage, name: &str) -> PathBuf {
    stage.folder().join(format!("{name}.log"))
}

/// This very program, with an empty environment, in a directory without any configuration.
fn program(stage: &Stage, name: &str) -> anyhow::Result<Command> {
    let log = File::create(log(stage, name))?;
    let mut command = Command::new(std::env::current_exe().context("which program is this?")?);
    command
        .current_dir(stage.folder())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // A Ctrl-C at the terminal reaches the demo alone, which then ends them in order.
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}
