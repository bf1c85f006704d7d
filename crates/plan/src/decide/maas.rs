//! What MAAS says against a deployment.

use model::outcome::{Skip, SkipReason};
use model::policy::Policy;

use crate::inputs::Machine;

/// The status of a machine that somebody has deployed.
const DEPLOYED: i64 = 6;
/// The statuses from which a deployment may start: Ready, Allocated, Deployed, Failed deployment, Releasing failed.
/// The numbers are those of MAAS's API.
const STARTING_POINTS: [i64; 5] = [4, 10, DEPLOYED, 11, 13];

/// The first objection that follows from the machine's record in MAAS.
pub(super) fn object(policy: &Policy, whoami: &str, machine: &Machine) -> Option<Skip> {
    if machine.locked {
        return Some(Skip::new(SkipReason::MaasLocked));
    }
    if !machine
        .status
        .is_some_and(|status| STARTING_POINTS.contains(&status))
    {
        return Some(Skip::of(SkipReason::MaasStatus, status(machine)));
    }
    match machine.owner.as_deref().filter(|owner| !owner.is_empty()) {
        Some(owner) if is_ours(policy, whoami, owner) => None,
        Some(owner) => Some(Skip::of(SkipReason::MaasOwner, owner)),
        // MAAS names an owner for every deployed machine. Where it does not, nobody can say whose work we would wipe.
        None if machine.status == Some(DEPLOYED) => Some(Skip::of(
            SkipReason::MaasOwner,
            "not named, although the machine is deployed",
        )),
        None => None,
    }
}

fn is_ours(policy: &Policy, whoami: &str, owner: &str) -> bool {
    if policy.maas_owners.is_empty() {
        owner == whoami
    } else {
        policy.maas_owners.iter().any(|name| name == owner)
    }
}

fn status(machine: &Machine) -> String {
    match machine.status {
        Some(_) => machine.status_name.clone(),
        None => format!("{} (without a number)", machine.status_name),
    }
}
