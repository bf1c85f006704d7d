//! The built program as child processes.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The program, beside this test's own executable.
///
/// # Panics
/// When it was not built.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/test");
    let program = profile.join("racktick");
    assert!(
        program.is_file(),
        "{} is missing: `cargo test --workspace` builds it; before `cargo test -p tests` alone run `cargo build`",
        program.display()
    );
    program
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

/// A running `racktick`. It ends with this value.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a log file twice"))
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        Self {
            name: name.into(),
            child,
            log,
        }
    }

    /// What it is called, in its log file's name and, for a worker, in claims.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it has logged so far, and processes of the same name before it.
    ///
    /// # Panics
    /// When the log is gone.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the process's log")
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Panics
    /// When the system refuses.
    pub async fn kill_9(&mut self) {
        self.child.kill().await.expect("the process is killed");
    }

    /// SIGTERM.
    ///
    /// # Panics
    /// When it is gone already.
    pub async fn terminate(&self) {
        self.signal("-TERM").await;
    }

    /// SIGSTOP: it is there, and does nothing.
    ///
    /// # Panics
    /// When it is gone already.
    pub async fn stop(&self) {
        self.signal("-STOP").await;
    }

    /// SIGCONT.
    ///
    /// # Panics
    /// When it is gone already.
    pub async fn go_on(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it still runs");
        let told = Command::new("kill")
            .args([name, &id.to_string()])
            .status()
            .await;
        assert!(told.expect("`kill` runs").success());
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it does not within the limit.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        match timeout(limit, self.child.wait()).await {
            Ok(status) => status.expect("a child can be waited for"),
            Err(_) => panic!("{} still runs after {limit:?}:\n{}", self.name, self.log()),
        }
    }
}
