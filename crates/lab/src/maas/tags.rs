//! Tags: what a rack is in MAAS.

use serde_json::{Value, json};

use super::operations::only_administrators;
use super::view::MachineObject;
use crate::call::Call;
use crate::reply::{Answer, Reply};
use crate::world::World;
use crate::world::machine::Tag;

fn object(name: &str, tag: &Tag) -> Value {
    json!({
        "name": name,
        "definition": tag.definition,
        "comment": tag.comment,
        "kernel_opts": tag.kernel_opts,
        "resource_uri": format!("/MAAS/api/2.0/tags/{name}/"),
    })
}

fn no_tag() -> Reply {
    Reply::maas_text(404, "No Tag matches the given query.")
}

pub(super) fn list(world: &mut World, _: &Call) -> Answer {
    Ok(Reply::maas_json(
        &world
            .machines
            .tags()
            .map(|(name, tag)| object(name, tag))
            .collect::<Vec<_>>(),
    ))
}

pub(super) fn read(world: &mut World, call: &Call) -> Answer {
    let tag = world.machines.tag(call.param(0)).ok_or_else(no_tag)?;
    Ok(Reply::maas_json(&object(call.param(0), tag)))
}

pub(super) fn machines(world: &mut World, call: &Call) -> Answer {
    let tag = world.machines.tag(call.param(0)).ok_or_else(no_tag)?;
    let machines = tag.machines.iter().filter_map(|id| world.machines.get(*id));
    Ok(Reply::maas_json(
        &machines.map(MachineObject::of).collect::<Vec<_>>(),
    ))
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    only_administrators(world)?;
    let form = call.form();
    let field = |name: &str| {
        form.iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    let Some(name) = field("name").filter(|name| !name.is_empty()) else {
        return Err(Reply::maas_field("name", "This field is required."));
    };
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.len() > 256 || !name.chars().all(valid) {
        return Err(Reply::maas_field(
            "name",
            "Invalid tag name (only alphanumeric, \"_\" and \"-\").",
        ));
    }
    if world.machines.tag(&name).is_some() {
        return Err(Reply::maas_field(
            "name",
            "Tag with this Name already exists.",
        ));
    }
    let tag = world.machines.tag_entry(&name);
    tag.comment = field("comment").unwrap_or_default();
    tag.definition = field("definition").unwrap_or_default();
    tag.kernel_opts = field("kernel_opts").unwrap_or_default();
    Ok(Reply::maas_json(&object(&name, tag)))
}

pub(super) fn update_nodes(world: &mut World, call: &Call) -> Answer {
    let name = call.param(0).to_owned();
    if world.machines.tag(&name).is_none() {
        return Err(no_tag());
    }
    only_administrators(world)?;
    let (mut added, mut removed) = (0, 0);
    for (field, system_id) in call.form() {
        let Some(id) = world.machines.id_of_system(&system_id) else {
            continue;
        };
        let Some(mut tags) = world.machines.get(id).map(|machine| machine.tags.clone()) else {
            continue;
        };
        match field.as_str() {
            "add" => added += u32::from(tags.insert(name.clone())),
            "remove" => removed += u32::from(tags.remove(&name)),
            _ => continue,
        }
        world.machines.set_tags(id, tags);
    }
    Ok(Reply::maas_json(
        &json!({"added": added, "removed": removed}),
    ))
}
