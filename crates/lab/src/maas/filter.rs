//! The query of `GET machines/`.

use std::collections::BTreeSet;

use super::view::{CPU_COUNT, MEMORY_MIB};
use crate::reply::Reply;
use crate::world::World;
use crate::world::machine::{Machine, SIMPLE_STATUSES, Status};

/// Parameters that MAAS knows and the lab does not act on.
const NOT_SIMULATED: [&str; 15] = [
    "storage",
    "interfaces",
    "subnets",
    "not_subnets",
    "vlans",
    "not_vlans",
    "fabrics",
    "not_fabrics",
    "fabric_classes",
    "not_fabric_classes",
    "link_speed",
    "devices",
    "connected_to",
    "not_connected_to",
    "deployment_target",
];

/// Whether a machine fits one parameter.
type Test = Box<dyn Fn(&Machine) -> bool>;

/// The machines that a query asks for, in the order of the database.
pub(super) fn matching<'a>(
    world: &'a World,
    query: &[(String, String)],
) -> Result<Vec<&'a Machine>, Reply> {
    let mut tests: Vec<Test> = Vec::new();
    let mut candidates: Option<BTreeSet<u64>> = None;
    let names: BTreeSet<&str> = query.iter().map(|(name, _)| name.as_str()).collect();
    for name in names {
        if name == "op" || name.starts_with("oauth_") {
            continue;
        }
        let values: Vec<String> = query
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .collect();
        if name == "tags" {
            for tag in known_tags(world, name, &values)? {
                let tagged = world
                    .machines
                    .tag(&tag)
                    .map(|tag| tag.machines.clone())
                    .unwrap_or_default();
                candidates = Some(match candidates {
                    Some(before) => before.intersection(&tagged).copied().collect(),
                    None => tagged,
                });
            }
            continue;
        }
        if name == "hostname" || name == "system_id" || name == "id" {
            let find = |value: &String| match name {
                "hostname" => world.machines.id_of_host(value),
                _ => world.machines.id_of_system(value),
            };
            let found: BTreeSet<u64> = values.iter().filter_map(find).collect();
            candidates = Some(match candidates {
                Some(before) => before.intersection(&found).copied().collect(),
                None => found,
            });
            continue;
        }
        tests.push(test(world, name, values)?);
    }
    let wanted = |machine: &&Machine| tests.iter().all(|test| test(machine));
    Ok(match candidates {
        Some(ids) => ids
            .into_iter()
            .filter_map(|id| world.machines.get(id))
            .filter(wanted)
            .collect(),
        None => world.machines.iter().filter(wanted).collect(),
    })
}

/// The names in the values, each of which may hold several, separated by blanks or commas.
fn known_tags(world: &World, field: &str, values: &[String]) -> Result<Vec<String>, Reply> {
    let names: BTreeSet<String> = values
        .iter()
        .flat_map(|value| value.split([' ', ',']))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let unknown: Vec<String> = names
        .iter()
        .filter(|name| world.machines.tag(name).is_none())
        .map(|name| format!("'{name}'"))
        .collect();
    if unknown.is_empty() {
        Ok(names.into_iter().collect())
    } else {
        Err(Reply::maas_field(
            field,
            format!("No such tag(s): {}.", unknown.join(", ")),
        ))
    }
}

fn test(world: &World, name: &str, values: Vec<String>) -> Result<Test, Reply> {
    let (plain, wanted) = match name {
        "not_in_zone" => ("zone", false),
        "not_in_pool" => ("pool", false),
        _ => match name.strip_prefix("not_") {
            Some(rest) => (rest, false),
            None => (name, true),
        },
    };
    let any_of = move |values: Vec<String>, field: fn(&Machine) -> &str| -> Test {
        Box::new(move |machine| values.iter().any(|value| value == field(machine)) == wanted)
    };
    let existing = |what: &str, field: fn(&Machine) -> &str, always: &[&str]| {
        let is_known = |value: &&String| {
            always.contains(&value.as_str())
                || world
                    .machines
                    .iter()
                    .any(|machine| field(machine) == value.as_str())
        };
        match values.iter().find(|value| !is_known(value)) {
            Some(unknown) => Err(Reply::maas_field(
                name,
                format!("No such {what}: '{unknown}'."),
            )),
            None => Ok(()),
        }
    };
    Ok(match plain {
        "tags" => {
            let tags = known_tags(world, name, &values)?;
            Box::new(move |machine| !tags.iter().any(|tag| machine.tags.contains(tag)))
        }
        "hostname" => any_of(values, |machine| &machine.hostname),
        "id" | "system_id" => any_of(values, |machine| &machine.system_id),
        "domain" => any_of(values, |machine| &machine.domain),
        "agent_name" => any_of(values, |machine| &machine.agent_name),
        "zone" => {
            existing("zone(s)", |machine| &machine.zone, &["default"])?;
            any_of(values, |machine| &machine.zone)
        }
        "pool" => {
            existing("pool(s)", |machine| &machine.pool, &["default"])?;
            any_of(values, |machine| &machine.pool)
        }
        "owner" => {
            let user = world.config.maas_user.clone();
            existing(
                "owner",
                |machine| machine.owner.as_deref().unwrap_or_default(),
                &[&user, "admin"],
            )?;
            any_of(values, |machine| {
                machine.owner.as_deref().unwrap_or_default()
            })
        }
        "power_state" => {
            one_of(name, &values, &["on", "off", "unknown", "error"])?;
            any_of(values, |machine| &machine.power_state)
        }
        "mac_address" => {
            let is_mac = |value: &String| {
                value.split(':').count() == 6
                    && value
                        .split(':')
                        .all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok())
            };
            if !values.iter().all(is_mac) {
                return Err(Reply::maas_field(
                    name,
                    "Invalid parameter: invalid MAC address format",
                ));
            }
            let values = values
                .into_iter()
                .map(|value| value.to_lowercase())
                .collect();
            any_of(values, |machine| &machine.mac_address)
        }
        "status" => {
            let statuses = values
                .iter()
                .map(|value| {
                    let word = value.strip_prefix('=').unwrap_or(value);
                    Status::from_name(word)
                        .filter(|status| status.word() == word)
                        .ok_or_else(|| choice(name, value))
                })
                .collect::<Result<Vec<_>, _>>()?;
            Box::new(move |machine| statuses.contains(&machine.status) == wanted)
        }
        "simple_status" => {
            one_of(name, &values, &SIMPLE_STATUSES)?;
            any_of(values, |machine| machine.status.simple())
        }
        "arch" => {
            let fits = |value: &String| value == "amd64" || value == "amd64/generic";
            let fitting = values.iter().any(fits);
            Box::new(move |_| fitting == wanted)
        }
        "cpu_count" | "cpu_speed" | "mem" => {
            let most = match plain {
                "cpu_count" => f64::from(CPU_COUNT),
                "cpu_speed" => 2400.0,
                _ => f64::from(MEMORY_MIB),
            };
            let least = values
                .iter()
                .map(|value| {
                    value
                        .parse::<f64>()
                        .map_err(|_| Reply::maas_field(name, "Enter a number."))
                })
                .collect::<Result<Vec<_>, _>>()?;
            Box::new(move |_| least.iter().all(|least| *least <= most) == wanted)
        }
        _ if NOT_SIMULATED.contains(&name) => {
            return Err(Reply::maas_text(
                501,
                format!("The lab does not simulate the constraint {name}."),
            ));
        }
        _ => return Err(Reply::maas_field(name, "No such constraint.")),
    })
}

fn one_of(name: &str, values: &[String], known: &[&str]) -> Result<(), Reply> {
    match values.iter().find(|value| !known.contains(&value.as_str())) {
        Some(unknown) => Err(choice(name, unknown)),
        None => Ok(()),
    }
}

fn choice(name: &str, value: &str) -> Reply {
    Reply::maas_field(
        name,
        format!("Select a valid choice. {value} is not one of the available choices."),
    )
}
