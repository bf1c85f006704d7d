//! What every command gets: the configuration, where data goes, and the way to the broker.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bus::Bus;
use bus::topology;
use ledger::Ledger;
use telemetry::Traces;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::exit::{Exit, code_of};
use crate::output::{self, Output};
use crate::service;

/// How long a role waits for a broker that is only just starting: both may come up together.
const BROKER_STARTS_WITHIN: Duration = Duration::from_secs(30);

/// How long a role that waits for a broker tries it before it says so and tries again.
const TRY: Duration = Duration::from_secs(5);

/// A command's surroundings.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) output: Output,
    /// Where traces go, if anywhere.
    pub(crate) traces: Option<Traces>,
}

impl App {
    /// The broker, for a command that a person waits for.
    pub(crate) async fn bus(&self) -> anyhow::Result<Bus> {
        Ok(Bus::connect(&self.config.nats("command", Duration::ZERO)?).await?)
    }

    /// The ledger of a broker, for a command that does something about cycles: what becomes known by it is traced.
    pub(crate) fn ledger(&self, bus: Bus) -> Ledger {
        let observers = self.traces.as_ref().map(Traces::facts);
        Ledger::new(bus).observed(observers.into_iter().collect())
    }

    /// The same for a role that has something to show meanwhile: a broker that is away is waited for, however long.
    pub(crate) async fn role_bus_some_day(&self, role: &str) -> anyhow::Result<Bus> {
        loop {
            match self.role_bus_within(role, TRY).await {
                Err(error) if code_of(&error) == Exit::Unavailable => {
                    let error: &(dyn std::error::Error + 'static) = error.as_ref();
                    tracing::warn!(error, "the broker cannot be reached, trying again");
                }
                done => return done,
            }
        }
    }

    /// The broker, for a role: with everything that is declared, and not without it.
    pub(crate) async fn role_bus(&self, role: &str) -> anyhow::Result<Bus> {
        self.role_bus_within(role, BROKER_STARTS_WITHIN).await
    }

    async fn role_bus_within(&self, role: &str, wait: Duration) -> anyhow::Result<Bus> {
        let bus = Bus::connect(&self.config.nats(role, wait)?).await?;
        for difference in topology::ensure(&bus, &self.config.topology()).await? {
            tracing::warn!("{difference}");
        }
        Ok(bus)
    }
}

/// Does some work unless the program is asked to end meanwhile.
pub(crate) async fn unless<T>(
    end: Pin<&mut (impl Future<Output = ()> + Send)>,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        () = end => None,
        done = work => Some(done),
    }
}

/// Resolves when the program is asked to end: SIGTERM or Ctrl-C. A second Ctrl-C ends it at once.
pub(crate) fn shutdown() -> anyhow::Result<impl Future<Output = ()> + Send> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        service::stopping();
        tokio::spawn(end_at_once(interrupt));
    })
}

async fn end_at_once(mut interrupt: Signal) {
    if interrupt.recv().await.is_some() {
        output::say("ended without waiting for what was begun");
        std::process::exit(130);
    }
}
