//! The maas2 connector's part of a job: release, allocate, deploy, and release again in cleanup.

use serde_json::{Map, Value};

use super::run::{Then, log, wait};
use super::{Outcome, RECOVERY_FAILED};
use crate::world::World;
use crate::world::job::Phase;
use crate::world::machine::{Ending, Status};
use crate::world::timer::Wake;

/// Seconds that MAAS takes to release a machine, and that the connector takes to notice.
pub(crate) const RELEASE: f64 = 45.0;
const RELEASE_SEEN: f64 = 60.0;
/// Seconds until the connector gives up on a machine that cannot be released.
const RECOVERY: f64 = 300.0;
/// Seconds between two looks of the connector at a deploying machine, on average waited for half.
const DEPLOY_SEEN: f64 = 30.0;

/// Seconds a deployment of this machine takes: 10 to 20 minutes.
pub(crate) fn deploy_seconds(world: &World, machine: &str, ordinal: u64) -> f64 {
    600.0
        + 600.0
            * world
                .chance
                .fraction(&["deploy seconds", machine, &ordinal.to_string()])
}

/// Releases the machine, if it has to be; then [`deploy`].
pub(super) fn begin(world: &mut World, name: &str) {
    if outcome_of(world, name).is_some_and(|outcome| outcome == fails_with(RECOVERY_FAILED)) {
        give_up(world, name);
        return;
    }
    let user = world.config.maas_user.clone();
    let admin = world.config.maas_admin;
    let Some(machine) = world.machines.by_host_mut(name) else {
        give_up(world, name);
        return;
    };
    let foreign = machine.owner.as_ref().is_some_and(|owner| *owner != user);
    if foreign {
        world.counters.provisions_of_foreign_machines += 1;
    }
    let Some(machine) = world.machines.by_host_mut(name) else {
        return;
    };
    let usable = machine.status.may_be_released()
        || matches!(machine.status, Status::Ready | Status::Releasing);
    if machine.locked || (foreign && !admin) || !usable {
        give_up(world, name);
        return;
    }
    let seconds = if machine.status == Status::Ready {
        5.0
    } else {
        RELEASE_SEEN
    };
    log(world, name, format!("Releasing machine {name}\n"));
    release(world, name);
    wait(world, name, seconds, Then::Deploy);
}

fn fails_with(code: i64) -> Outcome {
    Outcome::Fail {
        phase: Phase::Provision,
        code,
    }
}

/// MAAS refuses the release, so the connector cannot recover the device.
fn give_up(world: &mut World, name: &str) {
    log(
        world,
        name,
        "ERROR: Device could not be released in MAAS\n".to_owned(),
    );
    wait(
        world,
        name,
        RECOVERY,
        Then::End {
            code: RECOVERY_FAILED,
        },
    );
}

fn outcome_of(world: &World, name: &str) -> Option<Outcome> {
    world
        .agents
        .get(name)?
        .simulation
        .as_ref()?
        .run
        .as_ref()
        .map(|run| run.outcome)
}

/// Releases the machine when it is the agents' own; MAAS goes on by itself.
pub(super) fn release(world: &mut World, name: &str) {
    let user = world.config.maas_user.clone();
    let admin = world.config.maas_admin;
    let Some(machine) = world.machines.by_host_mut(name) else {
        return;
    };
    let mine = admin || machine.owner.as_ref().is_none_or(|owner| *owner == user);
    if machine.locked || !mine {
        return;
    }
    let before = machine.change;
    machine.release();
    if machine.change != before {
        let wake = Wake::Machine {
            id: machine.id,
            change: machine.change,
        };
        world.wake_in(RELEASE, wake);
    }
}

/// Allocates and deploys the released machine.
pub(super) fn deploy(world: &mut World, name: &str) {
    let Some(run) = world
        .agents
        .get(name)
        .and_then(|agent| agent.simulation.as_ref()?.run.clone())
    else {
        return;
    };
    let seconds = deploy_seconds(world, name, run.number);
    let distro = world
        .jobs
        .get(run.serial)
        .and_then(|job| {
            job.data_of(Phase::Provision)?
                .get("distro")?
                .as_str()
                .map(str::to_owned)
        })
        .unwrap_or_else(|| "jammy".to_owned());
    let (ending, seconds) = match run.outcome {
        Outcome::Fail {
            phase: Phase::Provision,
            ..
        } => {
            // Somewhere between a quarter and all of the time a good one takes.
            let part = 0.25
                + 0.75
                    * world
                        .chance
                        .fraction(&["fails after", name, &run.number.to_string()]);
            (Ending::Failed, seconds * part)
        }
        Outcome::Stuck {
            phase: Phase::Provision,
        } => (Ending::Never, f64::INFINITY),
        _ => (Ending::Deployed, seconds),
    };
    let user = world.config.maas_user.clone();
    let Some(machine) = world
        .machines
        .by_host_mut(name)
        .filter(|machine| machine.status == Status::Ready)
    else {
        // A person was faster: allocate answers 409.
        log(
            world,
            name,
            "ERROR: No machine with this system ID available.\n".to_owned(),
        );
        wait(world, name, 5.0, Then::End { code: 1 });
        return;
    };
    machine.allocate(&user);
    machine.deploy(&distro, ending);
    let (id, change) = (machine.id, machine.change);
    log(
        world,
        name,
        format!("Acquiring machine {name}\nDeploying {distro} on {name}\n"),
    );
    let wake = Wake::Machine { id, change };
    if seconds.is_finite() {
        world.wake_in(seconds, wake);
    }
    wait(world, name, seconds + DEPLOY_SEEN, Then::Deployed);
}

/// The connector's exit code, by what became of the machine.
pub(super) fn result(world: &mut World, name: &str) -> i64 {
    let padding = world.config.log_bytes;
    let machine = world.machines.by_host(name);
    let address = machine
        .filter(|machine| machine.status == Status::Deployed)
        .and_then(|machine| machine.ip_addresses.first().cloned());
    let code = match (&address, outcome_of(world, name)) {
        (Some(_), _) => 0,
        (
            None,
            Some(Outcome::Fail {
                phase: Phase::Provision,
                code,
            }),
        ) => code,
        (None, _) => 1,
    };
    let line = match &address {
        Some(address) => format!("Machine {name} is deployed at {address}\n"),
        None => format!(
            "MAAS reports `Failed deployment` of {name}\n\
             \u{1b}[31mERROR: Deployment of machine {name} failed\u{1b}[0m\n\
             ProvisioningError: the device could not be provisioned\n"
        ),
    };
    if padding > 0 {
        log(
            world,
            name,
            "Installing packages.\n".repeat(padding / 21 + 1),
        );
    }
    log(world, name, line);
    if let Some(run) = world
        .agents
        .get(name)
        .and_then(|agent| agent.simulation.as_ref()?.run.clone())
        && let Some(job) = world.jobs.get_mut(run.serial)
    {
        let mut info = Map::new();
        info.insert("agent_name".to_owned(), Value::from(name));
        info.insert("device_ip".to_owned(), Value::from(address));
        job.device_info = Some(info);
    }
    code
}
