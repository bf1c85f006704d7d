//! `racktick scheduler`: arms slots, sweeps.

use anyhow::Context;

use crate::app::{App, shutdown};

pub(crate) async fn run(app: &App) -> anyhow::Result<()> {
    let shutdown = shutdown()?;
    let bus = app.role_bus("scheduler").await?;
    let settings = scheduler::Settings {
        policy: app.config.policy.clone(),
        speed: app.config.speed,
        settle: app.config.timing().settle,
    };
    tracing::info!("the scheduler is at work");
    scheduler::run(settings, bus, shutdown)
        .await
        .context("the scheduler ended")
}
