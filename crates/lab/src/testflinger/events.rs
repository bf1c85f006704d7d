//! Webhook events. The pretend server has no `WEBHOOK_URL`, so none is ever sent.

use super::job_id;
use super::schema::{self, Field, Kind, TEXT};
use crate::call::Call;
use crate::reply::{Answer, Reply};
use crate::world::World;

const EVENT: &[Field] = &[
    Field::required("event_name", TEXT),
    Field::required("timestamp", TEXT),
    Field::optional("detail", TEXT),
];
const INPUT: &[Field] = &[
    Field::optional("agent_id", TEXT),
    Field::optional("job_queue", TEXT),
    Field::required("job_status_webhook", Kind::Url),
    Field::optional(
        "events",
        Kind::List {
            of: &Kind::Object(EVENT),
            shortest: 0,
            longest: usize::MAX,
        },
    ),
];

pub(super) fn forward(world: &mut World, call: &Call) -> Answer {
    schema::body(call, INPUT)?;
    if world.jobs.first(job_id(call)?).is_none() {
        return Err(Reply::abort(404, "Job not found"));
    }
    Err(Reply::abort(500, "Webhook URL not configured"))
}
