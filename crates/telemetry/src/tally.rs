//! What a role did, in the few numbers that it answers with when somebody asks who is there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::runtime::End;
use bus::service::Endpoint;
use model::subject::{filter, stream};
use model::task::TaskKind;
use scheduler::{Lost, Pass};

/// How often one kind of work was done.
#[derive(Debug, Default)]
struct Count {
    done: AtomicU64,
    failed: AtomicU64,
    took: AtomicU64,
    last_failure: Mutex<&'static str>,
}

impl Count {
    /// `failure`: what became of it when it did not succeed.
    fn add(&self, failure: Option<&'static str>, took: Duration) {
        let nanoseconds = took.as_nanos().try_into().unwrap_or(u64::MAX);
        self.done.fetch_add(1, Ordering::Relaxed);
        if let Some(failure) = failure {
            self.failed.fetch_add(1, Ordering::Relaxed);
            *self.last_failure() = failure;
        }
        self.took.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    fn last_failure(&self) -> MutexGuard<'_, &'static str> {
        let last = self.last_failure.lock();
        last.unwrap_or_else(PoisonError::into_inner)
    }

    fn endpoint(
        &self,
        name: &'static str,
        subject: &'static str,
        queue_group: &'static str,
    ) -> Endpoint {
        let done = self.done.load(Ordering::Relaxed);
        let took = self.took.load(Ordering::Relaxed);
        Endpoint {
            name,
            subject,
            queue_group,
            done,
            failed: self.failed.load(Ordering::Relaxed),
            last_failure: *self.last_failure(),
            took,
            on_average: took.checked_div(done).unwrap_or(0),
        }
    }
}

/// A worker's tasks.
#[derive(Debug, Default)]
pub struct TaskTally {
    ticks: Count,
    submits: Count,
    looks: Count,
}

impl TaskTally {
    /// One endpoint for each kind of task.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        [
            (&self.ticks, TaskKind::Tick, "rack.tick"),
            (&self.submits, TaskKind::Submit, filter::SUBMITS),
            (&self.looks, TaskKind::Watch, filter::WATCHES),
        ]
        .map(|(count, kind, subject)| count.endpoint(kind.as_str(), subject, kind.as_str()))
        .into()
    }
}

impl bus::runtime::Observer for TaskTally {
    fn began(&self, _: TaskKind, _: u32, _: Option<Duration>) {}

    fn ended(&self, kind: TaskKind, end: End, took: Duration) {
        let count = match kind {
            TaskKind::Tick => &self.ticks,
            TaskKind::Submit => &self.submits,
            TaskKind::Watch => &self.looks,
        };
        let failure = match end {
            End::Done => None,
            End::Again => Some("a task comes again"),
            End::Dead => Some("a task became a dead letter"),
            End::Aborted => Some("a task was cut off"),
        };
        count.add(failure, took);
    }
}

/// A scheduler's passes.
#[derive(Debug, Default)]
pub struct PassTally {
    arming: Count,
    sweeping: Count,
}

impl PassTally {
    /// One endpoint for each kind of pass.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        vec![
            self.arming
                .endpoint(Pass::Arm.as_str(), filter::ARMED, stream::RACK),
            self.sweeping
                .endpoint(Pass::Sweep.as_str(), "task.>", stream::TASK),
        ]
    }
}

impl scheduler::Observer for PassTally {
    fn passed(&self, pass: Pass, succeeded: bool, took: Duration) {
        let failure = (!succeeded).then_some("a pass failed, and is made again");
        match pass {
            Pass::Arm => self.arming.add(failure, took),
            Pass::Sweep => self.sweeping.add(failure, took),
        }
    }

    fn armed(&self, _: usize) {}

    fn brought_back(&self, _: Lost) {}
}

#[cfg(test)]
mod tests {
    use bus::runtime::Observer as _;
    use scheduler::Observer as _;

    use super::*;

    /// Which, how often, how often in vain, and how long in all and on average.
    fn numbers(endpoints: Vec<Endpoint>) -> Vec<(&'static str, [u64; 4])> {
        let numbers = endpoints.into_iter().map(|endpoint| {
            let Endpoint {
                done,
                failed,
                took,
                on_average,
                ..
            } = endpoint;
            (endpoint.name, [done, failed, took, on_average])
        });
        numbers.collect()
    }

    #[test]
    fn each_kind_of_work_is_counted_by_itself() {
        let tally = TaskTally::default();
        for (kind, end, nanoseconds) in [
            (TaskKind::Submit, End::Done, 10),
            (TaskKind::Watch, End::Done, 30),
            (TaskKind::Watch, End::Again, 50),
            (TaskKind::Watch, End::Dead, 10),
        ] {
            tally.began(kind, 1, None);
            tally.ended(kind, end, Duration::from_nanos(nanoseconds));
        }
        assert_eq!(
            numbers(tally.endpoints()),
            [
                ("tick", [0, 0, 0, 0]),
                ("submit", [1, 0, 10, 10]),
                ("watch", [3, 2, 90, 30]),
            ]
        );
        let tally = PassTally::default();
        tally.passed(Pass::Arm, true, Duration::from_nanos(4));
        tally.passed(Pass::Sweep, false, Duration::from_nanos(6));
        assert_eq!(
            numbers(tally.endpoints()),
            [
                (Pass::Arm.as_str(), [1, 0, 4, 4]),
                (Pass::Sweep.as_str(), [1, 1, 6, 6]),
            ]
        );
    }
}
