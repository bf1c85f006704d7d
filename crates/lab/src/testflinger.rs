//! The pretend Testflinger server: `/v1`.

mod admin;
mod agents;
pub(crate) mod auth;
mod document;
mod duration;
mod events;
mod jobs;
mod logs;
mod queues;
mod results;
mod schema;
mod search;
mod token;

use crate::call::{Access, Call, Endpoint};
use crate::config::Role;
use crate::config::Role::{Admin, Agent, Contributor, Manager};
use crate::reply::{Answer, Reply};
use crate::world::World;

// In the order in which error messages name them.
const PEOPLE: &[Role] = &[Admin, Manager, Contributor];
const ANYONE: &[Role] = &[Admin, Manager, Contributor, Agent];
const AGENTS: &[Role] = &[Agent];
const FLEET: &[Role] = &[Admin, Manager, Agent];
const MANAGERS: &[Role] = &[Admin, Manager];
const ADMINS: &[Role] = &[Admin];

const fn open(name: &'static str, run: fn(&mut World, &Call) -> Answer) -> Endpoint {
    Endpoint {
        name,
        access: Access::Open,
        run,
    }
}

const fn of(
    name: &'static str,
    roles: &'static [Role],
    run: fn(&mut World, &Call) -> Answer,
) -> Endpoint {
    Endpoint {
        name,
        access: Access::Roles(roles),
        run,
    }
}

/// Fixed paths stand before those with a place for a name.
pub(crate) static ENDPOINTS: &[Endpoint] = &[
    open("GET /agents/{}", page),
    open("GET /jobs/{}", page),
    open("GET /v1", version),
    of("POST /v1/job", PEOPLE, jobs::submit),
    of("GET /v1/job", AGENTS, jobs::take),
    of("GET /v1/job/search", PEOPLE, search::search),
    of("GET /v1/job/{}", PEOPLE, jobs::read),
    of("GET /v1/job/{}/position", PEOPLE, jobs::position),
    of("POST /v1/job/{}/action", PEOPLE, jobs::act),
    of("POST /v1/job/{}/attachments", PEOPLE, jobs::attach),
    of("GET /v1/job/{}/attachments", AGENTS, jobs::attachments),
    of("POST /v1/job/{}/events", AGENTS, events::forward),
    of("GET /v1/result/{}", ANYONE, results::read),
    of("POST /v1/result/{}", AGENTS, results::post),
    of("GET /v1/result/{}/artifact", PEOPLE, results::artifact),
    of(
        "POST /v1/result/{}/artifact",
        AGENTS,
        results::store_artifact,
    ),
    of("GET /v1/result/{}/log/{}", PEOPLE, logs::read),
    of("POST /v1/result/{}/log/{}", AGENTS, logs::post),
    of("GET /v1/agents/data", PEOPLE, agents::list),
    of("GET /v1/agents/data/{}", ANYONE, agents::read),
    of("POST /v1/agents/data/{}", FLEET, agents::post),
    of(
        "POST /v1/agents/provision_logs/{}",
        AGENTS,
        agents::provision_log,
    ),
    of("GET /v1/agents/queues", PEOPLE, queues::advertised),
    of("POST /v1/agents/queues", FLEET, queues::advertise),
    of("GET /v1/agents/images/{}", PEOPLE, queues::images),
    of("POST /v1/agents/images", FLEET, queues::set_images),
    of("GET /v1/queues/wait_times", PEOPLE, queues::wait_times),
    of("GET /v1/queues/{}/agents", PEOPLE, queues::agents),
    of("GET /v1/queues/{}/jobs", PEOPLE, queues::jobs),
    open("POST /v1/oauth2/token", token::issue),
    open("POST /v1/oauth2/refresh", token::refresh),
    of("POST /v1/oauth2/revoke", ADMINS, token::revoke),
    of(
        "GET /v1/restricted-queues",
        PEOPLE,
        admin::restricted_queues,
    ),
    of(
        "GET /v1/restricted-queues/{}",
        PEOPLE,
        admin::restricted_queue,
    ),
    of("POST /v1/restricted-queues/{}", MANAGERS, admin::restrict),
    of(
        "DELETE /v1/restricted-queues/{}",
        MANAGERS,
        admin::unrestrict,
    ),
    of("GET /v1/client-permissions", MANAGERS, admin::clients),
    of("GET /v1/client-permissions/{}", MANAGERS, admin::client),
    of("PUT /v1/client-permissions/{}", MANAGERS, admin::set_client),
    of(
        "DELETE /v1/client-permissions/{}",
        ADMINS,
        admin::delete_client,
    ),
    of(
        "PUT /v1/secrets/{}/{*}",
        &[Contributor, Manager, Admin],
        admin::no_secrets_store,
    ),
    of(
        "DELETE /v1/secrets/{}/{*}",
        &[Contributor, Manager, Admin],
        admin::no_secrets_store,
    ),
];

/// What the framework answers for an unknown URL.
pub(crate) fn not_found() -> Reply {
    Reply::html(
        404,
        "Not found: 404 Not Found: The requested URL was not found on the server. If you entered the URL manually \
         please check your spelling and try again.\n",
    )
}

/// Stands where the real one shows people an agent or a job, so that links there lead somewhere.
fn page(_: &mut World, _: &Call) -> Answer {
    Ok(Reply::html(
        200,
        "This is the lab's pretend Testflinger. The real one has a page for people here.\n",
    ))
}

fn version(_: &mut World, _: &Call) -> Answer {
    Ok(Reply::html(200, "Testflinger Server v1.5.0"))
}

/// Whether Python's UUID parser takes it: dashes, braces and `urn:uuid:` do not matter, nor does the case.
fn is_uuid(id: &str) -> bool {
    let bare = id.replace("urn:", "").replace("uuid:", "");
    let bare = bare.trim_matches(['{', '}']).replace('-', "");
    bare.len() == 32 && bare.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The id in the path, refused as JSON when it is none.
fn job_id(call: &Call) -> Result<&str, Reply> {
    let id = call.param(0);
    if is_uuid(id) {
        Ok(id)
    } else {
        Err(Reply::abort(400, "Invalid job_id specified"))
    }
}

/// The id in the path, refused as text when it is none: endpoints differ in this.
fn job_id_or_text(call: &Call) -> Result<&str, Reply> {
    let id = call.param(0);
    if is_uuid(id) {
        Ok(id)
    } else {
        Err(Reply::html(400, "Invalid job id\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_read_as_leniently_as_python_does() {
        for id in [
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "6BA7B8109DAD11D180B400C04FD430C8",
            "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
            "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        ] {
            assert!(is_uuid(id), "{id}");
        }
        for id in [
            "",
            "x",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c",
            "6ba7b810-9dad-11d1-80b4-00c04fd430cg",
        ] {
            assert!(!is_uuid(id), "{id}");
        }
    }
}
