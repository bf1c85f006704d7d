//! Racks with a schedule, the ticks that their slots bring, and the submits that a tick sends.

use std::time::Duration;

use jiff::Timestamp;
use model::rack::{Pause, RackRecord};
use model::schedule::Schedule;
use model::subject::{Subject, filter, stream};
use model::task::{Submit, Task, Tick};

use super::{Letter, Rack, ago};

const SIX_HOURS: i64 = 6 * 3600;

/// A rack that ticks every six hours on the hour.
pub(crate) fn six_hourly() -> RackRecord {
    let schedule = Schedule::Every {
        every: Duration::from_secs(SIX_HOURS as u64),
        splay: Some(Duration::ZERO),
    };
    RackRecord::new(schedule, ago(28 * SIX_HOURS))
}

/// The slot of that schedule before the next one.
pub(crate) fn last_slot() -> Timestamp {
    let now = Timestamp::now().as_second();
    Timestamp::from_second(now - now % SIX_HOURS).unwrap()
}

/// The same rack, paused.
pub(crate) fn paused() -> RackRecord {
    let pause = Pause {
        by: "ada".into(),
        why: String::new(),
        at: Timestamp::now(),
    };
    RackRecord {
        paused: Some(pause),
        ..six_hourly()
    }
}

impl Rack {
    /// A tick that a slot brought.
    pub(crate) fn slot_tick(&self, slot: Timestamp) -> Letter<Tick> {
        let rack = self.name.clone();
        Letter::tick(&self.name).scheduled_by(Subject::Slot { rack, slot })
    }

    /// The submits that may be taken, the newest of each machine.
    pub(crate) async fn sent(&self) -> Vec<Submit> {
        let subjects = self.bus.subjects(stream::TASK, filter::SUBMITS).await;
        let mut tasks = Vec::new();
        for subject in subjects.unwrap().keys() {
            let stored = self.bus.last_on(stream::TASK, subject).await.unwrap();
            tasks.push(Submit::parse(&stored.unwrap().body).unwrap());
        }
        tasks
    }

    /// How many submits may be taken, copies too.
    pub(crate) async fn count_sent(&self) -> u64 {
        let subjects = self.bus.subjects(stream::TASK, filter::SUBMITS).await;
        subjects.unwrap().values().sum()
    }
}
