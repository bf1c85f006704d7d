//! Restricted queues, clients and their permissions.

use serde_json::{Map, Value, json};

use super::schema::{self, Field, Kind, TEXT};
use crate::call::Call;
use crate::config::Role;
use crate::reply::{Answer, Reply};
use crate::world::{ClientRecord, World};

/// The client that the API leaves alone.
const SYSTEM_ADMIN: &str = "testflinger-admin";
const CLIENT_ID: &[Field] = &[Field::required("client_id", TEXT)];
const LIMITS: Kind = Kind::MappingOf {
    key: &TEXT,
    value: &Kind::Number,
};
const PERMISSIONS: &[Field] = &[
    Field::optional("client_secret", Kind::Text { shortest: 15 }),
    Field::optional("max_priority", LIMITS),
    Field::optional("max_reservation_time", LIMITS),
    Field::optional(
        "role",
        Kind::Choice(&["admin", "manager", "contributor", "agent"]),
    ),
    Field::optional("email", Kind::Email),
];

pub(super) fn restricted_queues(world: &mut World, _: &Call) -> Answer {
    let queues: Vec<_> = world
        .directory
        .restricted
        .iter()
        .map(|queue| json!({"queue": queue, "owners": world.directory.owners(queue)}))
        .collect();
    Ok(Reply::json(&queues))
}

fn known_restriction(world: &World, queue: &str) -> Result<(), Reply> {
    if world.directory.restricted.contains(queue) {
        Ok(())
    } else {
        Err(Reply::abort(404, "Error: Restricted queue not found."))
    }
}

pub(super) fn restricted_queue(world: &mut World, call: &Call) -> Answer {
    let queue = call.param(0);
    known_restriction(world, queue)?;
    Ok(Reply::json(
        &json!({"queue": queue, "owners": world.directory.owners(queue)}),
    ))
}

fn client_id(input: &Map<String, Value>) -> Result<&str, Reply> {
    let id = input
        .get("client_id")
        .and_then(Value::as_str)
        .filter(|id| !id.is_empty());
    id.ok_or_else(|| Reply::abort(400, "Error: Missing client ID."))
}

fn no_client() -> Reply {
    Reply::abort(404, "Error: Specified client_id does not exist.")
}

pub(super) fn restrict(world: &mut World, call: &Call) -> Answer {
    let input = schema::body(call, CLIENT_ID)?;
    let client_id = client_id(&input)?;
    if !world.directory.clients.contains_key(client_id) {
        return Err(no_client());
    }
    let queue = call.param(0);
    if world.agents.on_queue(queue).next().is_none() {
        return Err(Reply::abort(
            404,
            "Error: No agent is associated with the specified queue.",
        ));
    }
    world.directory.restrict(queue, client_id);
    Ok(Reply::html(200, "OK"))
}

pub(super) fn unrestrict(world: &mut World, call: &Call) -> Answer {
    let input = schema::body(call, CLIENT_ID)?;
    let queue = call.param(0);
    known_restriction(world, queue)?;
    world.directory.unrestrict(queue, client_id(&input)?);
    Ok(Reply::html(200, "OK"))
}

/// What the schema of permissions shows of a record.
fn shown(record: &ClientRecord) -> Map<String, Value> {
    let mut shown = record.permissions.clone();
    shown
        .entry("role")
        .or_insert_with(|| Role::Contributor.as_str().into());
    shown
}

pub(super) fn clients(world: &mut World, _: &Call) -> Answer {
    Ok(Reply::json(
        &world
            .directory
            .clients
            .values()
            .map(shown)
            .collect::<Vec<_>>(),
    ))
}

pub(super) fn client(world: &mut World, call: &Call) -> Answer {
    let record = world
        .directory
        .clients
        .get(call.param(0))
        .ok_or_else(no_client)?;
    Ok(Reply::json(&shown(record)))
}

fn role_of(record: Option<&ClientRecord>) -> Role {
    let name = record
        .and_then(|record| record.permissions.get("role"))
        .and_then(Value::as_str);
    name.and_then(Role::from_name).unwrap_or(Role::Contributor)
}

pub(super) fn set_client(world: &mut World, call: &Call) -> Answer {
    let mut input = schema::body(call, PERMISSIONS)?;
    let client_id = call.param(0);
    if client_id == SYSTEM_ADMIN {
        return Err(Reply::abort(
            422,
            "Error: System admin client cannot by modified from API.",
        ));
    }
    let secret = input
        .remove("client_secret")
        .and_then(|secret| secret.as_str().map(str::to_owned));
    let known = world.directory.clients.get(client_id);
    if known.is_none() && secret.is_none() {
        return Err(Reply::abort(
            400,
            "Error: Missing client_secret in request body for new client",
        ));
    }
    let editor = call.caller.role.unwrap_or(Role::Contributor);
    let me = call.caller.client_id.as_deref().unwrap_or_default();
    if editor < role_of(known) {
        return Err(Reply::abort(
            403,
            format!("{me} has insufficient permissions to modify client '{client_id}'"),
        ));
    }
    let role = input.get("role").and_then(Value::as_str);
    if let Some(role) = role.filter(|role| Role::from_name(role).is_some_and(|role| editor < role))
    {
        return Err(Reply::abort(
            403,
            format!(
                "{me} has insufficient permissions to assign role '{role}' to client '{client_id}'"
            ),
        ));
    }
    let verb = if known.is_some() {
        "Updated"
    } else {
        "Created"
    };
    let record = world
        .directory
        .clients
        .entry(client_id.to_owned())
        .or_insert_with(|| ClientRecord {
            secret: String::new(),
            permissions: [("client_id".to_owned(), client_id.into())]
                .into_iter()
                .collect(),
        });
    record.permissions.extend(input);
    if let Some(secret) = secret {
        record.secret = secret;
    }
    Ok(Reply::html(
        200,
        format!("{verb} permissions for client '{client_id}'"),
    ))
}

pub(super) fn delete_client(world: &mut World, call: &Call) -> Answer {
    let client_id = call.param(0);
    if client_id == SYSTEM_ADMIN {
        return Err(Reply::abort(
            422,
            "Error: System admin client cannot by deleted from API.",
        ));
    }
    world
        .directory
        .clients
        .remove(client_id)
        .ok_or_else(no_client)?;
    Ok(Reply::html(200, "OK"))
}

/// The pretend server has nowhere to keep secrets.
pub(super) fn no_secrets_store(_: &mut World, _: &Call) -> Answer {
    Err(Reply::abort(400, "No secrets store"))
}
