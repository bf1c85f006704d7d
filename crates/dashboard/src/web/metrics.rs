//! The fleet for Prometheus. Made anew for every scrape from the same views as the pages, so that a rack or a reason that
//! is gone leaves no figure behind. No label has one value per machine or job.

use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::problem::Problem;
use super::site::{Moment, Site};
use crate::history::standing::Health;
use crate::views::{CycleState, Fleet, RackCard};

/// The format that [`encode`] writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The roles that are counted: a stranger could call itself anything.
const ROLES: [&str; 3] = ["scheduler", "worker", "dashboard"];

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRack {
    rack: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfHealth {
    rack: String,
    health: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    rack: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRole {
    role: &'static str,
}

#[derive(Default)]
struct Metrics {
    machines: Family<OfHealth, Gauge>,
    deploying: Family<OfRack, Gauge>,
    left_alone: Family<OfReason, Gauge>,
    cycles_running: Family<OfRack, Gauge>,
    last_success: Family<OfRack, Seconds>,
    last_cycle: Family<OfRack, Seconds>,
    next_slot: Family<OfRack, Seconds>,
    paused: Family<OfRack, Gauge>,
    waiting: Family<OfKind, Gauge>,
    at_work: Family<OfKind, Gauge>,
    oldest: Family<OfKind, Seconds>,
    roles: Family<OfRole, Gauge>,
    dead_letters: Gauge,
    pending: Gauge,
    updated: Seconds,
}

pub(super) async fn answer(State(site): State<Site>) -> Response {
    let asked = site.ask(|moment| {
        let metrics = Metrics::default();
        metrics.fill(moment, &moment.reading.fleet()?);
        Ok(metrics.text())
    });
    match asked.await {
        Ok(Ok(text)) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Ok(Err(error)) => {
            tracing::error!(%error, "the metrics cannot be written");
            axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Err(error) => Problem::broken(&error).into_response(),
    }
}

impl Metrics {
    fn fill(&self, moment: &Moment, fleet: &Fleet) {
        for card in &fleet.racks {
            self.fill_rack(card);
        }
        for (rack, record) in &moment.schedules.racks {
            let label = OfRack {
                rack: rack.to_string(),
            };
            let paused = i64::from(record.paused.is_some());
            self.paused.get_or_create(&label).set(paused);
            if let Some(slot) = moment.schedules.next_slot(rack, moment.now()) {
                self.next_slot.get_or_create(&label).set(seconds(slot));
            }
        }
        for work in &moment.broker.work {
            let kind = OfKind {
                kind: work.kind.clone(),
            };
            self.waiting.get_or_create(&kind).set(gauge(work.waiting));
            self.at_work.get_or_create(&kind).set(gauge(work.at_work));
            if let Some(oldest) = work.oldest {
                self.oldest.get_or_create(&kind).set(seconds(oldest));
            }
        }
        if let Some(alive) = &moment.broker.roles {
            for role in ROLES {
                let count = alive.iter().filter(|alive| alive.role == role).count();
                self.roles.get_or_create(&OfRole { role }).set(gauge(count));
            }
        }
        self.dead_letters.set(gauge(moment.broker.dead_letters));
        self.pending.set(gauge(moment.progress.pending));
        self.updated.set(moment.progress.at.map_or(0.0, seconds));
    }

    fn fill_rack(&self, card: &RackCard) {
        let rack = OfRack {
            rack: card.rack.to_string(),
        };
        for health in Health::ALL {
            let label = OfHealth {
                rack: rack.rack.clone(),
                health: health.as_str(),
            };
            let cells = card.cells.iter().filter(|cell| cell.health == health);
            self.machines
                .get_or_create(&label)
                .set(gauge(cells.count()));
        }
        let deploying = card.cells.iter().filter(|cell| cell.job.is_some()).count();
        self.deploying.get_or_create(&rack).set(gauge(deploying));
        for skip in card
            .cells
            .iter()
            .filter_map(|cell| cell.decision.skip.as_ref())
        {
            let label = OfReason {
                rack: rack.rack.clone(),
                reason: skip.reason.as_str(),
            };
            self.left_alone.get_or_create(&label).inc();
        }
        let running = gauge(card.running.len());
        self.cycles_running.get_or_create(&rack).set(running);
        if let Some(at) = card.cells.iter().filter_map(|cell| cell.passed_at).max() {
            self.last_success.get_or_create(&rack).set(seconds(at));
        }
        if let Some(CycleState::Finished { at, .. }) = card.last.as_ref().map(|last| &last.state) {
            self.last_cycle.get_or_create(&rack).set(seconds(*at));
        }
    }

    fn text(self) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("racktick");
        registry.register("machines", "Machines by health", self.machines);
        registry.register(
            "machines_deploying",
            "Machines that have a job now",
            self.deploying,
        );
        registry.register(
            "machines_left_alone",
            "Machines that the rack's last cycle left alone, by reason",
            self.left_alone,
        );
        registry.register(
            "cycles_running",
            "Cycles that have not ended",
            self.cycles_running,
        );
        registry.register(
            "rack_last_success_timestamp_seconds",
            "When a machine of the rack deployed last",
            self.last_success,
        );
        registry.register(
            "rack_last_cycle_finished_timestamp_seconds",
            "When the rack's latest cycle finished; absent while it runs, and when it failed or was missed",
            self.last_cycle,
        );
        registry.register(
            "rack_next_slot_timestamp_seconds",
            "When the rack ticks next",
            self.next_slot,
        );
        registry.register("rack_paused", "1 while the rack is paused", self.paused);
        registry.register("tasks_waiting", "Tasks that nobody has taken", self.waiting);
        registry.register("tasks_at_work", "Tasks that workers have", self.at_work);
        registry.register(
            "tasks_oldest_timestamp_seconds",
            "When the oldest task that is not done became due; absent without any",
            self.oldest,
        );
        registry.register("roles_alive", "Processes that answer", self.roles);
        registry.register(
            "dead_letters",
            "Messages that could not succeed",
            self.dead_letters,
        );
        registry.register(
            "history_pending_events",
            "Events that the history has still to read",
            self.pending,
        );
        registry.register(
            "history_updated_timestamp_seconds",
            "When the history was up with the broker last; 0: not yet",
            self.updated,
        );
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn gauge(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
