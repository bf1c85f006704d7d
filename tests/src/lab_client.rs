//! The lab's control API.

use lab::{AgentView, Fault, JobView, Outcome, Phase, Stats};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Client;
use serde::de::DeserializeOwned;
use serde_json::json;

/// A lab that runs as a process of its own.
#[derive(Debug, Clone)]
pub struct LabClient {
    client: Client,
    url: String,
}

impl LabClient {
    pub(crate) fn new(url: String) -> Self {
        Self {
            client: Client::new(),
            url,
        }
    }

    /// `http://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let url = format!("{}/lab/{path}", self.url);
        let answer = self.client.get(url).send().await.expect("the lab answers");
        answer.json().await.expect("the lab's answer is known")
    }

    /// The counters.
    ///
    /// # Panics
    /// When the lab does not answer, as all of these.
    pub async fn stats(&self) -> Stats {
        self.get("stats").await
    }

    /// All jobs it was given.
    ///
    /// # Panics
    /// As [`stats`](Self::stats).
    pub async fn jobs(&self) -> Vec<JobView> {
        self.get("jobs").await
    }

    /// All agents.
    ///
    /// # Panics
    /// As [`stats`](Self::stats).
    pub async fn agents(&self) -> Vec<AgentView> {
        self.get("agents").await
    }

    /// Lets a fault strike.
    ///
    /// # Panics
    /// As [`stats`](Self::stats), and when the fault makes no sense.
    pub async fn inject(&self, fault: &Fault) {
        let url = format!("{}/lab/faults", self.url);
        let answer = self.client.post(url).json(fault).send().await;
        let answer = answer.expect("the lab answers");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Forgets faults that have not struck.
    ///
    /// # Panics
    /// As [`stats`](Self::stats).
    pub async fn clear_faults(&self) {
        let url = format!("{}/lab/faults", self.url);
        let answer = self.client.delete(url).send().await;
        assert!(answer.expect("the lab answers").status().is_success());
    }

    /// Lets the next job of this machine fail in its deployment.
    ///
    /// # Panics
    /// As [`stats`](Self::stats), and when there is no such agent.
    pub async fn fail_next(&self, machine: &str) {
        let outcome = Outcome::Fail {
            phase: Phase::Provision,
            code: 1,
        };
        let change = json!({ "next_job": outcome });
        let url = format!("{}/lab/agents/{machine}", self.url);
        let answer = self.client.patch(url).json(&change).send().await;
        let answer = answer.expect("the lab answers");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Adds a machine of this name, whatever it holds, and its agent.
    ///
    /// # Panics
    /// As [`stats`](Self::stats), and when the lab refuses.
    pub async fn add_machine(&self, rack: &str, name: &str) {
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let url = format!("{}/lab/racks/{rack}/machines/{name}", self.url);
        let answer = self.client.post(url).send().await;
        let answer = answer.expect("the lab answers");
        assert!(answer.status().is_success(), "{answer:?}");
    }
}
