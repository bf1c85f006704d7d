//! A `nats-server` that runs as our child.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use crate::fetch::Binary;

/// How long a server may take to answer.
const START: Duration = Duration::from_secs(20);
/// How long it may take to stop by itself.
const STOP: Duration = Duration::from_secs(10);

/// Which port a server listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// One that is free.
    Free,
    /// This one.
    Fixed(u16),
}

/// How to run a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens, on loopback only.
    pub port: Port,
    /// The folder it runs in, with its data, its log and what it says of itself. It must exist.
    pub folder: PathBuf,
    /// Its configuration file. Address and port above win over it, and its monitoring port becomes a free one. The
    /// data folder is `data`, or what the file says, from `folder` on.
    pub config: Option<PathBuf>,
    /// A Ctrl-C at the terminal does not reach it, so that its owner can stop it last.
    pub own_group: bool,
}

/// A server that does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program cannot be run.
    #[error("{program} cannot be run")]
    Run {
        /// Which program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder cannot be used.
    #[error("the broker's folder {} cannot be used", folder.display())]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended, or answered nothing in time.
    #[error("nats-server does not start: {why}\n{log}")]
    Start {
        /// What was seen.
        why: String,
        /// The end of its log.
        log: String,
    },
}

/// A running server. It ends with this value.
#[derive(Debug)]
pub struct Server {
    binary: Binary,
    options: Options,
    child: Child,
    listening: Listening,
}

/// What a server writes about itself.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
    #[serde(default)]
    monitoring: Vec<String>,
}

/// The ports of a server that answers.
#[derive(Debug, Clone, Copy)]
struct Listening {
    clients: u16,
    /// There is one with a configuration file only.
    monitoring: Option<u16>,
}

impl Server {
    /// Starts a server and waits until it answers.
    ///
    /// # Errors
    /// `StartError` with the end of the server's log.
    pub async fn start(binary: Binary, options: Options) -> Result<Self, StartError> {
        let (child, listening) = launch(&binary, &options).await?;
        Ok(Self {
            binary,
            options,
            child,
            listening,
        })
    }

    /// Where clients connect: `nats://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.listening.clients)
    }

    /// Where its monitoring answers, such as `/varz`; there is none without a configuration file. Another one after
    /// each start.
    pub fn monitoring(&self) -> Option<SocketAddr> {
        self.listening.monitoring.map(loopback)
    }

    /// Where its log is.
    pub fn log(&self) -> PathBuf {
        log_path(&self.options.folder)
    }

    /// Its process id; `None` when it has ended.
    pub fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// True while it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL: what was not written is lost.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// SIGSTOP: it answers nothing and keeps its connections, as one that is cut off. When this returns, all of it stands
    /// still.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn freeze(&self) -> io::Result<()> {
        let process = self.signal(Signal::STOP)?;
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        spawn_blocking(move || waitid(WaitId::Pid(process), stopped)).await??;
        Ok(())
    }

    /// SIGCONT: it goes on after [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn thaw(&self) -> io::Result<()> {
        self.signal(Signal::CONT).map(drop)
    }

    fn signal(&self, signal: Signal) -> io::Result<Pid> {
        let process = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()));
        let process =
            process.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has ended"))?;
        kill_process(process, signal)?;
        Ok(process)
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop`](Self::stop), on the same port and with the same data.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), StartError> {
        let options = Options {
            port: Port::Fixed(self.listening.clients),
            ..self.options.clone()
        };
        (self.child, self.listening) = launch(&self.binary, &options).await?;
        Ok(())
    }

    /// SIGTERM, then SIGKILL when it does not end.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(&mut self) -> io::Result<()> {
        let Some(process) = self.child.id() else {
            return Ok(());
        };
        // There is no safe call for SIGTERM in the standard library; the server has its own way to send one.
        let told = Command::new(self.binary.path())
            .arg("--signal")
            .arg(format!("term={process}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await;
        if told.is_ok_and(|status| status.success())
            && timeout(STOP, self.child.wait()).await.is_ok()
        {
            return Ok(());
        }
        self.child.kill().await
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("nats-server.log")
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// Whether a configuration says where the data is, itself or in a file that it includes.
fn has_data_folder(config: &Path) -> bool {
    let text = std::fs::read_to_string(config).unwrap_or_default();
    text.lines().map(str::trim).any(|line| {
        let included = line
            .strip_prefix("include ")
            .zip(config.parent())
            .map(|(file, folder)| folder.join(file.trim().trim_matches(['"', '\''])));
        (!line.starts_with('#') && line.contains("store_dir"))
            || included.is_some_and(|file| has_data_folder(&file))
    })
}

async fn launch(binary: &Binary, options: &Options) -> Result<(Child, Listening), StartError> {
    let program = binary.path().display().to_string();
    let port = match options.port {
        Port::Free => "-1".to_owned(),
        Port::Fixed(port) => port.to_string(),
    };
    let mut arguments: Vec<OsString> = ["-a", "127.0.0.1", "-p", &port, "-js"]
        .map(OsString::from)
        .into();
    if let Some(config) = &options.config {
        // Two servers with the same file would both want its monitoring port.
        arguments.extend(["-c".into(), config.into(), "-m".into(), "-1".into()]);
    }
    // The server refuses to be told twice.
    if !options.config.as_deref().is_some_and(has_data_folder) {
        arguments.extend(["-sd".into(), options.folder.join("data").into()]);
    }
    arguments.extend(["--ports_file_dir".into(), options.folder.clone().into()]);
    arguments.extend(["-l".into(), log_path(&options.folder).into()]);
    let mut command = Command::new(binary.path());
    if options.own_group {
        command.process_group(0);
    }
    let mut child = command
        .args(arguments)
        .current_dir(&options.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| StartError::Run { program, source })?;
    let deadline = Instant::now() + START;
    let why = loop {
        if let Some(listening) = answering(&options.folder, child.id()).await {
            return Ok((child, listening));
        }
        if let Ok(Some(status)) = child.try_wait() {
            break format!("it ended with {status}");
        }
        if Instant::now() > deadline {
            break format!("it did not answer within {START:?}");
        }
        sleep(Duration::from_millis(10)).await;
    };
    let _ = child.kill().await;
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut said).await;
    }
    let log = tokio::fs::read_to_string(log_path(&options.folder))
        .await
        .unwrap_or_default();
    let lines: Vec<&str> = log.lines().chain(said.lines()).collect();
    Err(StartError::Start {
        why,
        log: lines[lines.len().saturating_sub(10)..].join("\n"),
    })
}

/// The ports of a server that wrote its ports file and greets a client.
async fn answering(folder: &Path, process: Option<u32>) -> Option<Listening> {
    let file = folder.join(format!("nats-server_{}.ports", process?));
    let ports: Ports = serde_json::from_slice(&tokio::fs::read(file).await.ok()?).ok()?;
    let port = |urls: &[String]| urls.first()?.rsplit(':').next()?.parse().ok();
    let clients = port(&ports.nats)?;
    let mut stream = timeout(
        Duration::from_secs(1),
        TcpStream::connect(loopback(clients)),
    )
    .await
    .ok()?
    .ok()?;
    let mut greeting = [0; 4];
    timeout(Duration::from_secs(1), stream.read_exact(&mut greeting))
        .await
        .ok()?
        .ok()?;
    (&greeting == b"INFO").then_some(Listening {
        clients,
        monitoring: port(&ports.monitoring),
    })
}
