//! Traces over OTLP. A cycle is a trace: its id is the cycle's, so that whoever works on it, in whatever process, knows it
//! without being told.
//!
//! | span | from, to | made by |
//! | --- | --- | --- |
//! | `publish` | a tick by hand, the look at what is cancelled, and what is brought back | whoever publishes it: a person's program, the dashboard, a scheduler |
//! | `cycle` | the tick, the last outcome | whoever publishes the cycle's end |
//! | `job` | the submit, the verdict | whoever publishes the verdict |
//! | `tick`, `submit`, `watch` | one delivery of a task | the worker that had it |
//! | the endpoint, such as `result` | a call within a task | the same |

mod export;
mod facts;
mod layer;
mod variables;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
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
use variables::Variables;

/// Spans that wait for the collector. What comes when there are so many is lost: work never waits for it.
const WAITING: usize = 4096;

/// Parts of the program whose spans are a trace's.
const TRACED: [&str; 3] = ["bus::runtime", "bus::publish", "rest::call"];

/// What makes spans of what the log's spans tell.
pub type TraceLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The collector cannot be used as it is set.
#[derive(Debug, thiserror::Error)]
pub enum BadCollector {
    /// The time limit.
    #[error("{name} is `{value}`: write milliseconds")]
    Timeout {
        /// The variable.
        name: &'static str,
        /// What it says.
        value: String,
    },
    /// Address or headers.
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

/// How long spans are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// After a span, others that go with it.
    gather: Duration,
    /// At the end, that the collector takes what is left.
    end: Duration,
}

impl Patience {
    /// Of a process that runs for long.
    pub const ROLE: Self = Self {
        gather: Duration::from_secs(1),
        end: Duration::from_secs(2),
    };
    /// Of a command that a person waits for: it sends at once, while it is still at work.
    pub const COMMAND: Self = Self {
        gather: Duration::ZERO,
        end: Duration::from_millis(500),
    };
}

/// Traces on their way.
#[must_use = "the last of them go with it"]
pub struct Exporting {
    end: Duration,
    task: JoinHandle<()>,
    ending: tokio::sync::oneshot::Sender<()>,
}

impl Traces {
    /// Traces to where the variables of OpenTelemetry (those that begin with `OTEL_`) say; `None` when they say nothing,
    /// and then nothing is set up. `service` is what the process is called unless they say otherwise.
    ///
    /// # Errors
    /// When the variables make no sense. Whether the collector is there is not asked.
    pub fn of(
        variables: &BTreeMap<String, String>,
        service: &'static str,
        version: &'static str,
    ) -> Result<Option<(Self, TraceLayer)>, BadCollector> {
        let variables = Variables(variables);
        let Some(endpoint) = variables.endpoint() else {
            return Ok(None);
        };
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(client)
            .with_endpoint(endpoint)
            .with_headers(variables.headers());
        if let Some(timeout) = variables.timeout()? {
            exporter = exporter.with_timeout(timeout);
        }
        let mut exporter = exporter.build()?;
        let attributes = variables.attributes(service);
        let resource = Resource::builder()
            .with_attributes(attributes)
            .with_attribute(KeyValue::new("service.version", version));
        exporter.set_resource(&resource.build());
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
    pub fn export(&self, patience: Patience) -> Option<Exporting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (exporter, spans) = waiting.take()?;
        let (ending, ended) = tokio::sync::oneshot::channel();
        let Patience { gather, end } = patience;
        let task = tokio::spawn(export::export(exporter, gather, spans, ended));
        Some(Exporting { end, task, ending })
    }
}

impl Exporting {
    /// Sends what is left, if anything is, as long as the patience lasts.
    pub async fn end(self) {
        let _ = self.ending.send(());
        if tokio::time::timeout(self.end, self.task).await.is_err() {
            tracing::warn!(
                "the collector did not take the last traces within {:?}: they are lost",
                self.end
            );
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
