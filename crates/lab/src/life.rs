//! The agents' lives: they ask for jobs, run them phase by phase, and change Testflinger's records and MAAS's machines
//! exactly as a real agent with the maas2 connector would over HTTP. They act on the state directly and by timers, so
//! an idle agent costs nothing.

mod provision;
mod run;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::world::World;
use crate::world::agent::Agent;
use crate::world::job::Phase;
use crate::world::machine::Ending;
use crate::world::timer::Wake;

pub(crate) use provision::RELEASE as RELEASE_SECONDS;
pub(crate) use run::Run;

/// Seconds between two requests for a job, and between two looks whether a job was cancelled.
pub(super) const POLL: f64 = 10.0;
/// A shell killed by SIGKILL, as the agent reports it.
pub(super) const KILLED: i64 = 247;
/// The device could not be brought back; the agent goes offline.
pub(super) const RECOVERY_FAILED: i64 = 46;
/// An idle agent renews its record when it is this old.
const HEARTBEAT: SignedDuration = SignedDuration::from_hours(24);
/// Jobs are dropped this long after they were stored.
const JOBS_EXPIRE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How a job will go. Drawn from the seed, unless asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// Every phase returns 0.
    Pass,
    /// A phase returns this code. 46 in provision is a failed recovery: the agent goes offline.
    Fail {
        /// The phase that fails.
        phase: Phase,
        /// Its exit code.
        code: i64,
    },
    /// A phase never returns by itself: a cancel ends it (not in provision), or the global timeout (not in reserve).
    Stuck {
        /// The phase that hangs.
        phase: Phase,
    },
    /// The agent's host dies in this phase: nothing is ever reported again.
    Dead {
        /// The last phase reported.
        phase: Phase,
    },
}

/// How the `ordinal`-th job of a machine goes by itself.
pub(crate) fn draw(world: &World, machine: &str, ordinal: u64) -> Outcome {
    let drawn = world
        .chance
        .fraction(&["outcome", machine, &ordinal.to_string()]);
    if drawn < world.config.fail_rate {
        Outcome::Fail {
            phase: Phase::Provision,
            code: 1,
        }
    } else if drawn < world.config.fail_rate + world.config.stuck_rate {
        Outcome::Stuck {
            phase: Phase::Provision,
        }
    } else {
        Outcome::Pass
    }
}

/// How a deployment that somebody asked MAAS for ends, and after how many seconds.
pub(crate) fn deployment(world: &World, machine: &str, ordinal: u64) -> (Ending, f64) {
    let seconds = provision::deploy_seconds(world, machine, ordinal);
    match draw(world, machine, ordinal) {
        Outcome::Pass => (Ending::Deployed, seconds),
        Outcome::Stuck { .. } => (Ending::Never, f64::INFINITY),
        Outcome::Fail { .. } | Outcome::Dead { .. } => (Ending::Failed, seconds),
    }
}

/// Does everything that is due by now.
pub(crate) fn wake(world: &mut World) {
    while let Some(wake) = world.timers.pop_due(Instant::now()) {
        match wake {
            Wake::Poll { agent } => poll(world, &agent),
            Wake::Step { agent, run, step } => run::step(world, &agent, run, step),
            Wake::Check { agent, run, step } => run::check(world, &agent, run, step),
            Wake::Machine { id, change } => {
                if let Some(machine) = world.machines.get_mut(id)
                    && machine.change == change
                {
                    machine.finish_change();
                }
            }
            Wake::Housekeeping => housekeeping(world),
        }
    }
}

/// A job may have become available to the agents on a queue: those who are idle find it at their next poll.
pub(crate) fn job_waits(world: &mut World, queue: &str) {
    let idle: Vec<String> = world
        .agents
        .on_queue(queue)
        .filter(|agent| {
            agent
                .simulation
                .as_ref()
                .is_some_and(|simulation| simulation.run.is_none())
        })
        .map(|agent| agent.name.clone())
        .collect();
    for name in idle {
        poll_soon(world, &name);
    }
}

/// Lets an idle agent poll when its interval is over.
pub(crate) fn poll_soon(world: &mut World, name: &str) {
    let Some(simulation) = world
        .agents
        .get_mut(name)
        .and_then(|agent| agent.simulation.as_mut())
    else {
        return;
    };
    if simulation.run.is_some() || simulation.dead || simulation.polls {
        return;
    }
    simulation.polls = true;
    let begun = simulation.begun.to_string();
    // Agents were started at different times, so each is somewhere else in its interval.
    let delay = POLL * world.chance.fraction(&["poll", name, &begun]);
    world.wake_in(
        delay,
        Wake::Poll {
            agent: name.to_owned(),
        },
    );
}

/// The agents' hosts start again, and what they ran is forgotten: nothing of it is ever reported. A start posts
/// `waiting`, whatever a person had set, and leaves the job in the record, which only the job's end would clear.
pub(crate) fn restart_agents(world: &mut World) {
    let names: Vec<String> = world
        .agents
        .iter()
        .filter(|agent| agent.simulation.as_ref().is_some_and(|agent| !agent.dead))
        .map(|agent| agent.name.clone())
        .collect();
    for name in names {
        let Some(agent) = world.agents.get_mut(&name) else {
            continue;
        };
        agent.post_state("waiting", "");
        let run = agent.simulation.as_mut().and_then(|agent| agent.run.take());
        if let Some(run) = run {
            world.agents.running.remove(&run.serial());
        }
        poll_soon(world, &name);
    }
}

fn poll(world: &mut World, name: &str) {
    let Some(agent) = world.agents.get_mut(name) else {
        return;
    };
    let Some(simulation) = agent.simulation.as_mut() else {
        return;
    };
    simulation.polls = false;
    if simulation.run.is_some() || simulation.dead || agent.is_off() {
        return;
    }
    if agent.state.as_deref() == Some("restart") {
        // The supervisor starts it again at once, and a start posts `waiting`.
        agent.post_state("waiting", "");
    }
    let Some(agent) = world.agents.get(name) else {
        return;
    };
    let next = world.jobs.next_for(name, &polled_queues(world, agent));
    if let Some(serial) = next {
        run::begin(world, name, serial);
    }
}

/// An agent with restricted queues that have an owner polls only those.
fn polled_queues<'a>(world: &World, agent: &'a Agent) -> Vec<&'a str> {
    let queues = || agent.queues().iter().map(String::as_str);
    let restricted: Vec<&str> = queues()
        .filter(|queue| {
            world.directory.restricted.contains(*queue) && !world.directory.owners(queue).is_empty()
        })
        .collect();
    if restricted.is_empty() {
        queues().collect()
    } else {
        restricted
    }
}

/// A job was cancelled: the agent that runs it sees that at its next check, except in provision.
pub(crate) fn cancelled(world: &mut World, serial: u64) {
    run::arm_check(world, serial);
}

/// In an instant lab a look moves the job on.
pub(crate) fn looked_at(world: &mut World, id: &str) {
    let Some(looks_needed) = world.config.instant else {
        return;
    };
    let Some(job) = world.jobs.first_mut(id) else {
        return;
    };
    if job.is_terminal() {
        return;
    }
    job.looks = job.looks.saturating_add(1);
    let (serial, looks) = (job.serial, job.looks);
    if looks < looks_needed {
        world.jobs.set_state(serial, Phase::Provision.as_str());
    } else {
        complete_at_once(world, serial);
    }
}

/// Ends a job of an instant lab without an agent.
pub(crate) fn complete_at_once(world: &mut World, serial: u64) {
    let Some(queue) = world.jobs.get(serial).map(|job| job.queue.clone()) else {
        return;
    };
    let ordinal = world.counters.jobs_of(&queue);
    let outcome = draw(world, &queue, ordinal);
    if matches!(outcome, Outcome::Stuck { .. }) {
        world.jobs.set_state(serial, Phase::Provision.as_str());
        return;
    }
    let code = i64::from(outcome != Outcome::Pass);
    if let Some(job) = world.jobs.get_mut(serial) {
        job.status.insert(Phase::Provision, code);
        job.status.insert(Phase::Cleanup, 0);
    }
    if let Some(agent) = world.agents.get_mut(&queue) {
        agent.count_provision(code == 0);
    }
    world.jobs.set_state(serial, "complete");
}

fn housekeeping(world: &mut World) {
    let now = Timestamp::now();
    for agent in world.agents.iter_mut() {
        let alive = agent
            .simulation
            .as_ref()
            .is_some_and(|simulation| !simulation.dead);
        if alive
            && agent
                .updated_at
                .is_none_or(|posted| now.duration_since(posted) >= HEARTBEAT)
        {
            agent.updated_at = Some(now);
        }
    }
    let expired: Vec<u64> = world
        .jobs
        .iter()
        .filter(|job| now.duration_since(job.created_at) >= JOBS_EXPIRE)
        .map(|job| job.serial)
        .collect();
    for serial in expired {
        world.jobs.remove(serial);
    }
    world
        .nonces
        .retain(|_, came| now.duration_since(*came) < SignedDuration::from_hours(24));
    world.wake_housekeeping();
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::*;
    use crate::LabConfig;
    use crate::world::job::{Attachments, NewJob};

    #[test]
    fn idle_agents_renew_old_records_and_silent_ones_do_not() {
        // The fifth kind of odd machine, the last here, is the silent one.
        let config = LabConfig {
            racks: 1,
            machines: 6,
            odd: 5,
            ..LabConfig::default()
        };
        let mut world = World::new(config, Arc::new(Notify::new()));
        let old = Timestamp::now() - SignedDuration::from_hours(25);
        for name in ["r1-m01", "r1-m06"] {
            world.agents.get_mut(name).unwrap().updated_at = Some(old);
        }
        let recent = world.agents.get("r1-m05").unwrap().updated_at;
        housekeeping(&mut world);
        let posted = |name: &str| world.agents.get(name).unwrap().updated_at.unwrap();
        assert!(posted("r1-m01") > old);
        assert_eq!(posted("r1-m06"), old);
        assert_eq!(Some(posted("r1-m05")), recent);
    }

    #[test]
    fn jobs_and_nonces_expire() {
        let mut world = World::new(LabConfig::default(), Arc::new(Notify::new()));
        let job = |id: &str| NewJob {
            id: id.to_owned(),
            queue: "q".to_owned(),
            priority: 0,
            tags: Vec::new(),
            excluded: Vec::new(),
            attachments: Attachments::None,
            document: serde_json::Map::new(),
        };
        let old = world.jobs.add(job("old"));
        world.jobs.add(job("new"));
        let week = SignedDuration::from_hours(7 * 24);
        world.jobs.get_mut(old).unwrap().created_at = Timestamp::now() - week;
        world
            .nonces
            .insert("old".to_owned(), Timestamp::now() - week);
        world.nonces.insert("new".to_owned(), Timestamp::now());
        housekeeping(&mut world);
        assert!(world.jobs.first("old").is_none() && world.jobs.first("new").is_some());
        assert_eq!(world.nonces.keys().collect::<Vec<_>>(), ["new"]);
    }
}
