//! What the lab counts: the proof that a machine got one job per cycle.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::world::World;

/// What tags the jobs of one cycle.
const CYCLE_TAG: &str = "racktick-cycle:";

/// `GET /lab/stats`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// `POST /v1/job` requests that stored a job.
    pub jobs_submitted: u64,
    /// Those of them that stored an id which was stored already.
    pub jobs_with_same_id: u64,
    /// Machines (queues) with more than one job of the same cycle, counted once per machine and cycle.
    pub machines_with_two_jobs_in_one_cycle: u64,
    /// Jobs by queue.
    pub jobs_by_machine: BTreeMap<String, u64>,
    /// Jobs by cycle, and in it by queue.
    pub jobs_by_cycle: BTreeMap<String, BTreeMap<String, u64>>,
    /// The most jobs one queue ever had at the same time, waiting ones included.
    pub most_live_jobs_on_a_machine: u32,
    /// Provisions that began on a machine that belonged to somebody else.
    pub provisions_of_foreign_machines: u64,
    /// Jobs stored now, by state.
    pub jobs_by_state: BTreeMap<String, u64>,
    /// Requests by endpoint, `POST /v1/job` and so on.
    pub requests: BTreeMap<String, u64>,
    /// Faults injected, by kind.
    pub faults: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    submitted: u64,
    with_same_id: u64,
    doubled: u64,
    by_machine: HashMap<String, u64>,
    by_cycle: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) provisions_of_foreign_machines: u64,
    requests: HashMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
}

impl Counters {
    pub(crate) fn count_request(&mut self, endpoint: &'static str) {
        *self.requests.entry(endpoint).or_default() += 1;
    }

    pub(crate) fn count_fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    pub(crate) fn count_job(&mut self, queue: &str, tags: &[String], id_is_stored: bool) {
        self.submitted += 1;
        self.with_same_id += u64::from(id_is_stored);
        match self.by_machine.get_mut(queue) {
            Some(count) => *count += 1,
            None => {
                self.by_machine.insert(queue.to_owned(), 1);
            }
        }
        if let Some(cycle) = tags.iter().find_map(|tag| tag.strip_prefix(CYCLE_TAG)) {
            let machines = self.by_cycle.entry(cycle.to_owned()).or_default();
            let jobs = machines.entry(queue.to_owned()).or_default();
            *jobs += 1;
            self.doubled += u64::from(*jobs == 2);
        }
    }

    /// Jobs ever submitted to a queue.
    pub(crate) fn jobs_of(&self, queue: &str) -> u64 {
        self.by_machine.get(queue).copied().unwrap_or(0)
    }
}

impl World {
    pub(crate) fn stats(&self) -> Stats {
        let counters = &self.counters;
        let mut jobs_by_state = BTreeMap::new();
        for job in self.jobs.iter() {
            *jobs_by_state.entry(job.state().to_owned()).or_default() += 1;
        }
        Stats {
            jobs_submitted: counters.submitted,
            jobs_with_same_id: counters.with_same_id,
            machines_with_two_jobs_in_one_cycle: counters.doubled,
            jobs_by_machine: counters.by_machine.clone().into_iter().collect(),
            jobs_by_cycle: counters.by_cycle.clone(),
            most_live_jobs_on_a_machine: self.jobs.most_live(),
            provisions_of_foreign_machines: counters.provisions_of_foreign_machines,
            jobs_by_state,
            requests: counters
                .requests
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
            faults: counters
                .faults
                .iter()
                .map(|(kind, count)| ((*kind).to_owned(), *count))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_jobs_of_a_cycle_on_one_machine_count_once() {
        let mut counters = Counters::default();
        let cycle = ["racktick".to_owned(), "racktick-cycle:c1".to_owned()];
        for _ in 0..3 {
            counters.count_job("m1", &cycle, false);
        }
        counters.count_job("m2", &cycle, true);
        counters.count_job("m1", &["racktick-cycle:c2".to_owned()], false);
        assert_eq!(
            (counters.submitted, counters.with_same_id, counters.doubled),
            (5, 1, 1)
        );
        assert_eq!(counters.by_cycle["c1"]["m1"], 3);
    }
}
