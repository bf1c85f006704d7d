//! `racktick worker`: takes ticks, submits and looks.

use std::pin::pin;
use std::sync::Arc;

use clap::Args;
use telemetry::{Metrics, TaskTally, Traces};

use crate::app::{App, shutdown, unless};
use crate::config::Key;
use crate::{living, metrics, person, service};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Submits, and looks, at work at a time [env: RACKTICK_CONCURRENCY]
    #[arg(long, value_name = "N")]
    concurrency: Option<String>,
    /// The kinds of work taken: tick, submit, watch, with commas between [env: RACKTICK_ONLY]
    #[arg(long, value_name = "KINDS")]
    only: Option<String>,
    /// How long begun work may take to finish at shutdown [env: RACKTICK_GRACE]
    #[arg(long, value_name = "TIME")]
    grace: Option<String>,
    /// The worker's name in claims and dead letters [env: RACKTICK_WORKER_NAME]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl Arguments {
    /// The settings that the flags give.
    pub(crate) fn flags(&self) -> Vec<(Key, String, &'static str)> {
        [
            (Key::WorkerConcurrency, &self.concurrency, "--concurrency"),
            (Key::WorkerOnly, &self.only, "--only"),
            (Key::WorkerGrace, &self.grace, "--grace"),
            (Key::WorkerName, &self.name, "--name"),
        ]
        .into_iter()
        .filter_map(|(key, value, flag)| Some((key, value.clone()?, flag)))
        .collect()
    }
}

pub(crate) async fn run(app: &App) -> anyhow::Result<()> {
    let mut shutdown = pin!(shutdown()?);
    let config = &app.config;
    // Before the broker is asked: what is missing is said at once.
    let (mut maas, mut testflinger) = (config.maas()?, config.testflinger()?);
    let listener = metrics::listen(config.metrics_listen).await?;
    let name = config.worker.name.clone().unwrap_or_else(own_name);
    let Some(bus) = unless(shutdown.as_mut(), app.role_bus(&name)).await else {
        return Ok(());
    };
    let settings = worker::Settings {
        name: name.clone(),
        policy: config.policy.clone(),
        speed: config.speed,
        adhoc_racks: config.adhoc_racks,
        timing: config.timing(),
        concurrency: config.worker.concurrency,
        only: config.worker.only.0.clone(),
        grace: config.worker.grace,
    };
    let bus = bus?;
    let tally = Arc::new(TaskTally::default());
    let mut observers = worker::Observers::default();
    observers.tasks.push(tally.clone());
    let _serving = match listener {
        None => None,
        Some(listener) => {
            let (metrics, filling) = Metrics::of_worker(metrics::VERSION);
            maas = maas.observed(filling.maas);
            testflinger = testflinger.observed(filling.testflinger);
            observers.tasks.push(filling.tasks);
            observers.facts.push(filling.facts);
            Some(metrics::serve(listener, metrics, bus.clone())?)
        }
    };
    observers
        .facts
        .extend(app.traces.as_ref().map(Traces::facts));
    let _announced =
        living::announce(&bus, living::WORKER, Some(&name), move || tally.endpoints()).await?;
    tracing::info!(name, "the worker is at work");
    let _at_work = service::at_work();
    let drained = worker::run(settings, bus, maas, testflinger, observers, shutdown).await;
    tracing::info!(?drained, "the worker has ended");
    Ok(())
}

/// The host's name and the process id: in a container the one tells workers apart, on a host the other.
fn own_name() -> String {
    format!("{}-{}", person::host(), std::process::id())
}
