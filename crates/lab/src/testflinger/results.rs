//! Results: what an agent reports and what everyone reads.

use hyper::header::CONTENT_DISPOSITION;
use serde_json::{Map, Value};

use super::jobs::uploaded;
use super::schema::{self, Field, Kind, TEXT};
use super::{job_id, job_id_or_text};
use crate::call::Call;
use crate::life;
use crate::reply::{Answer, HTML, Reply};
use crate::world::World;
use crate::world::job::{Job, Phase};

/// What the database stores in one document.
const LARGEST: usize = 16 << 20;
pub(super) const PHASES: &[&str] = &[
    "setup",
    "provision",
    "firmware_update",
    "test",
    "allocate",
    "reserve",
    "cleanup",
];
const INPUT: &[Field] = &[
    Field::optional(
        "status",
        Kind::MappingOf {
            key: &Kind::Choice(PHASES),
            value: &Kind::Number,
        },
    ),
    Field::optional("device_info", Kind::Mapping),
    Field::optional("job_state", TEXT),
];

pub(super) fn read(world: &mut World, call: &Call) -> Answer {
    let id = job_id(call)?;
    life::looked_at(world, id);
    Ok(world
        .jobs
        .first(id)
        .map_or_else(Reply::no_content, |job| Reply::json(&result(job))))
}

/// The state, `{phase}_status` of the phases that ran, and all logs joined.
fn result(job: &Job) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("job_state".to_owned(), job.state().into());
    if let Some(info) = &job.device_info {
        body.insert("device_info".to_owned(), info.clone().into());
    }
    for (phase, status) in &job.status {
        body.insert(format!("{}_status", phase.as_str()), (*status).into());
    }
    for phase in Phase::ALL {
        for (serial, kind) in [(false, "output"), (true, "serial")] {
            let log = job.log_of(phase, serial, 0, None).data;
            if !log.is_empty() {
                body.insert(format!("{}_{kind}", phase.as_str()), log.into());
            }
        }
    }
    body
}

pub(super) fn post(world: &mut World, call: &Call) -> Answer {
    let input = schema::body(call, INPUT)?;
    let id = job_id(call)?;
    if call.body.len() >= LARGEST {
        return Err(Reply::abort(413, "Payload too large"));
    }
    // An unknown id is fine: there is nothing to store.
    let Some(job) = world.jobs.first_mut(id) else {
        return Ok(Reply::html(200, "OK"));
    };
    if let Some(status) = input.get("status").and_then(Value::as_object) {
        job.status = status
            .iter()
            .filter_map(|(phase, code)| Some((Phase::from_name(phase)?, code.as_i64()?)))
            .collect();
    }
    if let Some(info) = input.get("device_info").and_then(Value::as_object) {
        job.device_info = Some(info.clone());
    }
    let serial = job.serial;
    if let Some(state) = input.get("job_state").and_then(Value::as_str) {
        world.jobs.set_state(serial, state);
    }
    Ok(Reply::html(200, "OK"))
}

pub(super) fn artifact(world: &mut World, call: &Call) -> Answer {
    let id = job_id_or_text(call)?;
    Ok(match world.directory.files.get(&format!("{id}.artifact")) {
        Some(file) => Reply::new(200, "application/x-tar", file.clone())
            .with_header(CONTENT_DISPOSITION, "inline; filename=artifact.tar.gz"),
        None => Reply::new(204, HTML, ""),
    })
}

pub(super) fn store_artifact(world: &mut World, call: &Call) -> Answer {
    let id = job_id_or_text(call)?;
    let file = uploaded(call)?;
    world.directory.files.insert(format!("{id}.artifact"), file);
    Ok(Reply::html(200, "OK"))
}
