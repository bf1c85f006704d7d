//! The dashboard as a process.

use testkit::until;

use crate::{Process, SOON, System};

/// Where it keeps its history, below the folder of the system.
const HISTORY: &str = "history.sqlite";

/// A running dashboard.
pub struct Dashboard {
    /// Its process.
    pub process: Process,
    url: String,
}

impl Dashboard {
    /// The root of its pages, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens, as another one takes it.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }
}

impl<B> System<B> {
    /// Starts a dashboard that everyone may read, on this address, with the history file of whichever ran before.
    ///
    /// # Panics
    /// When it does not listen in time.
    pub async fn dashboard(&self, listen: &str) -> Dashboard {
        let arguments = [
            "dashboard",
            "--listen",
            listen,
            "--history",
            HISTORY,
            "--set",
            "dashboard.public_read=true",
        ];
        // The log goes on where the process before it ended.
        let before = self
            .log_of("dashboard")
            .map_or(0, |log| log.lines().count());
        let process = self.spawn("dashboard", &arguments);
        let mut url = None;
        until(SOON, "the dashboard says where it listens", async || {
            let log = process.log();
            let mut lines = log.lines().skip(before);
            url = lines
                .find(|line| line.starts_with("http://"))
                .map(str::to_owned);
            url.is_some()
        })
        .await;
        Dashboard {
            process,
            url: url.expect("it was found"),
        }
    }
}
