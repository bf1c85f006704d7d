//! MAAS machines and tags.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A machine's status. The number is MAAS's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Enlisted, not commissioned.
    New = 0,
    /// Being commissioned.
    Commissioning = 1,
    /// Commissioning failed.
    FailedCommissioning = 2,
    /// Not seen any more.
    Missing = 3,
    /// Free to be allocated.
    Ready = 4,
    /// Reserved for someone.
    Reserved = 5,
    /// Runs an operating system.
    Deployed = 6,
    /// Out of service.
    Retired = 7,
    /// Marked broken.
    Broken = 8,
    /// Being installed.
    Deploying = 9,
    /// Taken by a user.
    Allocated = 10,
    /// Installation failed.
    FailedDeployment = 11,
    /// Being released.
    Releasing = 12,
    /// Release failed.
    FailedReleasing = 13,
    /// Disks are being erased.
    DiskErasing = 14,
    /// Erasing failed.
    FailedDiskErasing = 15,
    /// In the rescue system.
    RescueMode = 16,
    /// On the way there.
    EnteringRescueMode = 17,
    /// Did not get there.
    FailedEnteringRescueMode = 18,
    /// On the way out.
    ExitingRescueMode = 19,
    /// Did not get out.
    FailedExitingRescueMode = 20,
    /// Hardware tests run.
    Testing = 21,
    /// Hardware tests failed.
    FailedTesting = 22,
}

use Status::{
    Allocated, Broken, Commissioning, Deployed, Deploying, DiskErasing, EnteringRescueMode,
    ExitingRescueMode, FailedCommissioning, FailedDeployment, FailedDiskErasing,
    FailedEnteringRescueMode, FailedExitingRescueMode, FailedReleasing, FailedTesting, Missing,
    New, Ready, Releasing, RescueMode, Reserved, Retired, Testing,
};

/// Number, query word, label, and the word of the simplified status.
const STATUSES: [(Status, &str, &str, &str); 23] = [
    (New, "new", "New", "new"),
    (
        Commissioning,
        "commissioning",
        "Commissioning",
        "commissioning",
    ),
    (
        FailedCommissioning,
        "failed_commissioning",
        "Failed commissioning",
        "failed",
    ),
    (Missing, "missing", "Missing", "other"),
    (Ready, "ready", "Ready", "ready"),
    (Reserved, "reserved", "Reserved", "other"),
    (Deployed, "deployed", "Deployed", "deployed"),
    (Retired, "retired", "Retired", "other"),
    (Broken, "broken", "Broken", "broken"),
    (Deploying, "deploying", "Deploying", "deploying"),
    (Allocated, "allocated", "Allocated", "allocated"),
    (
        FailedDeployment,
        "failed_deployment",
        "Failed deployment",
        "failed",
    ),
    (Releasing, "releasing", "Releasing", "releasing"),
    (
        FailedReleasing,
        "failed_releasing",
        "Releasing failed",
        "failed",
    ),
    (DiskErasing, "disk_erasing", "Disk erasing", "releasing"),
    (
        FailedDiskErasing,
        "failed_disk_erasing",
        "Failed disk erasing",
        "failed",
    ),
    (RescueMode, "rescue_mode", "Rescue mode", "rescue_mode"),
    (
        EnteringRescueMode,
        "entering_rescue_mode",
        "Entering rescue mode",
        "rescue_mode",
    ),
    (
        FailedEnteringRescueMode,
        "failed_entering_rescue_mode",
        "Failed to enter rescue mode",
        "failed",
    ),
    (
        ExitingRescueMode,
        "exiting_rescue_mode",
        "Exiting rescue mode",
        "rescue_mode",
    ),
    (
        FailedExitingRescueMode,
        "failed_exiting_rescue_mode",
        "Failed to exit rescue mode",
        "failed",
    ),
    (Testing, "testing", "Testing", "testing"),
    (FailedTesting, "failed_testing", "Failed testing", "failed"),
];

/// The words of `simple_status`.
pub(crate) const SIMPLE_STATUSES: [&str; 12] = [
    "allocated",
    "broken",
    "commissioning",
    "deployed",
    "deploying",
    "failed",
    "new",
    "other",
    "ready",
    "releasing",
    "rescue_mode",
    "testing",
];

impl Status {
    fn row(self) -> &'static (Status, &'static str, &'static str, &'static str) {
        &STATUSES[usize::from(self.number())]
    }

    /// `status` of the API.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The word that queries use.
    pub fn word(self) -> &'static str {
        self.row().1
    }

    /// `status_name` of the API.
    pub fn label(self) -> &'static str {
        self.row().2
    }

    pub(crate) fn simple(self) -> &'static str {
        self.row().3
    }

    /// By query word or label.
    pub fn from_name(name: &str) -> Option<Self> {
        STATUSES
            .iter()
            .find(|(_, word, label, _)| *word == name || *label == name)
            .map(|row| row.0)
    }

    pub(crate) fn may_be_released(self) -> bool {
        matches!(
            self,
            Allocated
                | Reserved
                | Broken
                | Deploying
                | Deployed
                | FailedDeployment
                | FailedDiskErasing
                | FailedReleasing
        )
    }
}

/// How a deployment that was begun will end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Deployed,
    Failed,
    /// The installer never reports back.
    Never,
}

/// One machine.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) id: u64,
    pub(crate) system_id: String,
    pub(crate) hostname: String,
    pub(crate) domain: String,
    pub(crate) status: Status,
    pub(crate) status_message: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) locked: bool,
    pub(crate) power_state: String,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) zone: String,
    pub(crate) pool: String,
    pub(crate) agent_name: String,
    pub(crate) osystem: String,
    pub(crate) distro_series: String,
    pub(crate) hwe_kernel: Option<String>,
    pub(crate) ephemeral_deploy: bool,
    pub(crate) ip_addresses: Vec<String>,
    pub(crate) mac_address: String,
    pub(crate) description: String,
    pub(crate) error_description: String,
    pub(crate) owner_data: BTreeMap<String, String>,
    /// Counts status changes, so that an overtaken timer is noticed.
    pub(crate) change: u64,
    /// How the running deployment will end.
    pub(crate) ending: Ending,
}

impl Machine {
    /// The address the machine has while it runs.
    pub(crate) fn address(&self) -> String {
        format!(
            "10.{}.{}.{}",
            (self.id >> 16) & 0xff,
            (self.id >> 8) & 0xff,
            self.id & 0xff
        )
    }

    pub(crate) fn allocate(&mut self, owner: &str) {
        self.change += 1;
        self.status = Allocated;
        self.owner = Some(owner.to_owned());
    }

    /// Begins a deployment; a timer ends it.
    pub(crate) fn deploy(&mut self, distro_series: &str, ending: Ending) {
        self.change += 1;
        self.status = Deploying;
        self.power_state = "on".to_owned();
        self.osystem = "ubuntu".to_owned();
        self.distro_series = distro_series.to_owned();
        self.ending = ending;
    }

    /// Begins a release; a timer ends it. Releasing or Ready machines stay as they are: the call is idempotent.
    pub(crate) fn release(&mut self) {
        if self.status.may_be_released() {
            self.change += 1;
            self.status = Releasing;
            self.power_state = "off".to_owned();
        }
    }

    /// What the timer of a status in progress makes of the machine.
    pub(crate) fn finish_change(&mut self) {
        self.change += 1;
        match (self.status, self.ending) {
            (Releasing | DiskErasing, _) => {
                self.status = Ready;
                self.owner = None;
                self.owner_data.clear();
                self.ip_addresses.clear();
                self.osystem.clear();
                self.distro_series.clear();
                self.agent_name.clear();
                self.hwe_kernel = None;
                self.ephemeral_deploy = false;
                self.error_description.clear();
                self.status_message = Some("Ready".to_owned());
            }
            (Deploying, Ending::Deployed) => {
                self.status = Deployed;
                self.ip_addresses = vec![self.address()];
                self.status_message = Some("Deployed".to_owned());
            }
            (Deploying, Ending::Failed | Ending::Never) => {
                self.status = FailedDeployment;
                self.error_description =
                    "Node failed to be deployed, installation has failed".to_owned();
                self.status_message = Some("Failed to power on or to install".to_owned());
            }
            _ => {}
        }
    }
}

/// A tag that MAAS knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tag {
    pub(crate) definition: String,
    pub(crate) comment: String,
    pub(crate) kernel_opts: String,
    pub(crate) machines: BTreeSet<u64>,
}

/// All machines, by database id, with the ways in.
#[derive(Debug, Default)]
pub(crate) struct Machines {
    by_id: BTreeMap<u64, Machine>,
    by_system_id: HashMap<String, u64>,
    by_hostname: HashMap<String, u64>,
    tags: BTreeMap<String, Tag>,
    added: u64,
}

impl Machines {
    pub(crate) fn next_id(&self) -> u64 {
        self.added + 1
    }

    pub(crate) fn add(&mut self, machine: Machine) {
        self.added = self.added.max(machine.id);
        self.by_system_id
            .insert(machine.system_id.clone(), machine.id);
        self.by_hostname
            .insert(machine.hostname.clone(), machine.id);
        for tag in &machine.tags {
            self.tags
                .entry(tag.clone())
                .or_default()
                .machines
                .insert(machine.id);
        }
        self.by_id.insert(machine.id, machine);
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Machine> {
        let machine = self.by_id.remove(&id)?;
        self.by_system_id.remove(&machine.system_id);
        self.by_hostname.remove(&machine.hostname);
        for tag in self.tags.values_mut() {
            tag.machines.remove(&id);
        }
        Some(machine)
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Machine> {
        self.by_id.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Machine> {
        self.by_id.get_mut(&id)
    }

    pub(crate) fn id_of_system(&self, system_id: &str) -> Option<u64> {
        self.by_system_id.get(system_id).copied()
    }

    pub(crate) fn id_of_host(&self, hostname: &str) -> Option<u64> {
        self.by_hostname.get(hostname).copied()
    }

    pub(crate) fn by_host(&self, hostname: &str) -> Option<&Machine> {
        self.get(self.id_of_host(hostname)?)
    }

    pub(crate) fn by_host_mut(&mut self, hostname: &str) -> Option<&mut Machine> {
        self.by_id.get_mut(&self.id_of_host(hostname)?)
    }

    /// In the order of the database.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Machine> {
        self.by_id.values()
    }

    pub(crate) fn tags(&self) -> impl Iterator<Item = (&str, &Tag)> {
        self.tags.iter().map(|(name, tag)| (name.as_str(), tag))
    }

    pub(crate) fn tag(&self, name: &str) -> Option<&Tag> {
        self.tags.get(name)
    }

    /// The tag of this name, made when there is none.
    pub(crate) fn tag_entry(&mut self, name: &str) -> &mut Tag {
        self.tags.entry(name.to_owned()).or_default()
    }

    pub(crate) fn set_tags(&mut self, id: u64, tags: BTreeSet<String>) {
        let Some(machine) = self.by_id.get_mut(&id) else {
            return;
        };
        for gone in machine.tags.difference(&tags) {
            if let Some(tag) = self.tags.get_mut(gone) {
                tag.machines.remove(&id);
            }
        }
        for name in &tags {
            self.tags
                .entry(name.clone())
                .or_default()
                .machines
                .insert(id);
        }
        machine.tags = tags;
    }

    pub(crate) fn rename(&mut self, id: u64, hostname: &str) {
        if let Some(machine) = self.by_id.get_mut(&id) {
            self.by_hostname.remove(&machine.hostname);
            machine.hostname = hostname.to_owned();
            self.by_hostname.insert(hostname.to_owned(), id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_stands_at_its_number() {
        for (number, (status, word, label, simple)) in STATUSES.iter().enumerate() {
            assert_eq!(usize::from(status.number()), number);
            assert_eq!(
                (status.word(), status.label(), status.simple()),
                (*word, *label, *simple)
            );
            assert_eq!(Status::from_name(word), Some(*status));
            assert_eq!(Status::from_name(label), Some(*status));
            assert!(SIMPLE_STATUSES.contains(simple));
        }
    }
}
