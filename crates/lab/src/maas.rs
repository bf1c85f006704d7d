//! The pretend MAAS: `/MAAS/api/2.0/`.

pub(crate) mod auth;
mod filter;
mod machines;
mod operations;
mod tags;
pub(crate) mod view;

use serde_json::json;

use crate::call::{Access, Call, Endpoint};
use crate::reply::{Answer, HTML, Reply};
use crate::world::World;

const fn signed(name: &'static str, run: fn(&mut World, &Call) -> Answer) -> Endpoint {
    Endpoint {
        name,
        access: Access::Maas,
        run,
    }
}

pub(crate) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        name: "GET /MAAS/api/2.0/version/",
        access: Access::Open,
        run: version,
    },
    Endpoint {
        name: "GET /MAAS/r/machines/",
        access: Access::Open,
        run: page,
    },
    signed("GET /MAAS/api/2.0/users/?op=whoami", whoami),
    signed("GET /MAAS/api/2.0/machines/", machines::list),
    signed(
        "GET /MAAS/api/2.0/machines/?op=list_allocated",
        machines::list_allocated,
    ),
    signed(
        "POST /MAAS/api/2.0/machines/?op=allocate",
        operations::allocate,
    ),
    signed(
        "POST /MAAS/api/2.0/machines/?op=release",
        operations::release_many,
    ),
    signed("GET /MAAS/api/2.0/machines/{}/", machines::read),
    signed(
        "GET /MAAS/api/2.0/machines/{}/?op=query_power_state",
        machines::power_state,
    ),
    signed(
        "GET /MAAS/api/2.0/machines/{}/?op=power_parameters",
        operations::administrators_only,
    ),
    signed(
        "POST /MAAS/api/2.0/machines/{}/?op=deploy",
        operations::deploy,
    ),
    signed(
        "POST /MAAS/api/2.0/machines/{}/?op=release",
        operations::release,
    ),
    signed(
        "POST /MAAS/api/2.0/machines/{}/?op=abort",
        operations::abort,
    ),
    signed("POST /MAAS/api/2.0/machines/{}/?op=lock", operations::lock),
    signed(
        "POST /MAAS/api/2.0/machines/{}/?op=unlock",
        operations::unlock,
    ),
    signed(
        "POST /MAAS/api/2.0/machines/{}/?op=power_on",
        operations::power_on,
    ),
    signed(
        "POST /MAAS/api/2.0/machines/{}/?op=power_off",
        operations::power_off,
    ),
    signed(
        "POST /MAAS/api/2.0/machines/{}/?op=mark_broken",
        operations::mark_broken,
    ),
    signed(
        "POST /MAAS/api/2.0/machines/{}/?op=mark_fixed",
        operations::mark_fixed,
    ),
    signed(
        "POST /MAAS/api/2.0/machines/{}/?op=set_storage_layout",
        operations::set_storage_layout,
    ),
    signed("GET /MAAS/api/2.0/tags/", tags::list),
    signed("POST /MAAS/api/2.0/tags/", tags::create),
    signed("GET /MAAS/api/2.0/tags/{}/", tags::read),
    signed("GET /MAAS/api/2.0/tags/{}/?op=machines", tags::machines),
    signed(
        "POST /MAAS/api/2.0/tags/{}/?op=update_nodes",
        tags::update_nodes,
    ),
];

/// Answers, to whoever has a key, that a known path has no such operation.
pub(crate) static OTHER_OPERATION: Endpoint = signed("unknown", |_, call| {
    let op = operation(call).1.unwrap_or_else(|| "None".to_owned());
    let text = format!("Unrecognised signature: method={} op={op}", call.method);
    Err(Reply::maas_text(400, text))
});

/// The path and the named operation, which may stand in the query, in the form, or at the end of the path.
pub(crate) fn operation(call: &Call) -> (String, Option<String>) {
    let path = call.path.replacen("//", "/", 1);
    if let Some((start, op)) = path.trim_end_matches('/').rsplit_once("/op-") {
        return (format!("{start}/"), Some(op.to_owned()));
    }
    let in_form = || {
        call.form()
            .into_iter()
            .find(|(name, _)| name == "op")
            .map(|(_, op)| op)
    };
    let op = call.query("op").map(str::to_owned).or_else(|| {
        if call.method == "POST" {
            in_form()
        } else {
            None
        }
    });
    (path, op)
}

/// What MAAS answers for a path that is none of its own.
pub(crate) fn not_found(path: &str) -> Reply {
    if path.starts_with("/MAAS/api/1.0/") || path == "/MAAS/api/1.0" {
        return Reply::maas_text(
            410,
            "The 1.0 API is no longer available. Please use API version 2.0.",
        );
    }
    Reply::new(
        404,
        HTML,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>Not Found</title>\n</head>\n<body>\n  <h1>Not Found</h1><p>The requested resource was not found on this server.</p>\n</body>\n</html>\n",
    )
}

/// Stands where the real one shows people its machines, so that links there lead somewhere.
fn page(_: &mut World, _: &Call) -> Answer {
    Ok(Reply::html(
        200,
        "This is the lab's pretend MAAS. The real one has a page for people here.\n",
    ))
}

fn version(_: &mut World, _: &Call) -> Answer {
    Ok(Reply::maas_json(&json!({
        "version": "3.5.1",
        "subversion": "",
        "capabilities": [
            "networks-management",
            "static-ipaddresses",
            "ipv6-deployment-ubuntu",
            "devices-management",
            "storage-deployment-ubuntu",
            "network-deployment-ubuntu",
            "bridging-interface-ubuntu",
            "bridging-automatic-ubuntu",
            "authenticate-api",
        ],
    })))
}

fn whoami(world: &mut World, _: &Call) -> Answer {
    let user = &world.config.maas_user;
    Ok(Reply::maas_json(&json!({
        "username": user,
        "email": format!("{user}@lab.invalid"),
        "is_superuser": world.config.maas_admin,
        "is_local": true,
        "resource_uri": format!("/MAAS/api/2.0/users/{user}/"),
    })))
}
