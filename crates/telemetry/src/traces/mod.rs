//! Traces over OTLP. A cycle is a trace: its id is the cycle's, so that whoever works on it, in whatever process, knows it
//! without being told.
//!
//! | span | from, to | made by |
//! | --- | --- | --- |
//! | `cycle` | the tick, the last outcome | whoever publishes the cycle's end |
//! | `job` | the submit, the verdict | whoever publishes the verdict |
//! | `tick`, `submit`, `watch` | one delivery of a task | the worker that had it |
//! | the endpoint, such as `result` | a call within a task | the same |

mod export;
mod facts;
mod layer;

use std::env;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

/// The variables that say where the collector is.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];

/// Spans that wait for the collector. What comes when there are so many is lost: work never waits for it.
const WAITING: usize = 4096;

/// Parts of the program whose spans are a trace's.
const TRACED: [&str; 2] = ["bus::runtime", "rest::call"];

/// What makes spans of what the log's spans tell.
pub type TraceLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The collector cannot be used as it is set.
#[derive(Debug, thiserror::Error)]
pub enum BadCollector {
    /// Address, headers or time limit.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT and what belongs to it cannot be used")]
    Setting(#[from] ExporterBuildError),
    /// No HTTP client can be made.
    #[error("no HTTP client can be made for OTEL_EXPORTER_OTLP_ENDPOINT")]
    Client(#[from] reqwest::Error),
}

/// The traces of this process.
pub struct Traces {
    spans: mpsc::Sender<SpanData>,
    waiting: Mutex<Option<(SpanExporter, mpsc::Receiver<SpanData>)>>,
}

/// Traces on their way.
#[must_use = "the last of them go with it"]
pub struct Exporting {
    task: JoinHandle<()>,
    ending: tokio::sync::oneshot::Sender<()>,
}

impl Traces {
    /// Traces to where the environment says, by the variables of OpenTelemetry; `None` when it says nothing, and then
    /// nothing is set up.
    ///
    /// # Errors
    /// When the variables make no sense. Whether the collector is there is not asked.
    pub fn from_environment(
        service: &'static str,
        version: &'static str,
    ) -> Result<Option<(Self, TraceLayer)>, BadCollector> {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_off =
            env::var("OTEL_SDK_DISABLED").is_ok_and(|off| off.eq_ignore_ascii_case("true"));
        if is_off || !ENDPOINTS.iter().any(|name| is_set(name)) {
            return Ok(None);
        }
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(client)
            .build()?;
        let mut resource = Resource::builder();
        if !is_set("OTEL_SERVICE_NAME") {
            resource = resource.with_service_name(service);
        }
        let version = opentelemetry::KeyValue::new("service.version", version);
        exporter.set_resource(&resource.with_attribute(version).build());
        let (spans, waiting) = mpsc::channel(WAITING);
        let layer = layer::Spans::new(spans.clone()).with_filter(filter_fn(|line| {
            // The target that the runtime asks for before it writes anything into its spans.
            let is_asked = line.target() == "trace";
            let is_part = TRACED.iter().any(|part| line.target().starts_with(part));
            is_asked || line.is_span() && is_part
        }));
        let traces = Self {
            spans,
            waiting: Mutex::new(Some((exporter, waiting))),
        };
        Ok(Some((traces, Box::new(layer))))
    }

    /// What makes spans of what becomes known.
    pub fn facts(&self) -> Arc<dyn ledger::Observer> {
        Arc::new(facts::Facts::new(self.spans.clone()))
    }

    /// Sends spans as they come, from now on. Only the first call does.
    pub fn export(&self) -> Option<Exporting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (exporter, spans) = waiting.take()?;
        let (ending, ended) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(export::export(exporter, spans, ended));
        Some(Exporting { task, ending })
    }
}

impl Exporting {
    /// Sends what is left, for at most two seconds.
    pub async fn end(self) {
        let _ = self.ending.send(());
        if tokio::time::timeout(Duration::from_secs(2), self.task)
            .await
            .is_err()
        {
            tracing::debug!("the last spans were not taken");
        }
    }
}

/// Trace and span of a `traceparent`.
fn parse(traceparent: &str) -> Option<(TraceId, SpanId)> {
    let mut parts = traceparent.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    Some((trace, span))
}
