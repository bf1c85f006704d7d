//! `racktick scheduler`: arms slots, sweeps.

use std::pin::pin;
use std::sync::Arc;

use anyhow::Context;
use telemetry::{Metrics, PassTally};

use crate::app::{App, shutdown, unless};
use crate::{living, metrics, service};

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
    let tally = Arc::new(PassTally::default());
    let mut observers: Vec<Arc<dyn scheduler::Observer>> = vec![tally.clone()];
    let _serving = match listener {
        None => None,
        Some(listener) => {
            let (metrics, filling) = Metrics::of_scheduler(metrics::VERSION);
            observers.push(filling.passes);
            Some(metrics::serve(listener, metrics, bus.clone())?)
        }
    };
    let _announced =
        living::announce(&bus, living::SCHEDULER, None, move || tally.endpoints()).await?;
    tracing::info!("the scheduler is at work");
    let _at_work = service::at_work();
    scheduler::run(settings, app.ledger(bus), observers, shutdown)
        .await
        .context("the scheduler ended")
}
