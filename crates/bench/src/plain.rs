//! The plain loop: the least that does the same work, with nothing stored anywhere. It keeps everything in memory, and
//! forgets all of it when it dies.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use reqwest::header::AUTHORIZATION;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::process;
use crate::stage::LabAddress;

/// Requests at a time.
const AT_ONCE: usize = 64;

/// What the loop is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) lab: LabAddress,
    /// The racks to do, all at once.
    pub(crate) racks: Vec<String>,
    /// Looks at each job; the last one has to find it complete.
    pub(crate) looks: u32,
    /// Threads of its runtime.
    pub(crate) threads: u8,
}

/// What it measured.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) begun: Timestamp,
    pub(crate) ended: Timestamp,
    pub(crate) cpu: Duration,
}

#[derive(Deserialize)]
struct Machine {
    hostname: String,
}

#[derive(Deserialize)]
struct Agent {
    name: String,
    state: Option<String>,
    #[serde(default)]
    queues: Vec<String>,
}

#[derive(Deserialize)]
struct Result {
    job_state: String,
}

pub(crate) struct Loop {
    client: reqwest::Client,
    orders: Orders,
}

impl Loop {
    pub(crate) fn new(orders: Orders) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self { client, orders })
    }

    /// Does all racks once.
    pub(crate) async fn run(&self, racks: &[String]) -> anyhow::Result<Measured> {
        let cpu = process::cpu(std::process::id())?;
        let begun = Timestamp::now();
        let jobs = self.decide(racks).await?;
        stream::iter(&jobs)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |(job, (rack, machine))| {
                self.submit(job, rack, machine)
            })
            .await?;
        stream::iter(jobs.keys())
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |job| self.look(job))
            .await?;
        Ok(Measured {
            begun,
            ended: Timestamp::now(),
            cpu: process::cpu(std::process::id())? - cpu,
        })
    }

    /// The agents once, and each rack's machines: fewer requests than a cycle per rack makes.
    async fn decide(&self, racks: &[String]) -> anyhow::Result<BTreeMap<String, (String, String)>> {
        let url = format!("{}/v1/agents/data", self.orders.lab.testflinger);
        let agents: Vec<Agent> = self.client.get(url).send().await?.json().await?;
        let waiting: std::collections::BTreeSet<String> = agents
            .into_iter()
            .filter(|agent| {
                agent.state.as_deref() == Some("waiting") && agent.queues.contains(&agent.name)
            })
            .map(|agent| agent.name)
            .collect();
        let mut jobs = BTreeMap::new();
        for rack in racks {
            let url = format!("{}api/2.0/machines/", self.orders.lab.maas);
            let machines: Vec<Machine> = self
                .client
                .get(url)
                .query(&[("tags", rack)])
                .header(AUTHORIZATION, self.signature()?)
                .send()
                .await?
                .error_for_status()?
                .json()
                .await?;
            for machine in machines {
                if waiting.contains(&machine.hostname) {
                    let job = Uuid::new_v4().to_string();
                    jobs.insert(job, (rack.clone(), machine.hostname));
                }
            }
        }
        Ok(jobs)
    }

    /// OAuth 1.0 with the method PLAINTEXT, as MAAS wants it.
    fn signature(&self) -> anyhow::Result<String> {
        let mut parts = self.orders.lab.api_key.split(':');
        let (consumer, token, secret) = (parts.next(), parts.next(), parts.next());
        let (consumer, token) = consumer.zip(token).context("a key has three parts")?;
        let secret = secret.context("a key has three parts")?;
        Ok(format!(
            "OAuth oauth_version=\"1.0\", oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"{consumer}\", \
             oauth_token=\"{token}\", oauth_signature=\"%26{secret}\", oauth_nonce=\"{}\", oauth_timestamp=\"{}\"",
            Uuid::new_v4().simple(),
            Timestamp::now().as_second()
        ))
    }

    async fn submit(&self, job: &str, rack: &str, machine: &str) -> anyhow::Result<()> {
        let url = format!("{}/v1/job", self.orders.lab.testflinger);
        let document = json!({
            "job_id": job,
            "job_queue": machine,
            "name": format!("plain {rack} {machine}"),
            "tags": ["plain", format!("plain-rack:{rack}")],
            "provision_data": {"distro": "noble"},
            "reserve_data": {"timeout": 120},
        });
        let answer = self.client.post(url).json(&document).send().await?;
        answer.error_for_status()?.bytes().await?;
        Ok(())
    }

    async fn look(&self, job: &str) -> anyhow::Result<()> {
        let url = format!("{}/v1/result/{job}", self.orders.lab.testflinger);
        let mut state = String::new();
        for _ in 0..self.orders.looks {
            let answer = self.client.get(&url).send().await?.error_for_status()?;
            state = answer.json::<Result>().await?.job_state;
        }
        ensure!(
            state == "complete",
            "job {job} is `{state}` at its last look"
        );
        Ok(())
    }
}
