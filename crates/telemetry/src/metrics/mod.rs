//! The metrics of one process.

mod calls;
mod facts;
mod passes;
mod tasks;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bus::Bus;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use calls::Calls;
use facts::Facts;
use passes::Passes;
use tasks::Tasks;

pub use calls::Remote;

type Seconds = Gauge<f64, AtomicU64>;

/// All metrics of one role.
pub struct Metrics {
    registry: Registry,
    connected: Gauge,
    connections: Gauge,
}

/// What fills the metrics of a worker.
pub struct WorkerMetrics {
    /// How its tasks go.
    pub tasks: Arc<dyn bus::runtime::Observer>,
    /// What becomes known of cycles and jobs.
    pub facts: Arc<dyn ledger::Observer>,
    /// Calls to MAAS.
    pub maas: Arc<dyn rest::Observer>,
    /// Calls to Testflinger.
    pub testflinger: Arc<dyn rest::Observer>,
}

/// What fills the metrics of a scheduler.
pub struct SchedulerMetrics {
    /// What it does.
    pub passes: Arc<dyn scheduler::Observer>,
}

impl Metrics {
    /// The metrics of a worker, and what fills them.
    pub fn of_worker(version: &'static str) -> (Self, WorkerMetrics) {
        let mut metrics = Self::new("worker", version);
        let calls = Calls::register(&mut metrics.registry);
        let observers = WorkerMetrics {
            tasks: Arc::new(Tasks::register(&mut metrics.registry)),
            facts: Arc::new(Facts::register(&mut metrics.registry)),
            maas: Arc::new(calls.of(Remote::Maas)),
            testflinger: Arc::new(calls.of(Remote::Testflinger)),
        };
        (metrics, observers)
    }

    /// The metrics of a scheduler, and what fills them.
    pub fn of_scheduler(version: &'static str) -> (Self, SchedulerMetrics) {
        let mut metrics = Self::new("scheduler", version);
        let passes = Arc::new(Passes::register(&mut metrics.registry));
        (metrics, SchedulerMetrics { passes })
    }

    fn new(role: &'static str, version: &'static str) -> Self {
        let mut registry = Registry::with_prefix("racktick");
        let build = Info::new([("role", role), ("version", version)]);
        registry.register("build", "Which racktick this is", build);
        let (connected, connections) = (Gauge::default(), Gauge::default());
        registry.register(
            "broker_connected",
            "1 while the connection to the broker stands",
            connected.clone(),
        );
        registry.register(
            "broker_connections",
            "How often the connection to the broker was made",
            connections.clone(),
        );
        Self {
            registry,
            connected,
            connections,
        }
    }

    /// All of them as OpenMetrics text, as of now.
    ///
    /// # Errors
    /// None in practice: what is written to is a string.
    pub fn text(&self, bus: &Bus) -> Result<String, fmt::Error> {
        self.connected.set(i64::from(bus.is_connected()));
        let connections = *bus.connections().borrow();
        self.connections
            .set(connections.try_into().unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Registers something that is measured in seconds, under a name that ends with them.
fn register_seconds(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: impl prometheus_client::registry::Metric,
) {
    registry.register_with_unit(name, help, Unit::Seconds, metric);
}

/// One label whose values are words of the program.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Word(&'static str, &'static str);

impl EncodeLabelSet for Word {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [(self.0, self.1)].encode(encoder)
    }
}

#[cfg(test)]
mod tests;
