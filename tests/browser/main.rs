#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! The dashboard as people see it: Chromium, a dashboard over a broker, and a lab whose fleet is deployed meanwhile.

mod axe;
mod browser;
mod fleet;
mod outages;
mod pages;
mod pictures;

use lab::AgentView;
use testkit::until;
use tests::{SOON, System};

/// Waits until no job is under way and these machines wait for one.
async fn until_at_rest(system: &System, machines: &[String]) {
    until(SOON, "the machines wait for jobs", async || {
        let jobs = system.lab.jobs().await;
        let agents = system.lab.agents().await;
        let waits = |agent: &AgentView| agent.state.as_deref() == Some("waiting");
        let mut agents = agents.iter().filter(|agent| machines.contains(&agent.name));
        jobs.iter().all(|job| !job.live) && agents.all(waits)
    })
    .await;
}
