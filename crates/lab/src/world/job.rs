//! Testflinger jobs and the ways in: by id, queue and tag.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The phases an agent runs, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Prepares the agent's host.
    Setup,
    /// Installs the machine.
    Provision,
    /// Updates firmware.
    FirmwareUpdate,
    /// Runs the job's commands.
    Test,
    /// Prepares a multi-machine job.
    Allocate,
    /// Keeps the machine for a person.
    Reserve,
    /// Releases the machine; always runs.
    Cleanup,
}

impl Phase {
    /// In the order they run.
    pub const ALL: [Phase; 7] = [
        Phase::Setup,
        Phase::Provision,
        Phase::FirmwareUpdate,
        Phase::Test,
        Phase::Allocate,
        Phase::Reserve,
        Phase::Cleanup,
    ];

    /// As written in states and keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Setup => "setup",
            Phase::Provision => "provision",
            Phase::FirmwareUpdate => "firmware_update",
            Phase::Test => "test",
            Phase::Allocate => "allocate",
            Phase::Reserve => "reserve",
            Phase::Cleanup => "cleanup",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == name)
    }
}

/// A piece of log, as an agent posts it.
#[derive(Debug, Clone)]
pub(crate) struct Fragment {
    pub(crate) serial: bool,
    pub(crate) phase: Phase,
    pub(crate) number: i64,
    pub(crate) timestamp: Timestamp,
    pub(crate) data: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attachments {
    None,
    Waiting,
    Complete,
}

impl Attachments {
    pub(crate) fn as_str(self) -> Option<&'static str> {
        match self {
            Attachments::None => None,
            Attachments::Waiting => Some("waiting"),
            Attachments::Complete => Some("complete"),
        }
    }
}

/// One stored job. The same id may be stored more than once.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) serial: u64,
    pub(crate) id: String,
    pub(crate) queue: String,
    pub(crate) priority: i64,
    pub(crate) tags: Vec<String>,
    pub(crate) excluded: Vec<String>,
    /// The document as checked, without `job_id`.
    pub(crate) document: Map<String, Value>,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) attachments: Attachments,
    state: String,
    pub(crate) status: BTreeMap<Phase, i64>,
    pub(crate) device_info: Option<Map<String, Value>>,
    pub(crate) logs: Vec<Fragment>,
    /// How often the result was read; an instant lab counts them.
    pub(crate) looks: u32,
    /// Not over yet for its machine: a job cancelled while running is live until it is complete.
    live: bool,
}

impl Job {
    pub(crate) fn state(&self) -> &str {
        &self.state
    }

    /// No state follows, as the server sees it.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(self.state.as_str(), "cancelled" | "complete" | "completed")
    }

    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// `{phase}_data` of the document, when it is an object that is neither empty nor to be skipped.
    pub(crate) fn data_of(&self, phase: Phase) -> Option<&Map<String, Value>> {
        let key = match phase {
            Phase::Provision => "provision_data",
            Phase::FirmwareUpdate => "firmware_update_data",
            Phase::Test => "test_data",
            Phase::Allocate => "allocate_data",
            Phase::Reserve => "reserve_data",
            Phase::Setup | Phase::Cleanup => return None,
        };
        let data = self.document.get(key)?.as_object()?;
        let skip = data.get("skip").and_then(Value::as_bool).unwrap_or(false);
        (!data.is_empty() && !skip).then_some(data)
    }

    /// Appends to the agent's log, numbered across the whole job.
    pub(crate) fn log(&mut self, phase: Phase, data: String) {
        let number = self
            .logs
            .iter()
            .filter(|fragment| !fragment.serial)
            .map(|fragment| fragment.number + 1)
            .max();
        self.logs.push(Fragment {
            serial: false,
            phase,
            number: number.unwrap_or(0),
            timestamp: Timestamp::now(),
            data,
        });
    }
}

/// What a submission brings.
#[derive(Debug)]
pub(crate) struct NewJob {
    pub(crate) id: String,
    pub(crate) queue: String,
    pub(crate) priority: i64,
    pub(crate) tags: Vec<String>,
    pub(crate) excluded: Vec<String>,
    pub(crate) attachments: Attachments,
    pub(crate) document: Map<String, Value>,
}

/// All jobs, in the order they were stored.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    jobs: BTreeMap<u64, Job>,
    stored: u64,
    by_id: HashMap<String, BTreeSet<u64>>,
    by_queue: HashMap<String, BTreeSet<u64>>,
    by_tag: HashMap<String, BTreeSet<u64>>,
    /// Waiting jobs in the order they are handed out: highest priority, then oldest.
    waiting: HashMap<String, BTreeSet<(Reverse<i64>, u64)>>,
    live: HashMap<String, u32>,
    most_live: u32,
}

impl Jobs {
    /// Stores a job, also when its id is stored already. Says under which serial.
    pub(crate) fn add(&mut self, new: NewJob) -> u64 {
        self.stored += 1;
        let serial = self.stored;
        self.by_id.entry(new.id.clone()).or_default().insert(serial);
        self.by_queue
            .entry(new.queue.clone())
            .or_default()
            .insert(serial);
        for tag in &new.tags {
            self.by_tag.entry(tag.clone()).or_default().insert(serial);
        }
        self.waiting
            .entry(new.queue.clone())
            .or_default()
            .insert((Reverse(new.priority), serial));
        let live = self.live.entry(new.queue.clone()).or_default();
        *live += 1;
        self.most_live = self.most_live.max(*live);
        let job = Job {
            serial,
            id: new.id,
            queue: new.queue,
            priority: new.priority,
            tags: new.tags,
            excluded: new.excluded,
            document: new.document,
            created_at: Timestamp::now(),
            started_at: None,
            attachments: new.attachments,
            state: "waiting".to_owned(),
            status: BTreeMap::new(),
            device_info: None,
            logs: Vec::new(),
            looks: 0,
            live: true,
        };
        self.jobs.insert(serial, job);
        serial
    }

    pub(crate) fn remove(&mut self, serial: u64) -> Option<Job> {
        let job = self.jobs.remove(&serial)?;
        self.leave_waiting(&job);
        if job.live {
            self.count_down(&job.queue);
        }
        forget(&mut self.by_id, &job.id, serial);
        forget(&mut self.by_queue, &job.queue, serial);
        for tag in &job.tags {
            forget(&mut self.by_tag, tag, serial);
        }
        Some(job)
    }

    fn leave_waiting(&mut self, job: &Job) {
        if let Some(waiting) = self.waiting.get_mut(&job.queue) {
            waiting.remove(&(Reverse(job.priority), job.serial));
        }
    }

    fn count_down(&mut self, queue: &str) {
        if let Some(live) = self.live.get_mut(queue) {
            *live = live.saturating_sub(1);
        }
    }

    /// Any string is stored, whatever the state was, as the server does.
    pub(crate) fn set_state(&mut self, serial: u64, state: &str) {
        let Some(job) = self.jobs.get_mut(&serial) else {
            return;
        };
        let was_waiting = job.state == "waiting";
        let over =
            matches!(state, "complete" | "completed") || (was_waiting && state == "cancelled");
        let ended = job.live && over;
        job.live &= !over;
        job.state.clear();
        job.state.push_str(state);
        let (queue, place) = (job.queue.clone(), (Reverse(job.priority), serial));
        if was_waiting != (state == "waiting") {
            let waiting = self.waiting.entry(queue.clone()).or_default();
            if was_waiting {
                waiting.remove(&place);
            } else {
                waiting.insert(place);
            }
        }
        if ended {
            self.count_down(&queue);
        }
    }

    /// The first job stored under an id.
    pub(crate) fn first(&self, id: &str) -> Option<&Job> {
        self.all(id).next()
    }

    pub(crate) fn first_mut(&mut self, id: &str) -> Option<&mut Job> {
        let serial = self.by_id.get(id)?.first().copied()?;
        self.jobs.get_mut(&serial)
    }

    /// All jobs stored under an id.
    pub(crate) fn all(&self, id: &str) -> impl Iterator<Item = &Job> {
        self.by_id
            .get(id)
            .into_iter()
            .flatten()
            .filter_map(|serial| self.jobs.get(serial))
    }

    pub(crate) fn get(&self, serial: u64) -> Option<&Job> {
        self.jobs.get(&serial)
    }

    pub(crate) fn get_mut(&mut self, serial: u64) -> Option<&mut Job> {
        self.jobs.get_mut(&serial)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    pub(crate) fn on_queue(&self, queue: &str) -> impl Iterator<Item = &Job> {
        self.by_queue
            .get(queue)
            .into_iter()
            .flatten()
            .filter_map(|serial| self.jobs.get(serial))
    }

    /// The serials of the jobs with a tag.
    pub(crate) fn with_tag(&self, tag: &str) -> Option<&BTreeSet<u64>> {
        self.by_tag.get(tag)
    }

    /// Waiting jobs of a queue, next first.
    pub(crate) fn waiting_on(&self, queue: &str) -> impl Iterator<Item = &Job> {
        self.waiting
            .get(queue)
            .into_iter()
            .flatten()
            .filter_map(|(_, serial)| self.jobs.get(serial))
    }

    /// The job that an agent gets next from these queues.
    pub(crate) fn next_for(&self, agent: &str, queues: &[&str]) -> Option<u64> {
        queues
            .iter()
            .filter_map(|queue| {
                self.waiting_on(queue).find(|job| {
                    job.attachments != Attachments::Waiting
                        && !job.excluded.iter().any(|excluded| excluded == agent)
                })
            })
            .min_by_key(|job| (Reverse(job.priority), job.serial))
            .map(|job| job.serial)
    }

    /// The most jobs that one queue ever had at the same time, waiting ones included.
    pub(crate) fn most_live(&self) -> u32 {
        self.most_live
    }
}

fn forget(index: &mut HashMap<String, BTreeSet<u64>>, key: &str, serial: u64) {
    if let Some(serials) = index.get_mut(key) {
        serials.remove(&serial);
        if serials.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(id: &str, queue: &str, priority: i64) -> NewJob {
        NewJob {
            id: id.to_owned(),
            queue: queue.to_owned(),
            priority,
            tags: vec!["t".to_owned()],
            excluded: Vec::new(),
            attachments: Attachments::None,
            document: Map::new(),
        }
    }

    #[test]
    fn the_highest_priority_leaves_first_then_the_oldest() {
        let mut jobs = Jobs::default();
        let serials: Vec<_> = [new("a", "q", 0), new("b", "q", 5), new("c", "p", 5)]
            .into_iter()
            .map(|job| jobs.add(job))
            .collect();
        let mut handed_out = Vec::new();
        while let Some(serial) = jobs.next_for("agent", &["q", "p"]) {
            jobs.set_state(serial, "running");
            handed_out.push(serial);
        }
        assert_eq!(handed_out, [serials[1], serials[2], serials[0]]);
    }

    #[test]
    fn an_id_stored_twice_shows_the_first_and_a_forgotten_one_nothing() {
        let mut jobs = Jobs::default();
        let first = jobs.add(new("a", "q", 0));
        let second = jobs.add(new("a", "q", 0));
        assert_eq!(jobs.first("a").map(|job| job.serial), Some(first));
        assert_eq!(jobs.most_live(), 2);
        jobs.remove(first);
        assert_eq!(jobs.first("a").map(|job| job.serial), Some(second));
        jobs.remove(second);
        assert!(jobs.first("a").is_none());
        assert!(jobs.with_tag("t").is_none());
        assert!(jobs.next_for("agent", &["q"]).is_none());
    }

    #[test]
    fn a_job_cancelled_while_running_is_live_until_it_is_complete() {
        let mut jobs = Jobs::default();
        let serial = jobs.add(new("a", "q", 0));
        jobs.set_state(serial, "provision");
        jobs.set_state(serial, "cancelled");
        assert!(jobs.get(serial).unwrap().is_live());
        jobs.set_state(serial, "complete");
        assert!(!jobs.get(serial).unwrap().is_live());
    }
}
