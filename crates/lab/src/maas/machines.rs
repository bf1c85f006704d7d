//! Reading machines.

use serde_json::json;

use super::filter;
use super::view::MachineObject;
use crate::call::Call;
use crate::reply::{Answer, Reply};
use crate::world::World;
use crate::world::machine::Machine;

/// All machines that fit, in one array: there is no paging.
pub(super) fn list(world: &mut World, call: &Call) -> Answer {
    let machines = filter::matching(world, &call.query)?;
    Ok(Reply::maas_json(
        &machines
            .into_iter()
            .map(MachineObject::of)
            .collect::<Vec<_>>(),
    ))
}

/// The caller's own machines.
pub(super) fn list_allocated(world: &mut World, call: &Call) -> Answer {
    let user = Some(world.config.maas_user.as_str());
    let machines = filter::matching(world, &call.query)?;
    let own: Vec<_> = machines
        .into_iter()
        .filter(|machine| machine.owner.as_deref() == user)
        .map(MachineObject::of)
        .collect();
    Ok(Reply::maas_json(&own))
}

pub(super) fn read(world: &mut World, call: &Call) -> Answer {
    Ok(Reply::maas_json(&MachineObject::of(find(world, call)?)))
}

pub(super) fn power_state(world: &mut World, call: &Call) -> Answer {
    Ok(Reply::maas_json(
        &json!({"state": find(world, call)?.power_state}),
    ))
}

fn find<'a>(world: &'a World, call: &Call) -> Result<&'a Machine, Reply> {
    let id = world.machines.id_of_system(call.param(0));
    id.and_then(|id| world.machines.get(id))
        .ok_or_else(no_machine)
}

pub(super) fn no_machine() -> Reply {
    Reply::maas_text(404, "No Machine matches the given query.")
}
