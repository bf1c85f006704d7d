//! The racks, machines and agents a lab begins with, odd ones included.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::World;
use super::agent::{Agent, Simulation, Streak};
use super::machine::{Ending, Machine, Status};
use super::timer::Wake;
use crate::LabError;
use crate::config::{ODDITIES, Oddity};

/// Older than any limit that makes sense for a heartbeat once a day.
const SILENT_FOR: SignedDuration = SignedDuration::from_hours(30);
/// Above the streak limit of 20 that the original program has.
const ODD_STREAK: u32 = 24;

impl World {
    pub(super) fn populate(&mut self) {
        for rack in 1..=self.config.racks {
            let rack = format!("r{rack}");
            self.machines.tag_entry(&rack);
            let first_odd = self.config.machines - self.config.odd;
            for number in 0..self.config.machines {
                let name = format!("{rack}-m{:02}", number + 1);
                let oddity = number
                    .checked_sub(first_odd)
                    .map(|kind| ODDITIES[kind as usize % ODDITIES.len()]);
                self.add_odd(&rack, &name, oddity);
            }
        }
        self.wake_housekeeping();
    }

    pub(crate) fn wake_housekeeping(&mut self) {
        // Real time: what it looks after (days) is measured by the real clock.
        self.timers
            .add(std::time::Duration::from_secs(600), Wake::Housekeeping);
    }

    /// Adds a machine and its agent to a rack, as a person would who puts one in.
    pub(crate) fn add_to_rack(&mut self, rack: &str, name: &str) -> Result<(), LabError> {
        if self.machines.id_of_host(name).is_some() {
            return Err(LabError::Exists {
                kind: "machine",
                name: name.to_owned(),
            });
        }
        self.add_machine(rack, name);
        if self.agents.get(name).is_none() {
            self.add_agent(rack, name);
        }
        Ok(())
    }

    fn add_odd(&mut self, rack: &str, name: &str, oddity: Option<Oddity>) {
        if oddity != Some(Oddity::TestflingerOnly) {
            self.add_machine(rack, name);
        }
        if oddity == Some(Oddity::NoAgent) {
            self.directory
                .advertised
                .entry(name.to_owned())
                .or_default()
                .description = Some(String::new());
        }
        if !matches!(oddity, Some(Oddity::MaasOnly | Oddity::NoAgent)) {
            self.add_agent(rack, name);
        }
        if let Some(oddity) = oddity {
            self.make_odd(name, oddity);
        }
    }

    fn make_odd(&mut self, name: &str, oddity: Oddity) {
        let user = self.config.maas_user.clone();
        if let Some(agent) = self.agents.get_mut(name) {
            match oddity {
                Oddity::Offline => {
                    agent.post_state(
                        "offline",
                        "Set to offline by testflinger-admin. Reason: waits for a new disk",
                    );
                }
                Oddity::Maintenance => {
                    agent.post_state(
                        "maintenance",
                        "Set to offline by testflinger-admin for lab-related task.",
                    );
                }
                Oddity::OtherLocation => agent.location = Some("TEL1".to_owned()),
                Oddity::SilentAgent => {
                    agent.updated_at = Some(Timestamp::now() - SILENT_FOR);
                    if let Some(simulation) = &mut agent.simulation {
                        simulation.dead = true;
                    }
                }
                Oddity::FailStreak => {
                    agent.streak = Some(Streak {
                        pass: false,
                        count: ODD_STREAK,
                    })
                }
                _ => {}
            }
        }
        if let Some(machine) = self.machines.by_host_mut(name) {
            let owner = match oddity {
                Oddity::Locked => Some(user),
                Oddity::OwnedByPerson => Some("alice".to_owned()),
                _ => None,
            };
            if let Some(owner) = owner {
                machine.allocate(&owner);
                machine.deploy("noble", Ending::Deployed);
                machine.finish_change();
                machine.locked = oddity == Oddity::Locked;
            }
        }
        if oddity == Oddity::RestrictedQueue {
            self.directory.restrict(name, "lab-owner");
        }
    }

    pub(crate) fn add_machine(&mut self, rack: &str, name: &str) {
        let id = self.machines.next_id();
        let mut system_id = self.chance.name(&["system id", name], 6);
        let mut round = 0_u32;
        while self.machines.id_of_system(&system_id).is_some() {
            round += 1;
            system_id = self
                .chance
                .name(&["system id", name, &round.to_string()], 6);
        }
        let mac = self.chance.number(&["mac", name]).to_be_bytes();
        self.machines.add(Machine {
            id,
            system_id,
            hostname: name.to_owned(),
            domain: "maas".to_owned(),
            status: Status::Ready,
            status_message: Some("Ready".to_owned()),
            owner: None,
            locked: false,
            power_state: "off".to_owned(),
            tags: BTreeSet::from([rack.to_owned(), "ipmi".to_owned()]),
            zone: "default".to_owned(),
            pool: "default".to_owned(),
            agent_name: String::new(),
            osystem: String::new(),
            distro_series: String::new(),
            hwe_kernel: None,
            ephemeral_deploy: false,
            ip_addresses: Vec::new(),
            mac_address: format!("52:54:00:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2]),
            description: String::new(),
            error_description: String::new(),
            owner_data: Default::default(),
            change: 0,
            ending: Ending::Deployed,
        });
    }

    pub(crate) fn add_agent(&mut self, rack: &str, name: &str) {
        let simulation = self.config.instant.is_none().then(Simulation::default);
        let location = self.config.location.clone();
        let agent: &mut Agent = self.agents.upsert(name);
        agent.location = Some(location);
        agent.provision_type = Some("maas2".to_owned());
        agent.identifier = Some(String::new());
        agent.job_id = Some(String::new());
        agent.simulation = simulation;
        agent.post_state("waiting", "");
        self.agents
            .set_queues(name, vec![name.to_owned(), format!("lab-{rack}")]);
    }
}
