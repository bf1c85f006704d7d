//! Deploy a machine, or leave it alone for a named reason. The rules are asked in a fixed order, that of
//! [`SkipReason`], and the first that objects gives the reason.
//!
//! A name may stand for several entries: MAAS tells machines apart by domain as well, and nothing but Testflinger's
//! own care keeps agents unique. Nobody can say which entry the agent's jobs work on, so such a machine is deployed,
//! once, only if the rules object to none of its entries.

mod agent;
mod maas;

use std::collections::{BTreeMap, BTreeSet};

use model::name::MachineName;
use model::outcome::{Skip, SkipReason};

use crate::exclude::Exclude;
use crate::inputs::{Agent, Inputs, Machine};

pub use agent::object_to_agent;

/// What becomes of the machines of a rack: each is in exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    /// To be deployed.
    pub deploy: BTreeSet<MachineName>,
    /// Left alone.
    pub skip: BTreeMap<MachineName, Skip>,
}

/// Decides for every machine of the rack. The order of the inputs does not matter.
pub fn decide(inputs: &Inputs) -> Decisions {
    let exclude = Exclude::new(&inputs.policy.exclude);
    let mut machines: BTreeMap<&MachineName, Vec<&Machine>> = BTreeMap::new();
    for machine in &inputs.machines {
        machines.entry(&machine.hostname).or_default().push(machine);
    }
    let mut agents: BTreeMap<&str, Vec<&Agent>> = BTreeMap::new();
    for agent in &inputs.agents {
        agents.entry(&agent.name).or_default().push(agent);
    }
    let mut decisions = Decisions::default();
    for (name, machines) in machines {
        let agents = agents.get(name.as_str()).map_or(&[][..], Vec::as_slice);
        match objection(inputs, &exclude, name, &machines, agents) {
            Some(skip) => {
                decisions.skip.insert(name.clone(), short(skip));
            }
            None => {
                decisions.deploy.insert(name.clone());
            }
        }
    }
    decisions
}

fn objection(
    inputs: &Inputs,
    exclude: &Exclude,
    name: &MachineName,
    machines: &[&Machine],
    agents: &[&Agent],
) -> Option<Skip> {
    if inputs.paused {
        return Some(Skip::new(SkipReason::RackPaused));
    }
    if let Some(pattern) = exclude.matching(name.as_str()) {
        return Some(Skip::of(SkipReason::Excluded, pattern));
    }
    if let Some(job) = inputs.claims.get(name) {
        return Some(Skip::of(SkipReason::InFlight, job.to_string()));
    }
    let in_maas = machines.iter().filter_map(|machine| {
        let skip = maas::object(&inputs.policy, &inputs.whoami, machine)?;
        Some(if machines.len() == 1 {
            skip
        } else {
            one_of_several(skip, machine, machines.len())
        })
    });
    first(in_maas).or_else(|| object_to_agents(inputs, name, agents))
}

fn object_to_agents(inputs: &Inputs, name: &MachineName, agents: &[&Agent]) -> Option<Skip> {
    let object = |agent| {
        object_to_agent(
            &inputs.policy,
            inputs.now,
            agent,
            name,
            &inputs.allowed_queues,
        )
    };
    if agents.is_empty() {
        return object(None);
    }
    first(agents.iter().filter_map(|agent| object(Some(*agent))))
}

/// The objection of the rule that is asked first.
fn first(skips: impl Iterator<Item = Skip>) -> Option<Skip> {
    skips.min_by_key(|skip| (skip.reason, skip.detail.clone(), skip.heard_at))
}

/// A skip is stored with its cycle, and what it quotes was written by strangers: it must stay short.
fn short(skip: Skip) -> Skip {
    const LONGEST: usize = 200;
    match skip.detail {
        Some(detail) if detail.chars().count() > LONGEST => {
            let start: String = detail.chars().take(LONGEST).collect();
            Skip {
                detail: Some(format!("{start}...")),
                ..skip
            }
        }
        _ => skip,
    }
}

fn one_of_several(skip: Skip, machine: &Machine, count: usize) -> Skip {
    let which = format!(
        "{}, one of {count} machines of this name",
        machine.system_id
    );
    let detail = match skip.detail {
        Some(detail) => format!("{detail} ({which})"),
        None => which,
    };
    Skip::of(skip.reason, detail)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
