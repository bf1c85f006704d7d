//! Agents' records.

use std::collections::BTreeMap;

use hyper::header::SET_COOKIE;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::schema::{self, Field, Kind, TEXT, TEXTS};
use crate::call::Call;
use crate::life;
use crate::reply::{Answer, Reply, written};
use crate::world::World;
use crate::world::agent::Agent;

/// Log lines kept per agent.
const LOG_LINES: usize = 100;
const INPUT: &[Field] = &[
    Field::optional("identifier", TEXT),
    Field::optional("job_id", TEXT),
    Field::optional("location", TEXT),
    Field::optional("log", TEXTS),
    Field::optional("provision_type", TEXT),
    Field::optional("queues", TEXTS),
    Field::optional("state", TEXT),
    Field::optional("comment", TEXT),
];
const PROVISION_LOG: &[Field] = &[
    Field::required("job_id", TEXT),
    Field::required("exit_code", Kind::Number),
    Field::optional("detail", TEXT),
];

/// An agent as the API shows it: only what its record has.
#[derive(Serialize)]
pub(super) struct Record<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provision_streak_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provision_streak_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provision_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queues: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restricted_to: Option<BTreeMap<&'a str, Vec<&'a str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
}

impl<'a> Record<'a> {
    /// What the schema of agents names, and nothing else.
    pub(super) fn of(agent: &'a Agent) -> Self {
        Self {
            comment: agent.comment.as_deref(),
            identifier: None,
            job_id: agent.job_id.as_deref(),
            location: agent.location.as_deref(),
            name: &agent.name,
            provision_streak_count: None,
            provision_streak_type: None,
            provision_type: agent.provision_type.as_deref(),
            queues: agent.lists_queues().then(|| agent.queues()),
            restricted_to: None,
            state: agent.state.as_deref(),
            updated_at: None,
        }
    }

    /// The whole record, and who owns its restricted queues.
    fn full(world: &'a World, agent: &'a Agent) -> Self {
        let restricted = agent
            .queues()
            .iter()
            .filter(|queue| world.directory.restricted.contains(*queue));
        let owned = restricted.map(|queue| (queue.as_str(), world.directory.owners(queue)));
        Self {
            identifier: agent.identifier.as_deref(),
            provision_streak_count: agent.streak.map(|streak| streak.count),
            provision_streak_type: agent
                .streak
                .map(|streak| if streak.pass { "pass" } else { "fail" }),
            restricted_to: Some(owned.filter(|(_, owners)| !owners.is_empty()).collect()),
            updated_at: agent.updated_at.map(written),
            ..Self::of(agent)
        }
    }
}

pub(super) fn list(world: &mut World, _: &Call) -> Answer {
    let world = &*world;
    Ok(Reply::json(
        &world
            .agents
            .iter()
            .map(|agent| Record::full(world, agent))
            .collect::<Vec<_>>(),
    ))
}

pub(super) fn read(world: &mut World, call: &Call) -> Answer {
    match world.agents.get(call.param(0)) {
        Some(agent) => Ok(Reply::json(&Record::full(world, agent))),
        None => Err(Reply::json_with(404, &json!({}))),
    }
}

pub(super) fn post(world: &mut World, call: &Call) -> Answer {
    let input = schema::body(call, INPUT)?;
    let name = call.param(0);
    let text = |field: &str| input.get(field).and_then(Value::as_str).map(str::to_owned);
    let lines = |field: &str| -> Option<Vec<String>> {
        let lines = input.get(field)?.as_array()?;
        Some(
            lines
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        )
    };
    let agent = world.agents.upsert(name);
    for (field, stored) in [
        ("identifier", &mut agent.identifier),
        ("job_id", &mut agent.job_id),
        ("location", &mut agent.location),
        ("provision_type", &mut agent.provision_type),
        ("state", &mut agent.state),
        ("comment", &mut agent.comment),
    ] {
        if let Some(text) = text(field) {
            *stored = Some(text);
        }
    }
    agent.updated_at = Some(Timestamp::now());
    agent.log.extend(lines("log").unwrap_or_default());
    let too_many = agent.log.len().saturating_sub(LOG_LINES);
    agent.log.drain(..too_many);
    if let Some(queues) = lines("queues") {
        world.agents.set_queues(name, queues);
    }
    // A simulated agent may be online again, or serve other queues.
    life::poll_soon(world, name);
    let cookie = format!("agent_name={name}; HttpOnly; Path=/; SameSite=Strict");
    Ok(Reply::json(&json!({"status": "OK"})).with_header(SET_COOKIE, &cookie))
}

pub(super) fn provision_log(world: &mut World, call: &Call) -> Answer {
    let input = schema::body(call, PROVISION_LOG)?;
    let Some(agent) = world.agents.get_mut(call.param(0)) else {
        return Err(Reply::html(404, "Agent not found\n"));
    };
    agent.count_provision(input.get("exit_code").and_then(Value::as_i64) == Some(0));
    Ok(Reply::html(200, "OK"))
}
