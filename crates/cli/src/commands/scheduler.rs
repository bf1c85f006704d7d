//! `racktick scheduler`: arms slots, sweeps.

use std::pin::pin;

use anyhow::Context;

use crate::app::{App, shutdown, unless};
use crate::service;

pub(crate) async fn run(app: &App) -> anyhow::Result<()> {
    let mut shutdown = pin!(shutdown()?);
    let Some(bus) = unless(shutdown.as_mut(), app.role_bus("scheduler")).await else {
        return Ok(());
    };
    let settings = scheduler::Settings {
        policy: app.config.policy.clone(),
        speed: app.config.speed,
        settle: app.config.timing().settle,
    };
    tracing::info!("the scheduler is at work");
    let _at_work = service::at_work();
    scheduler::run(settings, bus?, shutdown)
        .await
        .context("the scheduler ended")
}
