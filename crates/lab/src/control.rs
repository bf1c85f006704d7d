//! The control API under `/lab`, and what a person would do to the lab: the same functions serve the methods of
//! [`crate::Lab`].

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::LabError;
use crate::call::{Access, Call, Endpoint};
use crate::fault::Fault;
use crate::life::{self, Outcome};
use crate::reply::{Answer, Reply};
use crate::world::World;
use crate::world::agent::{Agent, Simulation, Streak};
use crate::world::job::Job;
use crate::world::machine::{Ending, Machine, Status};

const fn open(name: &'static str, run: fn(&mut World, &Call) -> Answer) -> Endpoint {
    Endpoint {
        name,
        access: Access::Open,
        run,
    }
}

pub(crate) static ENDPOINTS: &[Endpoint] = &[
    open("GET /lab/stats", |world, _| Ok(Reply::json(&world.stats()))),
    open("GET /lab/jobs", |world, _| Ok(Reply::json(&jobs(world)))),
    open("DELETE /lab/jobs/{}", |world, call| {
        done(forget_job(world, call.param(0)))
    }),
    open("GET /lab/faults", |world, _| {
        Ok(Reply::json(&world.faults.list()))
    }),
    open("POST /lab/faults", add_fault),
    open("DELETE /lab/faults", |world, _| {
        world.faults.clear();
        done(Ok(()))
    }),
    open("GET /lab/machines", |world, _| {
        Ok(Reply::json(
            &world
                .machines
                .iter()
                .map(MachineView::of)
                .collect::<Vec<_>>(),
        ))
    }),
    open("PATCH /lab/machines/{}", |world, call| {
        done(change_machine(world, call.param(0), input(call)?))
    }),
    open("DELETE /lab/machines/{}", |world, call| {
        done(remove_machine(world, call.param(0)))
    }),
    open("GET /lab/agents", |world, _| {
        Ok(Reply::json(
            &world.agents.iter().map(AgentView::of).collect::<Vec<_>>(),
        ))
    }),
    open("POST /lab/agents/restart", |world, _| {
        life::restart_agents(world);
        done(Ok(()))
    }),
    open("PATCH /lab/agents/{}", |world, call| {
        done(change_agent(world, call.param(0), input(call)?))
    }),
    open("DELETE /lab/agents/{}", |world, call| {
        done(remove_agent(world, call.param(0)))
    }),
    open("POST /lab/racks/{}/machines/{}", |world, call| {
        done(world.add_to_rack(call.param(0), call.param(1)))
    }),
];

fn input<T: DeserializeOwned>(call: &Call) -> Result<T, Reply> {
    serde_json::from_slice(&call.body).map_err(|error| Reply::abort(400, error.to_string()))
}

fn done(result: Result<(), LabError>) -> Answer {
    match result {
        Ok(()) => Ok(Reply::json(&json!({"status": "OK"}))),
        Err(error @ LabError::Unknown { .. }) => Err(Reply::abort(404, error.to_string())),
        Err(error) => Err(Reply::abort(400, error.to_string())),
    }
}

fn add_fault(world: &mut World, call: &Call) -> Answer {
    let fault: Fault = input(call)?;
    world.faults.add(fault);
    done(Ok(()))
}

/// A job as `GET /lab/jobs` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// As submitted.
    pub job_id: String,
    /// Usually the agent's name.
    pub queue: String,
    /// Testflinger's `job_state`.
    pub state: String,
    /// As submitted.
    pub tags: Vec<String>,
    /// As submitted.
    pub name: Option<String>,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When an agent took it.
    pub started_at: Option<Timestamp>,
    /// Whether the machine still has to do with it.
    pub live: bool,
}

impl JobView {
    pub(crate) fn of(job: &Job) -> Self {
        Self {
            job_id: job.id.clone(),
            queue: job.queue.clone(),
            state: job.state().to_owned(),
            tags: job.tags.clone(),
            name: job
                .document
                .get("name")
                .and_then(|name| name.as_str())
                .map(str::to_owned),
            created_at: job.created_at,
            started_at: job.started_at,
            live: job.is_live(),
        }
    }
}

pub(crate) fn jobs(world: &World) -> Vec<JobView> {
    world.jobs.iter().map(JobView::of).collect()
}

pub(crate) fn forget_job(world: &mut World, id: &str) -> Result<(), LabError> {
    let serials: Vec<u64> = world.jobs.all(id).map(|job| job.serial).collect();
    if serials.is_empty() {
        return Err(LabError::Unknown {
            kind: "job",
            name: id.to_owned(),
        });
    }
    for serial in serials {
        world.jobs.remove(serial);
    }
    Ok(())
}

/// A machine as the lab's control API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineView {
    /// MAAS's primary key.
    pub system_id: String,
    /// Short host name.
    pub hostname: String,
    /// Label of the status, as in `status_name`.
    pub status_name: String,
    /// MAAS user who has it.
    pub owner: Option<String>,
    /// Whether it is locked.
    pub locked: bool,
    /// Its tags; a rack is one.
    pub tags: BTreeSet<String>,
}

impl MachineView {
    pub(crate) fn of(machine: &Machine) -> Self {
        Self {
            system_id: machine.system_id.clone(),
            hostname: machine.hostname.clone(),
            status_name: machine.status.label().to_owned(),
            owner: machine.owner.clone(),
            locked: machine.locked,
            tags: machine.tags.clone(),
        }
    }
}

/// What a person changes in MAAS. Fields that are not given stay.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachineChange {
    /// Word or label of a status.
    pub status: Option<String>,
    /// A user, or nobody: `Some(None)`, in JSON `null`.
    #[serde(deserialize_with = "given")]
    pub owner: Option<Option<String>>,
    /// Lock or unlock.
    pub locked: Option<bool>,
    /// All tags; unknown ones are made.
    pub tags: Option<BTreeSet<String>>,
    /// `on`, `off`, `unknown`, `error`.
    pub power_state: Option<String>,
    /// Another name; the agent keeps its own.
    pub hostname: Option<String>,
}

/// A field that may be null but is there.
fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

pub(crate) fn change_machine(
    world: &mut World,
    hostname: &str,
    change: MachineChange,
) -> Result<(), LabError> {
    let unknown = || LabError::Unknown {
        kind: "machine",
        name: hostname.to_owned(),
    };
    let id = world.machines.id_of_host(hostname).ok_or_else(unknown)?;
    let status = match change.status {
        Some(name) => Some(Status::from_name(&name).ok_or(LabError::Value {
            name: "status",
            value: name,
        })?),
        None => None,
    };
    if let Some(name) = &change.hostname
        && world
            .machines
            .id_of_host(name)
            .is_some_and(|other| other != id)
    {
        return Err(LabError::Exists {
            kind: "machine",
            name: name.clone(),
        });
    }
    let machine = world.machines.get_mut(id).ok_or_else(unknown)?;
    if let Some(status) = status {
        machine.change += 1;
        if status == Status::Deployed {
            machine.deploy("noble", Ending::Deployed);
            machine.finish_change();
        }
        machine.status = status;
    }
    if let Some(owner) = change.owner {
        machine.owner = owner;
    }
    if let Some(locked) = change.locked {
        machine.locked = locked;
    }
    if let Some(power_state) = change.power_state {
        machine.power_state = power_state;
    }
    if let Some(tags) = change.tags {
        world.machines.set_tags(id, tags);
    }
    if let Some(hostname) = change.hostname {
        world.machines.rename(id, &hostname);
    }
    Ok(())
}

pub(crate) fn remove_machine(world: &mut World, hostname: &str) -> Result<(), LabError> {
    let id = world.machines.id_of_host(hostname);
    id.and_then(|id| world.machines.remove(id))
        .map(|_| ())
        .ok_or_else(|| LabError::Unknown {
            kind: "machine",
            name: hostname.to_owned(),
        })
}

/// An agent as the lab's control API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// Its name.
    pub name: String,
    /// Its posted state.
    pub state: Option<String>,
    /// The queues it lists.
    pub queues: Vec<String>,
    /// Where it says it stands.
    pub location: Option<String>,
    /// The posted comment.
    pub comment: Option<String>,
    /// The posted job.
    pub job_id: Option<String>,
    /// Last post.
    pub updated_at: Option<Timestamp>,
    /// `pass` or `fail`, and how often in a row.
    pub streak: Option<(String, u32)>,
    /// Whether the lab acts for it.
    pub simulated: bool,
}

impl AgentView {
    pub(crate) fn of(agent: &Agent) -> Self {
        let kind = |pass| if pass { "pass" } else { "fail" };
        Self {
            name: agent.name.clone(),
            state: agent.state.clone(),
            queues: agent.queues().to_vec(),
            location: agent.location.clone(),
            comment: agent.comment.clone(),
            job_id: agent.job_id.clone(),
            updated_at: agent.updated_at,
            streak: agent
                .streak
                .map(|streak| (kind(streak.pass).to_owned(), streak.count)),
            simulated: agent.simulation.is_some(),
        }
    }
}

/// What is changed of an agent. Fields that are not given stay.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentChange {
    /// Any state; `null` takes it from the record.
    #[serde(deserialize_with = "given")]
    pub state: Option<Option<String>>,
    /// Why.
    pub comment: Option<String>,
    /// Where it says it stands; `null` takes it from the record.
    #[serde(deserialize_with = "given")]
    pub location: Option<Option<String>>,
    /// All queues.
    pub queues: Option<Vec<String>>,
    /// Last post.
    pub updated_at: Option<Timestamp>,
    /// Passes (`true`) or failures in a row.
    pub streak: Option<(bool, u32)>,
    /// How its next job will go.
    pub next_job: Option<Outcome>,
    /// Whether the lab acts for it.
    pub simulated: Option<bool>,
}

pub(crate) fn change_agent(
    world: &mut World,
    name: &str,
    change: AgentChange,
) -> Result<(), LabError> {
    let agent = world
        .agents
        .get_mut(name)
        .ok_or_else(|| LabError::Unknown {
            kind: "agent",
            name: name.to_owned(),
        })?;
    match change.simulated {
        Some(true) => {
            agent
                .simulation
                .get_or_insert_with(Simulation::default)
                .dead = false
        }
        Some(false) => agent.simulation = None,
        None => {}
    }
    if let Some(state) = change.state {
        agent.state = state;
        agent.updated_at = Some(Timestamp::now());
    }
    if let Some(comment) = change.comment {
        agent.comment = Some(comment);
    }
    if let Some(location) = change.location {
        agent.location = location;
    }
    if let Some(updated_at) = change.updated_at {
        agent.updated_at = Some(updated_at);
    }
    if let Some((pass, count)) = change.streak {
        agent.streak = Some(Streak { pass, count });
    }
    if let (Some(next), Some(simulation)) = (change.next_job, &mut agent.simulation) {
        simulation.next = Some(next);
    }
    if let Some(queues) = change.queues {
        world.agents.set_queues(name, queues);
    }
    life::poll_soon(world, name);
    Ok(())
}

pub(crate) fn remove_agent(world: &mut World, name: &str) -> Result<(), LabError> {
    let agent = world.agents.remove(name).ok_or_else(|| LabError::Unknown {
        kind: "agent",
        name: name.to_owned(),
    })?;
    if let Some(run) = agent.simulation.and_then(|simulation| simulation.run) {
        world.agents.running.remove(&run.serial());
    }
    Ok(())
}
