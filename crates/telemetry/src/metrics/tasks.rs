//! How tasks go.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::runtime::{End, Observer};
use model::task::TaskKind;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Word, register_seconds};

/// A look takes some milliseconds, a tick of a large lab minutes.
const TOOK: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0,
];

/// What is due is taken at once, or lay there while no worker ran.
const WAITED: [f64; 10] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0];

const KINDS: [TaskKind; 3] = [TaskKind::Tick, TaskKind::Submit, TaskKind::Watch];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEnd {
    kind: &'static str,
    outcome: &'static str,
}

/// Everything of one kind of task, found once.
struct OfKind {
    in_flight: Gauge,
    waited: Histogram,
    redelivered: Counter,
    dead: Counter,
    took: BTreeMap<End, Histogram>,
}

pub(super) struct Tasks {
    kinds: [OfKind; 3],
}

impl Tasks {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let in_flight = Family::<Word, Gauge>::default();
        let redelivered = Family::<Word, Counter>::default();
        let dead = Family::<Word, Counter>::default();
        let waited = Family::<Word, Histogram>::new_with_constructor(|| Histogram::new(WAITED));
        let took = Family::<OfEnd, Histogram>::new_with_constructor(|| Histogram::new(TOOK));
        registry.register(
            "worker_tasks_in_flight",
            "Tasks that this worker has",
            in_flight.clone(),
        );
        registry.register(
            "task_redeliveries",
            "Tasks that came not for the first time",
            redelivered.clone(),
        );
        registry.register(
            "task_dead_letters",
            "Tasks that this worker made dead letters",
            dead.clone(),
        );
        register_seconds(
            registry,
            "task_wait",
            "From when a task was ready until a worker took it, first deliveries only",
            waited.clone(),
        );
        register_seconds(
            registry,
            "task_duration",
            "How long a worker had a task, by what became of it",
            took.clone(),
        );
        let kinds = KINDS.map(|kind| {
            let kind = kind.as_str();
            let word = Word("kind", kind);
            let took = End::ALL.map(|end| {
                let outcome = end.as_str();
                (end, took.get_or_create_owned(&OfEnd { kind, outcome }))
            });
            OfKind {
                in_flight: in_flight.get_or_create_owned(&word),
                waited: waited.get_or_create_owned(&word),
                redelivered: redelivered.get_or_create_owned(&word),
                dead: dead.get_or_create_owned(&word),
                took: took.into(),
            }
        });
        Self { kinds }
    }

    fn of(&self, kind: TaskKind) -> &OfKind {
        match kind {
            TaskKind::Tick => &self.kinds[0],
            TaskKind::Submit => &self.kinds[1],
            TaskKind::Watch => &self.kinds[2],
        }
    }
}

impl Observer for Tasks {
    fn began(&self, kind: TaskKind, attempt: u32, waited: Option<Duration>) {
        let of = self.of(kind);
        of.in_flight.inc();
        if let Some(waited) = waited {
            of.waited.observe(waited.as_secs_f64());
        }
        if attempt > 1 {
            of.redelivered.inc();
        }
    }

    fn ended(&self, kind: TaskKind, end: End, took: Duration) {
        let of = self.of(kind);
        of.in_flight.dec();
        if end == End::Dead {
            of.dead.inc();
        }
        of.took[&end].observe(took.as_secs_f64());
    }
}
