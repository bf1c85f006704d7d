//! A part of the bench as a process of its own. It gets its orders as one argument, says lines of JSON, and ends when
//! its input does, so none outlives the bench.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How long a process may take to say its next line.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long it may take to end.
const END: Duration = Duration::from_secs(20);

pub(crate) struct Child {
    role: &'static str,
    process: tokio::process::Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Child {
    /// Starts a role. Its log goes into a file in this folder.
    pub(crate) fn start(
        role: &'static str,
        orders: &impl Serialize,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let log = folder.join(format!("{role}.log"));
        let stderr =
            File::create(&log).with_context(|| format!("{} cannot be made", log.display()))?;
        let mut process = Command::new(std::env::current_exe()?)
            .args([role, &serde_json::to_string(orders)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("the {role} cannot be started"))?;
        let (input, output) = process
            .stdin
            .take()
            .zip(process.stdout.take())
            .context("both were asked for")?;
        Ok(Self {
            role,
            process,
            input,
            output: BufReader::new(output).lines(),
            log,
        })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.process
            .id()
            .with_context(|| format!("the {} has ended", self.role))
    }

    /// What it says next.
    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        match timeout(PATIENCE, self.output.next_line()).await {
            Ok(Ok(Some(line))) => Ok(serde_json::from_str(&line)
                .with_context(|| format!("the {} says `{line}`", self.role))?),
            _ => bail!("the {} says nothing more\n{}", self.role, self.log_end()),
        }
    }

    /// Lets it go on.
    pub(crate) async fn go(&mut self) -> anyhow::Result<()> {
        self.input
            .write_all(b"go\n")
            .await
            .with_context(|| format!("the {} has ended", self.role))
    }

    /// Ends it and waits until it is gone.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let Self {
            mut process, input, ..
        } = self;
        drop(input);
        if timeout(END, process.wait()).await.is_err() {
            process.kill().await?;
        }
        Ok(())
    }

    /// The end of its log.
    pub(crate) fn log_end(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}
