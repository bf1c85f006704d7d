//! One agent running one job, phase by phase.

use tokio::time::Instant;

use super::{KILLED, Outcome, POLL, RECOVERY_FAILED, draw, provision};
use crate::world::World;
use crate::world::job::{Job, Phase};
use crate::world::timer::Wake;

/// Longest time a phase may take, in seconds, unless the job asks for less. Reserve has no such limit.
const GLOBAL_TIMEOUT: f64 = 14_400.0;

/// A job in an agent's hands.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// The agent's n-th job.
    pub(super) number: u64,
    pub(super) serial: u64,
    pub(super) job_id: String,
    pub(super) outcome: Outcome,
    pub(super) phase: Phase,
    pub(super) phase_began: Instant,
    /// Seconds the running phase may still take.
    pub(super) time_left: f64,
    /// Counts timers, so that an overtaken one is noticed.
    pub(super) step: u64,
    /// What happens when the current timer fires.
    pub(super) then: Then,
    /// The comment to go offline with once the job is over.
    offline: Option<String>,
}

/// What a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The phase returns this code.
    End { code: i64 },
    /// The machine was released and can be deployed.
    Deploy,
    /// The machine's deployment is over, one way or the other.
    Deployed,
}

impl Run {
    /// Which stored job it is.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }
}

fn run_of<'a>(world: &'a mut World, name: &str) -> Option<&'a mut Run> {
    world
        .agents
        .get_mut(name)?
        .simulation
        .as_mut()?
        .run
        .as_mut()
}

/// The agent accepts a job.
pub(super) fn begin(world: &mut World, name: &str, serial: u64) {
    let Some((job, now)) = world.start_job(serial) else {
        return;
    };
    let job_id = job.id.clone();
    let Some(simulation) = world
        .agents
        .get_mut(name)
        .and_then(|agent| agent.simulation.as_mut())
    else {
        return;
    };
    simulation.begun += 1;
    let (number, asked) = (simulation.begun, simulation.next.take());
    let outcome = asked.unwrap_or_else(|| draw(world, name, number));
    let Some(agent) = world.agents.get_mut(name) else {
        return;
    };
    agent.job_id = Some(job_id.clone());
    agent.updated_at = Some(now);
    if let Some(simulation) = &mut agent.simulation {
        simulation.run = Some(Run {
            number,
            serial,
            job_id,
            outcome,
            phase: Phase::Setup,
            phase_began: Instant::now(),
            time_left: f64::INFINITY,
            step: 0,
            then: Then::End { code: 0 },
            offline: None,
        });
    }
    world.agents.running.insert(serial, name.to_owned());
    enter(world, name, Phase::Setup);
}

/// Begins `phase`, or the first one after it that is not skipped.
fn enter(world: &mut World, name: &str, first: Phase) {
    for phase in Phase::ALL.into_iter().skip_while(|phase| *phase != first) {
        let Some(run) = run_of(world, name) else {
            return;
        };
        let (serial, outcome) = (run.serial, run.outcome);
        let cancelled = world.jobs.get(serial).is_none_or(Job::is_terminal);
        if phase == Phase::Cleanup || cancelled {
            clean_up(world, name);
            return;
        }
        announce(world, name, phase, serial);
        if outcome == (Outcome::Dead { phase }) {
            die(world, name);
            return;
        }
        let Some(job) = world.jobs.get(serial) else {
            return;
        };
        let seconds = match (phase, job.data_of(phase)) {
            (Phase::Setup, _) => 5.0,
            (_, None) => {
                if phase == Phase::Provision {
                    // A skipped provision reports 0, which counts as a pass.
                    count_provision(world, name, true);
                }
                continue;
            }
            (Phase::Reserve, Some(data)) => data
                .get("timeout")
                .and_then(serde_json::Value::as_f64)
                .unwrap_or(3600.0),
            (Phase::FirmwareUpdate, _) => 300.0,
            (Phase::Allocate, _) => 10.0,
            _ => 60.0,
        };
        start_phase(world, name, phase);
        if phase == Phase::Provision {
            provision::begin(world, name);
        } else {
            let code = match outcome {
                Outcome::Fail {
                    phase: failing,
                    code,
                } if failing == phase => code,
                _ => 0,
            };
            let seconds = if outcome == (Outcome::Stuck { phase }) {
                f64::INFINITY
            } else {
                seconds
            };
            wait(world, name, seconds, Then::End { code });
        }
        return;
    }
}

/// Posts the phase as the job's and the agent's state. What a person set meanwhile is kept for the end of the job.
fn announce(world: &mut World, name: &str, phase: Phase, serial: u64) {
    world.jobs.set_state(serial, phase.as_str());
    let Some(agent) = world.agents.get_mut(name) else {
        return;
    };
    let comment = agent.comment.clone().unwrap_or_default();
    if agent.is_off()
        && let Some(run) = agent
            .simulation
            .as_mut()
            .and_then(|simulation| simulation.run.as_mut())
    {
        run.offline = Some(comment.clone());
    }
    agent.post_state(phase.as_str(), &comment);
}

fn start_phase(world: &mut World, name: &str, phase: Phase) {
    let Some(run) = run_of(world, name) else {
        return;
    };
    let (serial, job_id) = (run.serial, run.job_id.clone());
    let Some(job) = world.jobs.get_mut(serial) else {
        return;
    };
    let asked = job
        .document
        .get("global_timeout")
        .and_then(serde_json::Value::as_f64);
    let banner = "*".repeat(job_id.len() + 30);
    job.log(
        phase,
        format!(
            "{banner}\n* Starting testflinger {} phase on {name} *\n{banner}\n",
            phase.as_str()
        ),
    );
    let Some(run) = run_of(world, name) else {
        return;
    };
    run.phase = phase;
    run.phase_began = Instant::now();
    run.time_left = match phase {
        Phase::Reserve => f64::INFINITY,
        _ => asked.unwrap_or(GLOBAL_TIMEOUT).clamp(0.0, GLOBAL_TIMEOUT),
    };
}

/// Goes on after so many seconds, or is killed when the phase's time is over before.
pub(super) fn wait(world: &mut World, name: &str, seconds: f64, then: Then) {
    let Some(run) = run_of(world, name) else {
        return;
    };
    let (seconds, then) = if seconds > run.time_left {
        (run.time_left, Then::End { code: KILLED })
    } else {
        (seconds, then)
    };
    run.time_left -= seconds;
    run.step += 1;
    run.then = then;
    let wake = Wake::Step {
        agent: name.to_owned(),
        run: run.number,
        step: run.step,
    };
    if seconds.is_finite() {
        world.wake_in(seconds, wake);
    }
}

/// A run's timer fired.
pub(super) fn step(world: &mut World, name: &str, number: u64, step: u64) {
    let Some(run) = run_of(world, name) else {
        return;
    };
    if run.number != number || run.step != step {
        return;
    }
    match run.then {
        Then::Deploy => provision::deploy(world, name),
        Then::Deployed => {
            let code = provision::result(world, name);
            end(world, name, code);
        }
        Then::End { code } => {
            match code {
                0 => {}
                KILLED => log(world, name, "ERROR: Global timeout reached!\n".to_owned()),
                code => log(
                    world,
                    name,
                    format!("The command ended with exit status {code}\n"),
                ),
            }
            end(world, name, code);
        }
    }
}

/// Arms the check that finds a cancelled job, 10 s apart from the phase's beginning.
pub(super) fn arm_check(world: &mut World, serial: u64) {
    let Some(name) = world.agents.running.get(&serial).cloned() else {
        return;
    };
    let speed = world.config.speed;
    let Some(run) = run_of(world, &name) else {
        return;
    };
    if run.phase == Phase::Provision {
        return;
    }
    let into_phase = run.phase_began.elapsed().as_secs_f64() * speed;
    let wake = Wake::Check {
        agent: name.clone(),
        run: run.number,
        step: run.step,
    };
    world.wake_in(POLL - into_phase % POLL, wake);
}

/// The agent looks whether its job was cancelled; if so, the phase's command is killed.
pub(super) fn check(world: &mut World, name: &str, number: u64, step: u64) {
    let Some(run) = run_of(world, name) else {
        return;
    };
    if run.number != number || run.step != step {
        return;
    }
    let serial = run.serial;
    if world
        .jobs
        .get(serial)
        .is_some_and(|job| job.state() == "cancelled")
    {
        log(
            world,
            name,
            "Job cancellation was requested, exiting.\n".to_owned(),
        );
        end(world, name, KILLED);
    }
}

/// A phase returned.
fn end(world: &mut World, name: &str, code: i64) {
    let Some(run) = run_of(world, name) else {
        return;
    };
    let (serial, phase, job_id) = (run.serial, run.phase, run.job_id.clone());
    if let Some(job) = world.jobs.get_mut(serial) {
        job.status.insert(phase, code);
    }
    if phase == Phase::Cleanup {
        finish(world, name);
        return;
    }
    if phase == Phase::Provision {
        count_provision(world, name, code == 0);
        if code == RECOVERY_FAILED {
            let comment = format!(
                "Set to offline by agent. Recovery failed during job '{job_id}' execution."
            );
            if let Some(run) = run_of(world, name) {
                run.offline = Some(comment.clone());
            }
            if let Some(agent) = world.agents.get_mut(name) {
                agent.post_state("offline", &comment);
            }
        }
    }
    // A failed test stops nothing; any other failure leads to cleanup at once.
    let next = Phase::ALL
        .into_iter()
        .find(|next| *next > phase)
        .unwrap_or(Phase::Cleanup);
    enter(
        world,
        name,
        if code == 0 || phase == Phase::Test {
            next
        } else {
            Phase::Cleanup
        },
    );
}

fn count_provision(world: &mut World, name: &str, pass: bool) {
    if let Some(agent) = world.agents.get_mut(name) {
        agent.count_provision(pass);
    }
}

/// Cleanup always runs and posts no state. Of a cancelled job it is killed at its first check.
fn clean_up(world: &mut World, name: &str) {
    start_phase(world, name, Phase::Cleanup);
    let Some(run) = run_of(world, name) else {
        return;
    };
    run.phase = Phase::Cleanup;
    let (serial, outcome) = (run.serial, run.outcome);
    if outcome
        == (Outcome::Dead {
            phase: Phase::Cleanup,
        })
    {
        die(world, name);
        return;
    }
    provision::release(world, name);
    let cancelled = world
        .jobs
        .get(serial)
        .is_some_and(|job| job.state() == "cancelled");
    let (seconds, code) = match outcome {
        _ if cancelled => (POLL, KILLED),
        Outcome::Fail {
            phase: Phase::Cleanup,
            code,
        } => (120.0, code),
        Outcome::Stuck {
            phase: Phase::Cleanup,
        } => (f64::INFINITY, 0),
        _ => (120.0, 0),
    };
    wait(world, name, seconds, Then::End { code });
}

/// The job is complete, whatever happened, and the agent asks for the next one at once.
fn finish(world: &mut World, name: &str) {
    let Some(agent) = world.agents.get_mut(name) else {
        return;
    };
    let Some(run) = agent
        .simulation
        .as_mut()
        .and_then(|simulation| simulation.run.take())
    else {
        return;
    };
    agent.job_id = Some(String::new());
    // A person may have taken the agent off while the last phase ran.
    let off = run.offline.or_else(|| {
        agent
            .is_off()
            .then(|| agent.comment.clone().unwrap_or_default())
    });
    match off {
        Some(comment) => agent.post_state("offline", &comment),
        None => agent.post_state("waiting", ""),
    }
    world.agents.running.remove(&run.serial);
    world.jobs.set_state(run.serial, "complete");
    super::poll(world, name);
}

fn die(world: &mut World, name: &str) {
    if let Some(simulation) = world
        .agents
        .get_mut(name)
        .and_then(|agent| agent.simulation.as_mut())
    {
        simulation.dead = true;
    }
}

pub(super) fn log(world: &mut World, name: &str, line: String) {
    let Some(run) = run_of(world, name) else {
        return;
    };
    let (serial, phase) = (run.serial, run.phase);
    if let Some(job) = world.jobs.get_mut(serial) {
        job.log(phase, line);
    }
}
