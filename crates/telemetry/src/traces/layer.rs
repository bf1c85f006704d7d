//! The spans of the log as spans of a trace.

use std::fmt::Debug;
use std::time::SystemTime;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};
use uuid::Uuid;

use super::parse;

/// What a task or a publishing ends with when it did not succeed.
const FAILED: [&str; 4] = ["again", "dead", "aborted", "failed"];

pub(super) struct Spans {
    ended: mpsc::Sender<SpanData>,
}

/// A span that has not ended.
struct Open {
    id: SpanId,
    begun: SystemTime,
    name: Option<String>,
    traceparent: Option<(TraceId, SpanId)>,
    outcome: Option<String>,
    attributes: Vec<KeyValue>,
}

impl Spans {
    pub(super) fn new(ended: mpsc::Sender<SpanData>) -> Self {
        Self { ended }
    }
}

impl Open {
    fn set(&mut self, field: &Field, value: Value) {
        match field.name() {
            "traceparent" => self.traceparent = parse(&value.as_str()),
            name => {
                let text = value.as_str().into_owned();
                match name {
                    // What the span is called: all tasks are one span of the log, and all calls another.
                    "kind" | "endpoint" => self.name = Some(text),
                    "outcome" => self.outcome = Some(text),
                    _ => {}
                }
                self.attributes.push(KeyValue::new(name, value));
            }
        }
    }
}

impl Visit for Open {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, i64::try_from(value).unwrap_or(i64::MAX).into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.to_owned().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, format!("{value:?}").into());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        let mut open = Open {
            id: new_id(),
            begun: SystemTime::now(),
            name: None,
            traceparent: None,
            outcome: None,
            attributes: Vec::new(),
        };
        attributes.record(&mut open);
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(open);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let Some(open) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        let above = span.parent().and_then(|parent| trace_of(&parent));
        // Work outside of any cycle is no part of a trace.
        let Some((trace, parent)) = open.traceparent.or(above) else {
            return;
        };
        let is_call = span.name() == "http";
        let status = match open.outcome.as_deref() {
            Some(outcome) if is_call && !matches!(outcome, "2xx" | "3xx") => {
                Status::error(outcome.to_owned())
            }
            Some(outcome) if FAILED.contains(&outcome) => Status::error(outcome.to_owned()),
            _ => Status::Unset,
        };
        let flags = TraceFlags::SAMPLED;
        let data = SpanData {
            span_context: SpanContext::new(trace, open.id, flags, false, Default::default()),
            parent_span_id: parent,
            parent_span_is_remote: open.traceparent.is_some(),
            span_kind: match span.name() {
                "http" => SpanKind::Client,
                "publish" => SpanKind::Producer,
                _ => SpanKind::Consumer,
            },
            name: open.name.unwrap_or_else(|| span.name().to_owned()).into(),
            start_time: open.begun,
            end_time: SystemTime::now(),
            attributes: open.attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status,
            instrumentation_scope: InstrumentationScope::builder("racktick").build(),
        };
        // Work never waits for the collector: what does not fit is lost.
        let _ = self.ended.try_send(data);
    }
}

/// The trace of an open span, and the span itself as the parent of what is within.
fn trace_of<'a, R: LookupSpan<'a>>(span: &SpanRef<'a, R>) -> Option<(TraceId, SpanId)> {
    let own = {
        let extensions = span.extensions();
        let open = extensions.get::<Open>()?;
        (open.id, open.traceparent.map(|(trace, _)| trace))
    };
    match own {
        (id, Some(trace)) => Some((trace, id)),
        (id, None) => trace_of(&span.parent()?).map(|(trace, _)| (trace, id)),
    }
}

fn new_id() -> SpanId {
    let random = Uuid::new_v4().into_bytes();
    SpanId::from(u64::from_be_bytes(
        random[8..].try_into().expect("eight of sixteen"),
    ))
}
