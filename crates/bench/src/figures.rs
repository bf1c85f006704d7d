//! What was measured, and how several runs are put together.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::stage::Shape;

/// One run, of the loop or of racktick.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) jobs: usize,
    /// Seconds from the tick to the last submit.
    pub(crate) dispatch: f64,
    /// Seconds from the tick to the end of the last cycle.
    pub(crate) completion: f64,
    /// User and system time of the loop or the worker, in seconds.
    pub(crate) own_cpu: f64,
    /// The same of the broker; none for the loop.
    pub(crate) broker_cpu: f64,
    /// The same of the lab, which is no part of what is compared.
    pub(crate) lab_cpu: f64,
    /// What the broker was asked for; none for the loop.
    pub(crate) broker: Option<Operations>,
    /// HTTP requests by endpoint.
    pub(crate) requests: BTreeMap<String, u64>,
    /// What was not exactly once. Empty is right.
    pub(crate) wrong: Vec<String>,
}

/// What a run asked of the broker, and what that came to. Messages that the bench itself sends to see the end are among
/// those received and sent: a few hundredths per job.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Operations {
    /// Messages that clients sent: publishes, reads, acknowledgements, requests for work.
    pub(crate) received: u64,
    /// Messages that clients got: deliveries and answers.
    pub(crate) sent: u64,
    /// Messages that streams stored, those that schedules fired included.
    pub(crate) stored: u64,
    /// Messages that streams removed again.
    pub(crate) removed: u64,
}

impl Run {
    pub(crate) fn submits_per_second(&self) -> f64 {
        self.jobs as f64 / self.dispatch
    }

    pub(crate) fn jobs_per_second(&self) -> f64 {
        self.jobs as f64 / self.completion
    }

    /// Of everything that is compared.
    pub(crate) fn cpu_per_job(&self) -> f64 {
        (self.own_cpu + self.broker_cpu) * 1000.0 / self.jobs as f64
    }
}

/// The loop and racktick, one right after the other.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Pair {
    pub(crate) plain: Run,
    pub(crate) racktick: Run,
}

/// Pairs of one shape.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cycles {
    pub(crate) shape: Shape,
    pub(crate) pairs: Vec<Pair>,
}

impl Cycles {
    pub(crate) fn of_each(&self, figure: impl Fn(&Pair) -> f64) -> Spread {
        Spread::of(self.pairs.iter().map(figure))
    }
}

/// Several values of one figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        Self {
            min: at(0),
            median: (at(last / 2) + at(values.len() / 2)) / 2.0,
            max: at(last),
        }
    }
}

/// Memory while jobs wait for their next look, in bytes. `before`: when only the first half of them waited.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Waiting {
    pub(crate) shape: Shape,
    /// Jobs that the second half added.
    pub(crate) added: usize,
    pub(crate) worker_before: u64,
    pub(crate) broker_before: u64,
    pub(crate) worker_now: u64,
    pub(crate) worker_peak: u64,
    pub(crate) broker_now: u64,
    pub(crate) wrong: Vec<String>,
}

impl Waiting {
    /// Of worker and broker together, by which they grew for each job of the second half.
    pub(crate) fn bytes_per_job(&self) -> f64 {
        let grown = |now: u64, before: u64| now as f64 - before as f64;
        let worker = grown(self.worker_now, self.worker_before);
        let broker = grown(self.broker_now, self.broker_before);
        (worker + broker) / self.added as f64
    }
}

/// What an idle system costs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Idle {
    pub(crate) racks: u32,
    pub(crate) watched: Duration,
    /// Seconds of CPU.
    pub(crate) worker: f64,
    pub(crate) scheduler: f64,
    pub(crate) broker: f64,
    /// Requests to the lab meanwhile: none, unless a slot came.
    pub(crate) requests: u64,
}

impl Idle {
    /// Of one core, in per cent.
    pub(crate) fn share(&self) -> f64 {
        (self.worker + self.scheduler + self.broker) * 100.0 / self.watched.as_secs_f64()
    }
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) cycles: Vec<Cycles>,
    pub(crate) waiting: Option<Waiting>,
    pub(crate) idle: Option<Idle>,
}

impl Figures {
    /// What was not exactly once, in whatever run.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let runs = self
            .cycles
            .iter()
            .flat_map(|cycles| &cycles.pairs)
            .flat_map(|pair| [&pair.plain, &pair.racktick])
            .flat_map(|run| &run.wrong);
        let waiting = self.waiting.iter().flat_map(|waiting| &waiting.wrong);
        runs.chain(waiting).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = Spread::of([3.0, 1.0, 10.0]);
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 3.0, 10.0));
        assert_eq!(Spread::of([1.0, 2.0]).median, 1.5);
        assert!(Spread::of([]).median.is_nan());
    }
}
