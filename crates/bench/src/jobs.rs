//! What the lab saw: how many jobs, when, and whether any machine got none or two.

use std::collections::BTreeMap;

use anyhow::Context;
use jiff::Timestamp;
use lab::{JobView, Stats};
use serde::de::DeserializeOwned;

/// The lab as the bench looks at it, before and after a run.
pub(crate) struct Witness {
    client: reqwest::Client,
    lab: String,
    before: Stats,
}

/// What happened in the lab during a run.
pub(crate) struct Testimony {
    /// When the last job was stored.
    pub(crate) last_submit: Timestamp,
    /// Requests by endpoint.
    pub(crate) requests: BTreeMap<String, u64>,
    /// What was not exactly once. Empty is right.
    pub(crate) wrong: Vec<String>,
}

impl Witness {
    /// Remembers the lab as it is now.
    pub(crate) async fn new(lab: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let before = get(&client, &format!("{lab}/lab/stats")).await?;
        Ok(Self {
            client,
            lab: lab.into(),
            before,
        })
    }

    /// Requests since, by endpoint; our own are left out.
    pub(crate) async fn requests(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let after = self.stats().await?;
        Ok(difference(&self.before, after.requests))
    }

    /// All that the lab counts.
    pub(crate) async fn stats(&self) -> anyhow::Result<Stats> {
        get(&self.client, &format!("{}/lab/stats", self.lab)).await
    }

    /// Says what happened since, when each of these machines should have got one job.
    pub(crate) async fn testify(self, racks: &[String], ended: bool) -> anyhow::Result<Testimony> {
        let Self {
            client,
            lab,
            before,
        } = self;
        let after: Stats = get(&client, &format!("{lab}/lab/stats")).await?;
        let jobs: Vec<JobView> = get(&client, &format!("{lab}/lab/jobs")).await?;
        let machines: Vec<lab::MachineView> = get(&client, &format!("{lab}/lab/machines")).await?;
        let mut wrong = Vec::new();
        let wanted = machines
            .iter()
            .filter(|machine| racks.iter().any(|rack| machine.tags.contains(rack)));
        for machine in wanted {
            let name = &machine.hostname;
            match after.jobs_by_machine.get(name).copied().unwrap_or(0) {
                1 => {}
                count => wrong.push(format!("{name} got {count} jobs")),
            }
        }
        for (what, count) in [
            (
                "jobs with an id that was stored before",
                after.jobs_with_same_id,
            ),
            (
                "machines with two jobs in one cycle",
                after.machines_with_two_jobs_in_one_cycle,
            ),
        ] {
            if count > 0 {
                wrong.push(format!("{count} {what}"));
            }
        }
        let open = jobs.iter().filter(|job| job.state != "complete").count();
        if ended && open > 0 {
            wrong.push(format!("{open} jobs are not complete"));
        }
        let last_submit = jobs
            .iter()
            .map(|job| job.created_at)
            .max()
            .context("the lab has no job")?;
        let requests = difference(&before, after.requests);
        Ok(Testimony {
            last_submit,
            requests,
            wrong,
        })
    }
}

fn difference(before: &Stats, after: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    after
        .into_iter()
        .filter(|(endpoint, _)| !endpoint.contains(" /lab/"))
        .map(|(endpoint, count)| {
            let earlier = before.requests.get(&endpoint).copied().unwrap_or(0);
            (endpoint, count - earlier)
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

async fn get<T: DeserializeOwned>(client: &reqwest::Client, url: &str) -> anyhow::Result<T> {
    let answer = client.get(url).send().await?.error_for_status()?;
    Ok(answer.json().await?)
}
