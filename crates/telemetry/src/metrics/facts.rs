//! What becomes known of cycles and jobs.

use std::time::Duration;

use ledger::Observer;
use model::event::{Event, Fact};
use model::name::RackName;
use model::outcome::Phase;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Word, register_seconds};

/// A deployment takes from minutes to hours.
const JOB: [f64; 11] = [
    60.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0, 7200.0, 14400.0, 28800.0,
];

/// A submit leaves at once, or within the spread, which is an hour unless a policy says otherwise.
const DELAY: [f64; 11] = [
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 2700.0, 3600.0, 5400.0, 7200.0,
];

/// States that are no phases.
const OTHER_STATES: [&str; 4] = ["waiting", "running", "cancelled", "complete"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRack {
    rack: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTick {
    rack: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    rack: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfVerdict {
    rack: String,
    verdict: &'static str,
}

pub(super) struct Facts {
    ticks: Family<OfTick, Counter>,
    decisions: Family<OfReason, Counter>,
    submitted: Family<OfRack, Counter>,
    jobs: Family<OfVerdict, Counter>,
    overdue: Family<OfRack, Counter>,
    doubled: Family<OfRack, Counter>,
    job: Family<Word, Histogram, fn() -> Histogram>,
    phase: Family<Word, Histogram, fn() -> Histogram>,
    delay: Histogram,
}

impl Facts {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let facts = Self {
            ticks: Family::default(),
            decisions: Family::default(),
            submitted: Family::default(),
            jobs: Family::default(),
            overdue: Family::default(),
            doubled: Family::default(),
            job: Family::new_with_constructor(|| Histogram::new(JOB)),
            phase: Family::new_with_constructor(|| Histogram::new(JOB)),
            delay: Histogram::new(DELAY),
        };
        registry.register(
            "ticks",
            "Ticks that were taken up, by what became of the attempt",
            facts.ticks.clone(),
        );
        registry.register(
            "decisions",
            "Decisions about machines: deploy, or the reason to leave one alone",
            facts.decisions.clone(),
        );
        registry.register(
            "jobs_submitted",
            "Jobs that came to Testflinger",
            facts.submitted.clone(),
        );
        registry.register("jobs", "Jobs that ended, by verdict", facts.jobs.clone());
        registry.register(
            "jobs_overdue",
            "Jobs that ran past their deadline",
            facts.overdue.clone(),
        );
        registry.register(
            "jobs_doubled",
            "Jobs of which Testflinger had more than one",
            facts.doubled.clone(),
        );
        register_seconds(
            registry,
            "job_duration",
            "From a job's submit to its verdict",
            facts.job.clone(),
        );
        register_seconds(
            registry,
            "job_phase_duration",
            "How long jobs were in a phase, as well as looks can tell",
            facts.phase.clone(),
        );
        register_seconds(
            registry,
            "tick_to_job",
            "From a tick's decision to its job's submit, the spread included",
            facts.delay.clone(),
        );
        facts
    }

    fn ticked(&self, rack: &RackName, outcome: &'static str) {
        let rack = rack.to_string();
        self.ticks.get_or_create(&OfTick { rack, outcome }).inc();
    }

    fn decided(&self, rack: &RackName, reason: &'static str, machines: usize) {
        let rack = rack.to_string();
        let label = OfReason { rack, reason };
        let machines = machines.try_into().unwrap_or(u64::MAX);
        self.decisions.get_or_create(&label).inc_by(machines);
    }

    fn judged(&self, rack: &RackName, verdict: &'static str) {
        let rack = rack.to_string();
        self.jobs.get_or_create(&OfVerdict { rack, verdict }).inc();
    }
}

impl Observer for Facts {
    fn told(&self, event: &Event) {
        let rack = &event.rack;
        let of_rack = || OfRack {
            rack: rack.to_string(),
        };
        match &event.fact {
            Fact::CyclePlanned { deploy, skip, .. } => {
                self.ticked(rack, "planned");
                self.decided(rack, "deploy", *deploy);
                for (reason, machines) in skip {
                    self.decided(rack, reason.as_str(), *machines);
                }
            }
            Fact::CycleRetrying { .. } => self.ticked(rack, "retrying"),
            Fact::CycleFailed { .. } => self.ticked(rack, "failed"),
            Fact::TickMissed { .. } => self.ticked(rack, "missed"),
            Fact::JobSubmitted { .. } => {
                self.submitted.get_or_create(&of_rack()).inc();
            }
            Fact::JobRejected { .. } => self.judged(rack, "rejected"),
            Fact::JobOverdue { .. } => {
                self.overdue.get_or_create(&of_rack()).inc();
            }
            Fact::JobDoubled { .. } => {
                self.doubled.get_or_create(&of_rack()).inc();
            }
            Fact::JobFinished {
                verdict,
                submitted_at,
                ..
            } => {
                let verdict = verdict.word();
                self.judged(rack, verdict);
                if let Some(submitted_at) = submitted_at {
                    let took = event.time.duration_since(*submitted_at).as_secs_f64();
                    self.job
                        .get_or_create(&Word("verdict", verdict))
                        .observe(took.max(0.0));
                }
            }
            // What is left out by a submit was counted with its cycle as `deploy`.
            Fact::CycleStarted { .. }
            | Fact::CycleFinished { .. }
            | Fact::MachineSkipped { .. }
            | Fact::JobProgressed { .. } => {}
        }
    }

    fn submitted(&self, after: Duration) {
        self.delay.observe(after.as_secs_f64());
    }

    fn left(&self, state: &str, after: Duration) {
        let known = Phase::ALL.iter().map(|phase| phase.as_str());
        let phase = known.chain(OTHER_STATES).find(|known| *known == state);
        // A server's own word could be any, and each would be a label for ever.
        let label = Word("phase", phase.unwrap_or("other"));
        self.phase
            .get_or_create(&label)
            .observe(after.as_secs_f64());
    }
}
