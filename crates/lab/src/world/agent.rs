//! Testflinger agents: their records, and what the simulation keeps of each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use crate::life::{Outcome, Run};

/// One agent. The optional fields may be missing in the record, as in a real database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) state: Option<String>,
    queues: Option<Vec<String>>,
    pub(crate) location: Option<String>,
    pub(crate) provision_type: Option<String>,
    pub(crate) identifier: Option<String>,
    pub(crate) job_id: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) updated_at: Option<Timestamp>,
    pub(crate) streak: Option<Streak>,
    /// The last 100 lines posted; the API never shows them.
    pub(crate) log: Vec<String>,
    /// `None`: nobody in the lab acts for this agent.
    pub(crate) simulation: Option<Simulation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Streak {
    pub(crate) pass: bool,
    pub(crate) count: u32,
}

/// What the pretend agent itself knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Simulation {
    /// How many jobs it has begun; with seed and name this decides how the next one goes.
    pub(crate) begun: u64,
    pub(crate) run: Option<Run>,
    /// A poll is among the timers.
    pub(crate) polls: bool,
    /// What a test asked of the next job.
    pub(crate) next: Option<Outcome>,
    /// The host is gone: it neither polls nor sends heartbeats.
    pub(crate) dead: bool,
}

impl Agent {
    pub(crate) fn queues(&self) -> &[String] {
        self.queues.as_deref().unwrap_or_default()
    }

    pub(crate) fn lists_queues(&self) -> bool {
        self.queues.is_some()
    }

    /// Set by a person: no job is asked for.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self.state.as_deref(), Some("offline" | "maintenance"))
    }

    pub(crate) fn count_provision(&mut self, pass: bool) {
        let before = self
            .streak
            .filter(|streak| streak.pass == pass)
            .map_or(0, |streak| streak.count);
        self.streak = Some(Streak {
            pass,
            count: before + 1,
        });
    }

    /// The state an agent posts, with its comment.
    pub(crate) fn post_state(&mut self, state: &str, comment: &str) {
        self.state = Some(state.to_owned());
        self.comment = Some(comment.to_owned());
        self.updated_at = Some(Timestamp::now());
    }
}

/// All agents, by name and by queue.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    by_name: BTreeMap<String, Agent>,
    by_queue: HashMap<String, BTreeSet<String>>,
    /// Which simulated agent runs which job, by serial.
    pub(crate) running: HashMap<u64, String>,
}

impl Agents {
    pub(crate) fn remove(&mut self, name: &str) -> Option<Agent> {
        let agent = self.by_name.remove(name)?;
        for queue in agent.queues() {
            if let Some(names) = self.by_queue.get_mut(queue) {
                names.remove(name);
            }
        }
        Some(agent)
    }

    /// The agent of this name; a new record when there is none.
    pub(crate) fn upsert(&mut self, name: &str) -> &mut Agent {
        self.by_name
            .entry(name.to_owned())
            .or_insert_with(|| Agent {
                name: name.to_owned(),
                ..Agent::default()
            })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Agent> {
        self.by_name.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Agent> {
        self.by_name.get_mut(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.by_name.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Agent> {
        self.by_name.values_mut()
    }

    pub(crate) fn set_queues(&mut self, name: &str, queues: Vec<String>) {
        let Some(agent) = self.by_name.get_mut(name) else {
            return;
        };
        for queue in agent.queues.iter().flatten() {
            if let Some(names) = self.by_queue.get_mut(queue) {
                names.remove(name);
            }
        }
        for queue in &queues {
            self.by_queue
                .entry(queue.clone())
                .or_default()
                .insert(name.to_owned());
        }
        agent.queues = Some(queues);
    }

    /// The agents that list a queue.
    pub(crate) fn on_queue(&self, queue: &str) -> impl Iterator<Item = &Agent> {
        self.by_queue
            .get(queue)
            .into_iter()
            .flatten()
            .filter_map(|name| self.by_name.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streak_counts_up_and_starts_again() {
        let mut agent = Agent::default();
        agent.count_provision(false);
        agent.count_provision(false);
        assert_eq!(
            agent.streak,
            Some(Streak {
                pass: false,
                count: 2
            })
        );
        agent.count_provision(true);
        assert_eq!(
            agent.streak,
            Some(Streak {
                pass: true,
                count: 1
            })
        );
    }

    #[test]
    fn an_agent_leaves_the_queues_it_no_longer_lists() {
        let mut agents = Agents::default();
        agents.upsert("a");
        agents.set_queues("a", vec!["x".to_owned(), "y".to_owned()]);
        agents.set_queues("a", vec!["y".to_owned()]);
        assert_eq!(agents.on_queue("x").count(), 0);
        assert_eq!(agents.on_queue("y").count(), 1);
        agents.remove("a");
        assert_eq!(agents.on_queue("y").count(), 0);
    }
}
