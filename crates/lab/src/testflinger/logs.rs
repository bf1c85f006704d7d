//! Logs in fragments.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::is_uuid;
use super::results::PHASES;
use super::schema::{self, Field, Kind, TEXT, load, time};
use crate::call::Call;
use crate::reply::{Answer, Reply};
use crate::world::World;
use crate::world::job::{Fragment, Job, Phase};

const INPUT: &[Field] = &[
    Field::required("fragment_number", Kind::Number),
    Field::required("timestamp", Kind::Time),
    Field::required("phase", Kind::Choice(PHASES)),
    Field::required("log_data", TEXT),
];

/// Fragments put together.
pub(super) struct Joined {
    pub(super) last: i64,
    pub(super) data: String,
}

impl Job {
    /// A phase's fragments from a number and a time on, joined.
    pub(super) fn log_of(
        &self,
        phase: Phase,
        serial: bool,
        first: i64,
        since: Option<Timestamp>,
    ) -> Joined {
        let mut fragments: Vec<&Fragment> = self
            .logs
            .iter()
            .filter(|fragment| {
                fragment.phase == phase && fragment.serial == serial && fragment.number >= first
            })
            .filter(|fragment| since.is_none_or(|since| fragment.timestamp >= since))
            .collect();
        fragments.sort_by_key(|fragment| fragment.number);
        Joined {
            last: fragments.last().map_or(-1, |fragment| fragment.number),
            data: fragments
                .iter()
                .map(|fragment| fragment.data.as_str())
                .collect(),
        }
    }
}

/// Whether the path names the serial log; another name is an exception nobody handles.
fn is_serial(call: &Call) -> Result<bool, Reply> {
    match call.param(1) {
        "output" => Ok(false),
        "serial" => Ok(true),
        _ => Err(Reply::unhandled("Invalid log type")),
    }
}

pub(super) fn read(world: &mut World, call: &Call) -> Answer {
    let serial = is_serial(call)?;
    let id = call.param(0);
    if !is_uuid(id) {
        return Err(Reply::abort(400, "Invalid job id\n"));
    }
    let mut complaints = Map::new();
    let phase = call.query("phase");
    if let Some(Err(complaint)) = phase.map(|phase| load(&Kind::Choice(PHASES), &phase.into())) {
        complaints.insert("phase".to_owned(), complaint);
    }
    let first = call
        .query("start_fragment")
        .map(|number| number.trim().parse::<i64>());
    match first {
        Some(Err(_)) => {
            complaints.insert("start_fragment".to_owned(), json!(["Not a valid integer."]));
        }
        Some(Ok(..0)) => {
            let complaint = json!(["Must be greater than or equal to 0."]);
            complaints.insert("start_fragment".to_owned(), complaint);
        }
        _ => {}
    }
    let since = call.query("start_timestamp").map(time);
    if since == Some(None) {
        complaints.insert(
            "start_timestamp".to_owned(),
            json!(["Not a valid datetime."]),
        );
    }
    for (name, _) in &call.query {
        if !["phase", "start_fragment", "start_timestamp"].contains(&name.as_str()) {
            complaints.insert(name.clone(), json!(["Unknown field."]));
        }
    }
    if !complaints.is_empty() {
        return Err(Reply::abort(400, Value::from(complaints)));
    }
    let first = first.and_then(Result::ok).unwrap_or(0);
    let since = since.flatten();
    let job = world.jobs.first(id);
    let phases = Phase::ALL
        .into_iter()
        .filter(|known| phase.is_none_or(|phase| phase == known.as_str()));
    let logs: Map<String, Value> = phases
        .map(|phase| {
            let joined = job.map_or(
                Joined {
                    last: -1,
                    data: String::new(),
                },
                |job| job.log_of(phase, serial, first, since),
            );
            let shown = json!({"last_fragment_number": joined.last, "log_data": joined.data});
            (phase.as_str().to_owned(), shown)
        })
        .collect();
    Ok(Reply::json(&json!({call.param(1): logs})))
}

pub(super) fn post(world: &mut World, call: &Call) -> Answer {
    let serial = is_serial(call)?;
    let input = schema::body(call, INPUT)?;
    let id = call.param(0);
    if !is_uuid(id) {
        return Err(Reply::abort(400, "Invalid job_id specified"));
    }
    let text = |name: &str| input.get(name).and_then(Value::as_str).unwrap_or_default();
    if let (Some(phase), Some(job)) = (Phase::from_name(text("phase")), world.jobs.first_mut(id)) {
        job.logs.push(Fragment {
            serial,
            phase,
            number: input
                .get("fragment_number")
                .and_then(Value::as_i64)
                .unwrap_or(0),
            timestamp: time(text("timestamp")).unwrap_or_else(Timestamp::now),
            data: text("log_data").to_owned(),
        });
    }
    Ok(Reply::html(200, "OK"))
}
