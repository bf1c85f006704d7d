//! What a scheduler does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use scheduler::{Lost, Observer, Pass};

use super::{Seconds, Word, register_seconds};

/// A pass reads some streams and buckets.
const TOOK: [f64; 8] = [0.01, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPass {
    pass: &'static str,
    outcome: &'static str,
}

pub(super) struct Passes {
    took: Family<OfPass, Histogram, fn() -> Histogram>,
    succeeded_at: Family<Word, Seconds>,
    armed: Gauge,
    brought_back: Family<Word, Counter>,
}

impl Passes {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let passes = Self {
            took: Family::new_with_constructor(|| Histogram::new(TOOK)),
            succeeded_at: Family::default(),
            armed: Gauge::default(),
            brought_back: Family::default(),
        };
        register_seconds(
            registry,
            "scheduler_pass_duration",
            "How long a pass of the scheduler took",
            passes.took.clone(),
        );
        registry.register(
            "scheduler_last_success_timestamp_seconds",
            "When a pass of the scheduler succeeded last",
            passes.succeeded_at.clone(),
        );
        registry.register(
            "slots_armed",
            "Slots that wait in the broker until they are due",
            passes.armed.clone(),
        );
        registry.register(
            "brought_back",
            "What had fallen out and was brought back by the sweep",
            passes.brought_back.clone(),
        );
        // Zero is known from the beginning: an alert on an increase would miss the first one otherwise.
        for lost in Lost::ALL {
            passes.brought_back.get_or_create_owned(&what(lost));
        }
        passes
    }
}

impl Observer for Passes {
    fn passed(&self, pass: Pass, succeeded: bool, took: Duration) {
        let label = OfPass {
            pass: pass.as_str(),
            outcome: if succeeded { "done" } else { "failed" },
        };
        self.took.get_or_create(&label).observe(took.as_secs_f64());
        if succeeded {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            self.succeeded_at
                .get_or_create(&Word("pass", pass.as_str()))
                .set(now.unwrap_or_default().as_secs_f64());
        }
    }

    fn armed(&self, slots: usize) {
        self.armed.set(slots.try_into().unwrap_or(i64::MAX));
    }

    fn brought_back(&self, lost: Lost) {
        self.brought_back.get_or_create(&what(lost)).inc();
    }
}

fn what(lost: Lost) -> Word {
    Word("what", lost.as_str())
}
