//! One process of racktick, and the signals it gets.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// A process that can be killed and started again. It ends with this value.
pub(crate) struct Process {
    log: PathBuf,
    running: Mutex<Running>,
}

struct Running {
    command: Command,
    /// `None`: it is down because somebody wants it to be.
    child: Option<Child>,
}

impl Process {
    /// A process that is not started yet.
    pub(crate) fn new(
        mut command: Command,
        name: &str,
        arguments: Vec<String>,
        folder: &Path,
    ) -> Self {
        command
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            // A Ctrl-C at the terminal reaches this program alone, which then ends them.
            .process_group(0);
        Self {
            log: folder.join(format!("{name}.log")),
            running: Mutex::new(Running {
                command,
                child: None,
            }),
        }
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> io::Result<String> {
        std::fs::read_to_string(&self.log)
    }

    /// Starts it, unless it runs.
    pub(crate) async fn start(&self) -> anyhow::Result<()> {
        let mut running = self.running.lock().await;
        if running.child.is_some() {
            return Ok(());
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        running.command.stdout(log.try_clone()?).stderr(log);
        running.child = Some(running.command.spawn().context("racktick does not start")?);
        Ok(())
    }

    /// Starts it if it has ended by itself; returns how it ended then, with the last that it said.
    pub(crate) async fn revive(&self) -> anyhow::Result<Option<String>> {
        let ended = {
            let mut running = self.running.lock().await;
            let ended = match &mut running.child {
                Some(child) => child.try_wait()?,
                None => None,
            };
            if ended.is_some() {
                running.child = None;
            }
            ended
        };
        let Some(status) = ended else {
            return Ok(None);
        };
        let log = self.log()?;
        let last = log.trim_end().lines().next_back().unwrap_or_default();
        self.start().await?;
        Ok(Some(format!("{status}, {last}")))
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(&self) -> anyhow::Result<()> {
        if let Some(mut child) = self.running.lock().await.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// SIGSTOP.
    pub(crate) async fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP).await
    }

    /// SIGCONT.
    pub(crate) async fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT).await
    }

    /// A process that has ended by itself gets no signal.
    async fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let running = self.running.lock().await;
        let id = running.child.as_ref().and_then(Child::id);
        if let Some(pid) = id.and_then(|id| Pid::from_raw(id.cast_signed())) {
            kill_process(pid, signal).context("the process does not take the signal")?;
        }
        Ok(())
    }
}
