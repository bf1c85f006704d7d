//! Cycles and jobs as spans, when they are over: they last longer than any process may live.

use std::time::{Duration, SystemTime};

use ledger::Observer;
use model::event::{Event, Fact, Job};
use model::id::JobId;
use model::outcome::Outcome;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;

use super::parse;

pub(super) struct Facts {
    ended: mpsc::Sender<SpanData>,
}

/// What tells one span from another.
struct Part {
    name: &'static str,
    /// `None`: it is the cycle's own.
    id: Option<SpanId>,
    took: Duration,
    failed: Option<String>,
    attributes: Vec<KeyValue>,
}

impl Facts {
    pub(super) fn new(ended: mpsc::Sender<SpanData>) -> Self {
        Self { ended }
    }

    fn tell(&self, event: &Event, part: Part) {
        let Some((trace, cycle)) = parse(&event.cycle.traceparent()) else {
            return;
        };
        let end = SystemTime::from(event.time);
        let mut attributes = part.attributes;
        attributes.push(KeyValue::new("rack.name", event.rack.to_string()));
        attributes.push(KeyValue::new("cycle.id", event.cycle.to_string()));
        let id = part.id.unwrap_or(cycle);
        let data = SpanData {
            span_context: SpanContext::new(
                trace,
                id,
                TraceFlags::SAMPLED,
                false,
                Default::default(),
            ),
            parent_span_id: if id == cycle { SpanId::INVALID } else { cycle },
            parent_span_is_remote: id != cycle,
            span_kind: SpanKind::Internal,
            name: part.name.into(),
            start_time: end.checked_sub(part.took).unwrap_or(end),
            end_time: end,
            attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: part.failed.map_or(Status::Unset, Status::error),
            instrumentation_scope: InstrumentationScope::builder("racktick").build(),
        };
        // Work never waits for the collector: what does not fit is lost.
        let _ = self.ended.try_send(data);
    }
}

impl Observer for Facts {
    fn told(&self, event: &Event) {
        let cycle = |took, failed| Part {
            name: "cycle",
            id: None,
            took,
            failed,
            attributes: Vec::new(),
        };
        let job = |job: &Job, took, failed, verdict: &'static str| Part {
            name: "job",
            id: Some(id_of(job.job)),
            took,
            failed,
            attributes: vec![
                KeyValue::new("machine.name", job.machine.to_string()),
                KeyValue::new("job.id", job.job.to_string()),
                KeyValue::new("verdict", verdict),
            ],
        };
        let part = match &event.fact {
            Fact::CycleFinished { duration, .. } => cycle(*duration, None),
            Fact::CycleFailed { cause, message, .. } => {
                cycle(Duration::ZERO, Some(format!("{cause}: {message}")))
            }
            Fact::JobRejected {
                job: about,
                message,
                ..
            } => job(about, Duration::ZERO, Some(message.clone()), "rejected"),
            Fact::JobFinished {
                job: about,
                verdict,
                submitted_at,
                ..
            } => {
                let took = submitted_at.map(|at| event.time.duration_since(at));
                let took = took
                    .and_then(|took| took.try_into().ok())
                    .unwrap_or_default();
                let word = verdict.word();
                let failed = (*verdict != Outcome::Passed).then(|| word.to_owned());
                job(about, took, failed, word)
            }
            _ => return,
        };
        self.tell(event, part);
    }

    fn submitted(&self, _: Duration) {}

    fn left(&self, _: &str, _: Duration) {}
}

/// The same whoever tells it.
fn id_of(job: JobId) -> SpanId {
    let id = job.to_string().replace('-', "");
    SpanId::from_hex(&id[..16]).unwrap_or(SpanId::INVALID)
}
