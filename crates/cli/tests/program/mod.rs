//! The real program in a directory of its own and with an empty environment.

#![allow(dead_code, reason = "not every test file uses all of it")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A place to run the program in.
pub(crate) struct Place {
    directory: TempDir,
    environment: Vec<(String, String)>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program that runs until the end of the test.
pub(crate) struct Running(Child);

impl Place {
    /// An empty directory and an empty environment.
    pub(crate) fn new() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            environment: Vec::new(),
        }
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.into(), value.to_string()));
        self
    }

    /// Writes a file.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// The program, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_racktick"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments).output().unwrap();
        Ended {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Runs the program, which must succeed, and reads what it prints as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--output", "json"]].concat());
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// What `status` says as JSON. It ends with 1 when a machine does not deploy.
    pub(crate) fn status(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[&["status", "--output", "json"], arguments].concat());
        assert!(matches!(ended.code, 0 | 1), "{arguments:?}: {ended:?}");
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Starts the program and leaves it running.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::of(self.command(arguments).spawn().unwrap())
    }
}

impl Ended {
    /// The run, if it ended with this code.
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

impl Running {
    /// Takes a started program over.
    pub(crate) fn of(child: Child) -> Self {
        Self(child)
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let told = Command::new("kill")
            .args([&format!("-{name}"), &self.0.id().to_string()])
            .status();
        assert!(told.unwrap().success());
    }

    /// Whether it handles a signal itself.
    pub(crate) fn catches(&self, signal: u32) -> bool {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
    }

    /// The exit code, once it has ended.
    pub(crate) fn code(&mut self) -> Option<i32> {
        self.0
            .try_wait()
            .unwrap()
            .map(|status| status.code().unwrap_or(-1))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
