//! Jobs: submit, hand out, read, cancel.

use std::collections::BTreeMap;

use hyper::header::CONTENT_DISPOSITION;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::document::{self, JOB};
use super::schema::{self, Field, Kind};
use super::{is_uuid, job_id, job_id_or_text};
use crate::call::{Call, Caller};
use crate::form;
use crate::life;
use crate::reply::{Answer, HTML, Reply, written};
use crate::world::World;
use crate::world::job::{Attachments, Job, NewJob};

/// Seconds that anyone may reserve a machine for.
const FREE_RESERVATION: i64 = 6 * 60 * 60;
/// Seconds of a reservation that names none.
const DEFAULT_RESERVATION: i64 = 60 * 60;
const NOT_WAITING: &str = "Job not found or already started\n";

pub(super) fn submit(world: &mut World, call: &Call) -> Answer {
    let mut document = schema::body(call, JOB)?;
    let text = |document: &Map<String, Value>, name: &str| {
        document
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let queue = text(&document, "job_queue");
    let excluded = texts(
        &*document
            .entry("exclude_agents")
            .or_insert_with(|| json!([])),
    );
    if !excluded.is_empty()
        && world
            .agents
            .on_queue(&queue)
            .all(|agent| excluded.contains(&agent.name))
    {
        return Err(Reply::abort(
            422,
            "There are no agents on the specified queue that are allowed to run this job",
        ));
    }
    if document
        .get("test_data")
        .is_some_and(|data| data.get("secrets").is_some())
    {
        return Err(Reply::abort(422, "No secrets store"));
    }
    let given = text(&document, "job_id");
    document.remove("job_id");
    if !given.is_empty() && !is_uuid(&given) {
        return Err(Reply::abort(400, "Invalid job_id specified"));
    }
    check_rights(world, &call.caller, &document, &queue)?;
    let id = if given.is_empty() {
        Uuid::new_v4().to_string()
    } else {
        given
    };
    let tags = document.get("tags").map(texts).unwrap_or_default();
    world
        .counters
        .count_job(&queue, &tags, world.jobs.first(&id).is_some());
    let attachments = if document::has_attachments(&document) {
        Attachments::Waiting
    } else {
        Attachments::None
    };
    let priority = document
        .get("job_priority")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    let answer = Reply::json(&json!({"job_id": id}));
    let new = NewJob {
        id,
        queue: queue.clone(),
        priority,
        tags,
        excluded,
        attachments,
        document,
    };
    let serial = world.jobs.add(new);
    match world.config.instant {
        Some(0) => life::complete_at_once(world, serial),
        Some(_) => {}
        None => life::job_waits(world, &queue),
    }
    Ok(answer)
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// Priority, restricted queue and reservation, in this order.
fn check_rights(
    world: &World,
    caller: &Caller,
    document: &Map<String, Value>,
    queue: &str,
) -> Result<(), Reply> {
    let anonymous = caller.permissions.is_empty();
    let allowed = |map: &str| {
        let limits = caller.permissions.get(map).and_then(Value::as_object);
        let limit = |key: &str| {
            limits
                .and_then(|limits| limits.get(key))
                .and_then(Value::as_i64)
                .unwrap_or(0)
        };
        limit("*").max(limit(queue))
    };
    let priority = document
        .get("job_priority")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    if priority != 0 {
        if anonymous {
            return Err(Reply::abort(
                401,
                format!("Authentication required for setting priority: {priority}"),
            ));
        }
        if priority > allowed("max_priority").max(0) {
            return Err(Reply::abort(
                403,
                format!("Not enough permissions to push to {queue} with priority {priority}"),
            ));
        }
    }
    if world.directory.restricted.contains(queue) {
        if anonymous {
            return Err(Reply::abort(
                401,
                format!("Authentication required to push to restricted queue: {queue}"),
            ));
        }
        let own = caller
            .permissions
            .get("allowed_queues")
            .map(texts)
            .unwrap_or_default();
        if !own.iter().any(|allowed| allowed == queue) {
            return Err(Reply::abort(
                403,
                format!("Not enough permissions to push to the restricted queue: {queue}"),
            ));
        }
    }
    let timeout = match document
        .get("reserve_data")
        .and_then(|data| data.get("timeout"))
    {
        None => DEFAULT_RESERVATION,
        Some(Value::Null) => {
            return Err(Reply::unhandled(
                "'<=' not supported between instances of 'NoneType' and 'int'",
            ));
        }
        Some(timeout) => timeout.as_i64().unwrap_or(i64::MAX),
    };
    if timeout > FREE_RESERVATION {
        if anonymous {
            return Err(Reply::abort(
                401,
                format!("Authentication required for setting timeout: {timeout}"),
            ));
        }
        if timeout > allowed("max_reservation_time") {
            return Err(Reply::abort(
                403,
                format!(
                    "Not enough permissions to push to {queue} with reservation timeout {timeout}"
                ),
            ));
        }
    }
    Ok(())
}

/// An agent asks for its next job.
pub(super) fn take(world: &mut World, call: &Call) -> Answer {
    let queues = call.query_all("queue");
    if queues.is_empty() {
        return Err(Reply::abort(400, "No queue(s) specified in request"));
    }
    let cookies = call.header("cookie").unwrap_or_default();
    let agent = cookies
        .split(';')
        .find_map(|cookie| cookie.trim().strip_prefix("agent_name="));
    let Some(agent) = agent.filter(|agent| !agent.is_empty()) else {
        return Err(Reply::abort(401, "Agent not identified"));
    };
    let Some(serial) = world.jobs.next_for(agent, &queues) else {
        return Ok(Reply::no_content());
    };
    let Some((job, started)) = world.start_job(serial) else {
        return Ok(Reply::no_content());
    };
    let mut body = flattened(job);
    // The server appends `Z` to a time that has its offset already.
    body.insert(
        "started_at".to_owned(),
        written(started).replace('Z', "+00:00Z").into(),
    );
    if let Some(status) = job.attachments.as_str() {
        body.insert("attachments_status".to_owned(), status.into());
    }
    Ok(Reply::json(&body))
}

fn flattened(job: &Job) -> Map<String, Value> {
    let mut body = job.document.clone();
    body.insert("job_id".to_owned(), job.id.clone().into());
    body
}

pub(super) fn read(world: &mut World, call: &Call) -> Answer {
    let job = world.jobs.first(job_id(call)?);
    Ok(job.map_or_else(Reply::no_content, |job| Reply::json(&flattened(job))))
}

pub(super) fn position(world: &mut World, call: &Call) -> Answer {
    let id = job_id(call)?;
    let queue = world.jobs.first(id).map(|job| job.queue.as_str());
    // Of an id stored twice, the last place counts.
    let waiting = queue.map(|queue| {
        world
            .jobs
            .waiting_on(queue)
            .enumerate()
            .filter(|(_, job)| job.id == id)
    });
    match waiting.and_then(Iterator::last) {
        Some((place, _)) => Ok(Reply::html(200, place.to_string())),
        None => Err(Reply::html(410, NOT_WAITING)),
    }
}

const ACTION: &[Field] = &[Field::required("action", Kind::Choice(&["cancel"]))];

pub(super) fn act(world: &mut World, call: &Call) -> Answer {
    schema::body(call, ACTION)?;
    let id = job_id_or_text(call)?;
    // Of an id stored twice, only the first that is not over is cancelled.
    let Some(serial) = world
        .jobs
        .all(id)
        .find(|job| !job.is_terminal())
        .map(|job| job.serial)
    else {
        return Err(Reply::html(
            400,
            "The job is already completed or cancelled",
        ));
    };
    world.jobs.set_state(serial, "cancelled");
    life::cancelled(world, serial);
    Ok(Reply::html(200, "OK"))
}

pub(super) fn attach(world: &mut World, call: &Call) -> Answer {
    let id = job_id_or_text(call)?.to_owned();
    let Some(job) = world.jobs.all(&id).find(|job| job.state() == "waiting") else {
        return Err(Reply::html(422, format!("Job {id} is not valid\n")));
    };
    let (serial, queue) = (job.serial, job.queue.clone());
    match job.attachments {
        Attachments::None => {
            return Err(Reply::html(
                422,
                format!("Job {id} not awaiting attachments\n"),
            ));
        }
        Attachments::Complete => return Ok(Reply::html(200, "OK")),
        Attachments::Waiting => {}
    }
    let file = uploaded(call)?;
    world
        .directory
        .files
        .insert(format!("{id}.attachments"), file);
    if let Some(job) = world.jobs.get_mut(serial) {
        job.attachments = Attachments::Complete;
    }
    life::job_waits(world, &queue);
    Ok(Reply::html(200, "OK"))
}

pub(super) fn attachments(world: &mut World, call: &Call) -> Answer {
    let id = job_id_or_text(call)?;
    Ok(
        match world.directory.files.get(&format!("{id}.attachments")) {
            Some(file) => Reply::new(200, "application/gzip", file.clone()).with_header(
                CONTENT_DISPOSITION,
                &format!("inline; filename={id}.attachments"),
            ),
            None => Reply::new(204, HTML, ""),
        },
    )
}

/// The multipart field `file`.
pub(super) fn uploaded(call: &Call) -> Result<bytes::Bytes, Reply> {
    let parts = form::parts(call.header("content-type").unwrap_or_default(), &call.body)
        .unwrap_or_default();
    let files: BTreeMap<&str, &[u8]> = parts
        .iter()
        .map(|part| (part.name.as_str(), part.content))
        .collect();
    match files.get("file") {
        Some(content) => Ok(bytes::Bytes::copy_from_slice(content)),
        None => Err(Reply::abort(400, "Bad Request")),
    }
}
