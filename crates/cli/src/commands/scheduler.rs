//! `racktick scheduler`: arms slots, sweeps.

use std::pin::pin;

use anyhow::Context;
use telemetry::Metrics;

use crate::app::{App, shutdown, unless};
use crate::{metrics, service};

pub(crate) async fn run(app: &App) -> anyhow::Result<()> {
    let mut shutdown = pin!(shutdown()?);
    let listener = metrics::listen(app.config.metrics_listen).await?;
    let Some(bus) = unless(shutdown.as_mut(), app.role_bus("scheduler")).await else {
        return Ok(());
    };
    let settings = scheduler::Settings {
        policy: app.config.policy.clone(),
        speed: app.config.speed,
        settle: app.config.timing().settle,
    };
    let bus = bus?;
    let mut observer = None;
    let _serving = match listener {
        None => None,
        Some(listener) => {
            let (metrics, observers) = Metrics::of_scheduler(metrics::VERSION);
            observer = Some(observers.passes);
            Some(metrics::serve(listener, metrics, bus.clone())?)
        }
    };
    tracing::info!("the scheduler is at work");
    let _at_work = service::at_work();
    scheduler::run(settings, bus, observer, shutdown)
        .await
        .context("the scheduler ended")
}
