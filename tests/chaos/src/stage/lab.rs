//! The lab's control API.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, bail};
use lab::{Fault, JobView, MachineView, Stats};
use model::name::{MachineName, RackName};
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::Process;

/// How long the lab may take to say where it listens.
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A lab that runs as a process of its own.
#[derive(Debug, Clone)]
pub(crate) struct LabClient {
    client: Client,
    authority: String,
}

impl LabClient {
    /// Waits until the process says where it listens.
    pub(crate) async fn of(process: &Process) -> anyhow::Result<Self> {
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            let log = process.log()?;
            let address = log
                .split_whitespace()
                .find_map(|word| word.strip_prefix("http://"));
            if let Some(authority) = address {
                return Ok(Self {
                    client: Client::new(),
                    authority: authority.to_owned(),
                });
            }
            if Instant::now() > deadline {
                bail!("the lab does not start: {log}");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/lab/{path}", self.authority)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.client.get(self.url(path)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    async fn tell(&self, request: RequestBuilder) -> anyhow::Result<()> {
        let answer = request.send().await.context("the lab does not answer")?;
        answer.error_for_status()?;
        Ok(())
    }

    pub(crate) async fn stats(&self) -> anyhow::Result<Stats> {
        self.get("stats").await
    }

    pub(crate) async fn jobs(&self) -> anyhow::Result<Vec<JobView>> {
        self.get("jobs").await
    }

    /// The machines of each rack, as MAAS has them.
    pub(crate) async fn racks(&self) -> anyhow::Result<BTreeMap<RackName, BTreeSet<MachineName>>> {
        let machines: Vec<MachineView> = self.get("machines").await?;
        let mut racks = BTreeMap::<RackName, BTreeSet<MachineName>>::new();
        for machine in machines {
            for tag in &machine.tags {
                if let Ok(rack) = RackName::new(tag) {
                    racks
                        .entry(rack)
                        .or_default()
                        .insert(MachineName::new(&machine.hostname)?);
                }
            }
        }
        Ok(racks)
    }

    pub(crate) async fn inject(&self, fault: &Fault) -> anyhow::Result<()> {
        self.tell(self.client.post(self.url("faults")).json(fault))
            .await
    }

    pub(crate) async fn clear_faults(&self) -> anyhow::Result<()> {
        self.tell(self.client.delete(self.url("faults"))).await
    }

    pub(crate) async fn forget(&self, job: &str) -> anyhow::Result<()> {
        self.tell(self.client.delete(self.url(&format!("jobs/{job}"))))
            .await
    }

    pub(crate) async fn restart_agents(&self) -> anyhow::Result<()> {
        self.tell(self.client.post(self.url("agents/restart")))
            .await
    }
}
