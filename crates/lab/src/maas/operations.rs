//! What changes machines.

use serde_json::{Map, json};

use super::filter;
use super::machines::no_machine;
use super::view::MachineObject;
use crate::call::Call;
use crate::life;
use crate::reply::{Answer, Reply};
use crate::world::World;
use crate::world::machine::{Ending, Machine, Status};
use crate::world::timer::Wake;

/// Fields of `allocate` that choose no machine.
const NOT_CONSTRAINTS: [&str; 8] = [
    "op",
    "agent_name",
    "comment",
    "dry_run",
    "verbose",
    "bridge_all",
    "bridge_stp",
    "bridge_fd",
];
/// Ubuntu series that the pretend MAAS has images of.
const SERIES: [&str; 5] = ["focal", "jammy", "noble", "plucky", "questing"];

fn find(world: &World, call: &Call) -> Result<u64, Reply> {
    world
        .machines
        .id_of_system(call.param(0))
        .ok_or_else(no_machine)
}

/// The machine, when the caller may edit it: unlocked, and its own or nobody's.
fn editable(world: &mut World, id: u64) -> Result<&mut Machine, Reply> {
    let (user, admin) = (world.config.maas_user.clone(), world.config.maas_admin);
    let machine = world.machines.get_mut(id).ok_or_else(no_machine)?;
    let own = machine.owner.as_ref().is_none_or(|owner| *owner == user);
    if machine.locked || !(own || admin) {
        Err(Reply::maas_text(403, ""))
    } else {
        Ok(machine)
    }
}

fn shown(world: &World, id: u64) -> Answer {
    world
        .machines
        .get(id)
        .map(|machine| Reply::maas_json(&MachineObject::of(machine)))
        .ok_or_else(no_machine)
}

fn field(form: &[(String, String)], name: &str) -> Option<String> {
    form.iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.clone())
        .filter(|value| !value.is_empty())
}

fn is_true(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "true" | "1" | "yes" | "on"
    )
}

pub(super) fn allocate(world: &mut World, call: &Call) -> Answer {
    let form = call.form();
    let constraints: Vec<(String, String)> = form
        .iter()
        .filter(|(name, _)| !NOT_CONSTRAINTS.contains(&name.as_str()))
        .map(|(name, value)| {
            (
                if name == "name" {
                    "hostname".to_owned()
                } else {
                    name.clone()
                },
                value.clone(),
            )
        })
        .collect();
    let free = filter::matching(world, &constraints)?
        .into_iter()
        .find(|machine| machine.status == Status::Ready && machine.owner.is_none())
        .map(|machine| machine.id);
    let Some(id) = free else {
        let message = match (field(&form, "system_id"), constraints.is_empty()) {
            (Some(system_id), _) => format!("No machine with system ID {system_id} available."),
            (None, true) => "No machine available.".to_owned(),
            (None, false) => {
                let asked: Vec<String> = constraints
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                format!(
                    "No available machine matches constraints: {}",
                    asked.join(" ")
                )
            }
        };
        return Err(Reply::maas_text(409, message));
    };
    let user = world.config.maas_user.clone();
    let dry_run = field(&form, "dry_run").is_some_and(|value| is_true(&value));
    let Some(machine) = world.machines.get_mut(id) else {
        return Err(no_machine());
    };
    if !dry_run {
        machine.allocate(&user);
        machine.agent_name = field(&form, "agent_name").unwrap_or_default();
    }
    let mut object = MachineObject::of(machine).into_map();
    object.insert("constraints_by_type".to_owned(), Map::new().into());
    Ok(Reply::maas_json(&object))
}

pub(super) fn deploy(world: &mut World, call: &Call) -> Answer {
    let form = call.form();
    let id = find(world, call)?;
    let user = world.config.maas_user.clone();
    let (locked, status, foreign) =
        world
            .machines
            .get(id)
            .map_or((false, Status::New, false), |machine| {
                (
                    machine.locked,
                    machine.status,
                    machine.owner.as_ref().is_some_and(|owner| *owner != user),
                )
            });
    if foreign && !locked && status == Status::Allocated {
        return Err(Reply::maas_text(
            409,
            "Can't allocate a machine belonging to another user.",
        ));
    }
    editable(world, id)?;
    if !matches!(status, Status::Ready | Status::Allocated) {
        return Err(Reply::maas_text(
            409,
            format!(
                "Can't deploy a machine that is in the '{}' state",
                status.label()
            ),
        ));
    }
    let asked = field(&form, "distro_series").unwrap_or_else(|| "noble".to_owned());
    let series = asked.strip_prefix("ubuntu/").unwrap_or(&asked).to_owned();
    if !SERIES.contains(&series.as_str()) {
        return Err(Reply::maas_field(
            "distro_series",
            format!(
                "'{series}' is not a valid distro_series. It should be one of: '{}'.",
                SERIES.join("', '")
            ),
        ));
    }
    let machine = editable(world, id)?;
    if status == Status::Ready {
        machine.allocate(&user);
    }
    let (name, ordinal) = (machine.hostname.clone(), machine.change + 1);
    let (ending, seconds) = life::deployment(world, &name, ordinal);
    let machine = editable(world, id)?;
    machine.deploy(&series, ending);
    machine.hwe_kernel = field(&form, "hwe_kernel");
    machine.ephemeral_deploy =
        field(&form, "ephemeral_deploy").is_some_and(|value| is_true(&value));
    if let Some(agent_name) = field(&form, "agent_name") {
        machine.agent_name = agent_name;
    }
    let wake = Wake::Machine {
        id,
        change: machine.change,
    };
    if ending != Ending::Never {
        world.wake_in(seconds, wake);
    }
    shown(world, id)
}

fn release_one(world: &mut World, id: u64) -> Result<(), Reply> {
    let machine = editable(world, id)?;
    if matches!(machine.status, Status::Releasing | Status::Ready) {
        return Ok(());
    }
    if !machine.status.may_be_released() {
        return Err(Reply::maas_text(
            409,
            format!(
                "Machine cannot be released in its current state ('{}').",
                machine.status.label()
            ),
        ));
    }
    machine.release();
    let wake = Wake::Machine {
        id,
        change: machine.change,
    };
    world.wake_in(life::RELEASE_SECONDS, wake);
    Ok(())
}

pub(super) fn release(world: &mut World, call: &Call) -> Answer {
    let id = find(world, call)?;
    release_one(world, id)?;
    shown(world, id)
}

pub(super) fn release_many(world: &mut World, call: &Call) -> Answer {
    let wanted: Vec<String> = call
        .form()
        .into_iter()
        .filter(|(name, _)| name == "machines")
        .map(|(_, value)| value)
        .collect();
    let unknown: Vec<&str> = wanted
        .iter()
        .filter(|system_id| world.machines.id_of_system(system_id).is_none())
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        return Err(Reply::maas_text(
            400,
            format!("Unknown machine(s): {}.", unknown.join(", ")),
        ));
    }
    let mut released = Vec::new();
    for system_id in wanted {
        let Some(id) = world.machines.id_of_system(&system_id) else {
            continue;
        };
        let busy = world
            .machines
            .get(id)
            .is_some_and(|machine| machine.status.may_be_released());
        release_one(world, id)?;
        if busy {
            released.push(system_id);
        }
    }
    Ok(Reply::maas_json(&released))
}

pub(super) fn abort(world: &mut World, call: &Call) -> Answer {
    let id = find(world, call)?;
    let machine = editable(world, id)?;
    let next = match machine.status {
        Status::Deploying => Status::Allocated,
        Status::Commissioning => Status::New,
        Status::DiskErasing => Status::FailedDiskErasing,
        Status::Testing => Status::Ready,
        status => {
            return Err(Reply::maas_text(
                409,
                format!(
                    "Cannot abort in current state: node {} is in state {}.",
                    machine.system_id,
                    status.label()
                ),
            ));
        }
    };
    machine.change += 1;
    machine.status = next;
    shown(world, id)
}

pub(super) fn lock(world: &mut World, call: &Call) -> Answer {
    let id = find(world, call)?;
    let machine = world.machines.get_mut(id).ok_or_else(no_machine)?;
    if machine.locked {
        return Err(Reply::maas_text(409, "Machine is already locked"));
    }
    if !matches!(machine.status, Status::Deployed | Status::Deploying) {
        return Err(Reply::maas_text(
            409,
            "Can't lock, machine must be deployed or deploying",
        ));
    }
    editable(world, id)?.locked = true;
    shown(world, id)
}

pub(super) fn unlock(world: &mut World, call: &Call) -> Answer {
    let id = find(world, call)?;
    let (user, admin) = (world.config.maas_user.clone(), world.config.maas_admin);
    let machine = world.machines.get_mut(id).ok_or_else(no_machine)?;
    if !machine.locked {
        return Err(Reply::maas_text(409, "Machine is not locked"));
    }
    if !admin && machine.owner.as_ref().is_some_and(|owner| *owner != user) {
        return Err(Reply::maas_text(403, ""));
    }
    machine.locked = false;
    shown(world, id)
}

pub(super) fn power_on(world: &mut World, call: &Call) -> Answer {
    let id = find(world, call)?;
    let machine = editable(world, id)?;
    if machine.owner.is_none() {
        return Err(Reply::maas_text(
            409,
            "Can't start node: it hasn't been allocated.",
        ));
    }
    machine.power_state = "on".to_owned();
    shown(world, id)
}

pub(super) fn power_off(world: &mut World, call: &Call) -> Answer {
    let id = find(world, call)?;
    let machine = editable(world, id)?;
    if machine.power_state == "off" {
        return Ok(Reply::maas_json(&json!(null)));
    }
    machine.power_state = "off".to_owned();
    shown(world, id)
}

pub(super) fn mark_broken(world: &mut World, call: &Call) -> Answer {
    let id = find(world, call)?;
    let user = world.config.maas_user.clone();
    let machine = editable(world, id)?;
    if machine.owner.as_deref() != Some(user.as_str()) {
        return Err(Reply::maas_text(403, ""));
    }
    let form = call.form();
    machine.change += 1;
    machine.status = Status::Broken;
    machine.owner = None;
    machine.ip_addresses.clear();
    machine.power_state = "off".to_owned();
    machine.error_description = field(&form, "comment")
        .or_else(|| field(&form, "error_description"))
        .unwrap_or_default();
    shown(world, id)
}

pub(super) fn mark_fixed(world: &mut World, call: &Call) -> Answer {
    let id = find(world, call)?;
    only_administrators(world)?;
    let machine = editable(world, id)?;
    if machine.status != Status::Broken {
        return Err(Reply::maas_text(
            409,
            "Can't mark a non-broken node as 'Ready'.",
        ));
    }
    machine.change += 1;
    machine.status = Status::Ready;
    machine.error_description.clear();
    shown(world, id)
}

pub(super) fn set_storage_layout(world: &mut World, call: &Call) -> Answer {
    let id = find(world, call)?;
    only_administrators(world)?;
    if editable(world, id)?.status != Status::Ready {
        return Err(Reply::maas_text(
            409,
            "Cannot change the storage layout on a machine that is not Ready.",
        ));
    }
    shown(world, id)
}

/// Operations that the lab has nothing behind.
pub(super) fn administrators_only(world: &mut World, call: &Call) -> Answer {
    find(world, call)?;
    only_administrators(world)?;
    Ok(Reply::maas_json(
        &json!({"power_address": "10.255.0.1", "power_user": "lab", "power_pass": "lab"}),
    ))
}

pub(super) fn only_administrators(world: &World) -> Result<(), Reply> {
    if world.config.maas_admin {
        Ok(())
    } else {
        Err(Reply::maas_text(
            403,
            "User is not allowed access to this API.",
        ))
    }
}
