//! `GET /v1/job/search`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::schema::{Kind, load};
use crate::call::Call;
use crate::reply::{Answer, Reply, written};
use crate::world::World;
use crate::world::job::Job;

/// What `state` may be: not `waiting`, `running` or `complete`, though jobs have these.
const STATES: &[&str] = &[
    "setup",
    "provision",
    "firmware_update",
    "test",
    "allocate",
    "allocated",
    "reserve",
    "cleanup",
    "cancelled",
    "completed",
    "active",
];

pub(super) fn search(world: &mut World, call: &Call) -> Answer {
    let states = call.query_all("state");
    let how = call.query("match").unwrap_or("any");
    let mut complaints = Map::new();
    if let Err(complaint) = load(&Kind::Choice(&["any", "all"]), &how.into()) {
        complaints.insert("match".to_owned(), complaint);
    }
    let wrong: Map<String, Value> = states
        .iter()
        .enumerate()
        .filter_map(|(index, state)| {
            Some((
                index.to_string(),
                load(&Kind::Choice(STATES), &(*state).into()).err()?,
            ))
        })
        .collect();
    if !wrong.is_empty() {
        complaints.insert("state".to_owned(), wrong.into());
    }
    if !complaints.is_empty() {
        return Err(Reply::invalid("query", complaints.into()));
    }
    let fits = |job: &&Job| {
        states.is_empty()
            || if states.contains(&"active") {
                !job.is_terminal()
            } else {
                states.contains(&job.state())
            }
    };
    let tags = call.query_all("tags");
    let jobs: Vec<Value> = if tags.is_empty() {
        world.jobs.iter().filter(fits).map(listed).collect()
    } else {
        let mut tagged = tags
            .iter()
            .map(|tag| world.jobs.with_tag(tag).cloned().unwrap_or_default());
        let all = how == "all";
        let first = tagged.next().unwrap_or_default();
        let serials = tagged.fold(first, |before, next| {
            if all {
                before
                    .intersection(&next)
                    .copied()
                    .collect::<BTreeSet<u64>>()
            } else {
                &before | &next
            }
        });
        serials
            .iter()
            .filter_map(|serial| world.jobs.get(*serial))
            .filter(fits)
            .map(listed)
            .collect()
    };
    Ok(Reply::json(&jobs))
}

fn listed(job: &Job) -> Value {
    json!({"job_id": job.id, "created_at": written(job.created_at), "job_state": job.state()})
}
