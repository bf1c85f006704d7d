//! What can be seen of a system, and the one rule.

use std::collections::BTreeSet;
use std::time::Duration;

use bus::Start;
use bus::dead::{self, Kept};
use lab::AgentView;
use model::cycle::CycleRecord;
use model::event::{Event, Fact};
use model::id::CycleId;
use model::machine::Claim;
use model::name::RackName;
use model::subject::{filter, key, stream};
use testkit::until;

use crate::{SOON, System};

/// The machines of a rack of the lab: `r1-m01` and on.
pub fn machines(rack: &str, count: usize) -> Vec<String> {
    (1..=count)
        .map(|number| format!("{rack}-m{number:02}"))
        .collect()
}

impl<B> System<B> {
    /// All events of cycles so far, in order.
    ///
    /// # Panics
    /// When the broker is away, or an event is none.
    pub async fn events(&self) -> Vec<Event> {
        let reader = self
            .bus
            .read(stream::EVENTS, filter::EVENTS, Start::All)
            .await;
        let stored = reader.expect("events can be read").to_end().await;
        stored
            .expect("events can be read")
            .iter()
            .filter(|stored| !stored.subject.starts_with("event.rack."))
            .map(|stored| Event::from_json(&stored.body).expect("an event"))
            .collect()
    }

    /// The cycles that were told to be finished, in order.
    ///
    /// # Panics
    /// As [`events`](Self::events).
    pub async fn finished(&self) -> Vec<CycleId> {
        self.events()
            .await
            .into_iter()
            .filter(|event| matches!(event.fact, Fact::CycleFinished { .. }))
            .map(|event| event.cycle)
            .collect()
    }

    /// Waits until so many cycles in all are finished, and returns the last.
    ///
    /// # Panics
    /// When they are not within the limit; the logs are then shown.
    pub async fn until_finished(&self, count: usize, limit: Duration) -> CycleId {
        until(limit, &format!("{count} cycles are finished"), async || {
            self.finished().await.len() >= count
        })
        .await;
        let finished = self.finished().await;
        assert_eq!(finished.len(), count, "{finished:?}");
        *finished.last().expect("there is one")
    }

    /// The record of a cycle.
    ///
    /// # Panics
    /// When there is none.
    pub async fn cycle(&self, rack: &str, cycle: CycleId) -> CycleRecord {
        let rack = RackName::new(rack).expect("a rack's name");
        let record = self.ledger.cycle(&rack, cycle).await;
        record.expect("it is read").expect("the cycle has a record")
    }

    /// The records of all cycles of a rack.
    ///
    /// # Panics
    /// When the broker is away.
    pub async fn cycles(&self, rack: &str) -> Vec<CycleRecord> {
        let rack = RackName::new(rack).expect("a rack's name");
        let entries = self.ledger.cycles().entries(&key::cycles_of(&rack)).await;
        let entries = entries.expect("cycles can be read");
        entries.into_values().map(|entry| entry.value).collect()
    }

    /// All dead letters.
    ///
    /// # Panics
    /// When the broker is away.
    pub async fn dead_letters(&self) -> Vec<Kept> {
        dead::list(&self.bus)
            .await
            .expect("dead letters can be read")
    }

    /// Waits until the lab has no job under way and every agent waits for one.
    ///
    /// # Panics
    /// When one does not in time.
    pub async fn until_agents_wait(&self) {
        until(SOON, "the agents wait for jobs", async || {
            let jobs = self.lab.jobs().await;
            let agents = self.lab.agents().await;
            let waits = |agent: &AgentView| agent.state.as_deref() == Some("waiting");
            jobs.iter().all(|job| !job.live) && agents.iter().all(waits)
        })
        .await;
    }

    /// Asserts the one rule: in each of these cycles each of these machines has exactly one job, and there are no
    /// other jobs.
    ///
    /// # Panics
    /// When it does not hold.
    pub async fn assert_one_job_each(&self, cycles: &[CycleId], machines: &[String]) {
        let stats = self.lab.stats().await;
        assert_eq!(stats.machines_with_two_jobs_in_one_cycle, 0, "{stats:?}");
        assert_eq!(stats.jobs_with_same_id, 0, "{stats:?}");
        let wanted: BTreeSet<&str> = machines.iter().map(String::as_str).collect();
        for cycle in cycles {
            let jobs = stats.jobs_by_cycle.get(&cycle.to_string());
            let jobs = jobs.unwrap_or_else(|| panic!("no jobs of cycle {cycle}: {stats:?}"));
            let had: BTreeSet<&str> = jobs.keys().map(String::as_str).collect();
            assert_eq!(had, wanted, "cycle {cycle}: {stats:?}");
            assert!(jobs.values().all(|count| *count == 1), "{stats:?}");
        }
        let expected = cycles.len() * machines.len();
        assert_eq!(stats.jobs_submitted, expected as u64, "{stats:?}");
    }

    /// Waits until nothing is under way: no task is stored, and every claim is idle.
    ///
    /// # Panics
    /// When something stays.
    pub async fn until_quiet(&self) {
        until(SOON, "no task and no claim is left", async || {
            let tasks = self.bus.subjects(stream::TASK, ">").await;
            let machines = self.ledger.machines().entries(">").await;
            tasks.expect("tasks can be counted").is_empty()
                && machines
                    .expect("machines can be read")
                    .values()
                    .all(|entry| entry.value.claim == Claim::Idle)
        })
        .await;
    }
}
