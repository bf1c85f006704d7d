//! Everything a cycle's decisions need, read from MAAS, Testflinger and the machine records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ledger::{Ledger, LedgerError};
use maas::Maas;
use model::id::JobId;
use model::name::{MachineName, RackName};
use model::outcome::Phase;
use model::policy::Policy;
use model::rack::Sizes;
use plan::inputs::{Agent, Inputs, Machine};
use plan::verdict::ResultDocument;
use testflinger::Testflinger;
use tokio::sync::{Mutex, Semaphore};

use crate::fleet::Fleet;
use crate::trouble::Trouble;

/// How long the name behind the MAAS key is believed. It changes only when somebody makes a new key for another user.
const WHOAMI: Duration = Duration::from_secs(3600);

/// Lists of machines asked for at a time: MAAS has one database.
const LISTS: usize = 8;

/// Where the inputs come from.
pub struct Sources {
    maas: Maas,
    lists: Semaphore,
    testflinger: Testflinger,
    fleet: Fleet,
    ledger: Ledger,
    whoami: Mutex<Option<(Instant, String)>>,
}

/// Why the inputs are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// MAAS or Testflinger.
    #[error(transparent)]
    Remote(#[from] Trouble),
    /// The broker.
    #[error(transparent)]
    Broker(#[from] LedgerError),
}

impl Sources {
    /// Reads from these.
    pub fn new(maas: Maas, testflinger: Testflinger, ledger: Ledger) -> Self {
        Self {
            maas,
            lists: Semaphore::new(LISTS),
            fleet: Fleet::new(testflinger.clone()),
            testflinger,
            ledger,
            whoami: Mutex::new(None),
        }
    }

    /// Reads what decisions about a rack need now.
    pub async fn read(
        &self,
        rack: &RackName,
        paused: bool,
        policy: Policy,
    ) -> Result<Inputs, Unreadable> {
        let (inputs, _) = self.read_with_sizes(rack, paused, policy).await?;
        Ok(inputs)
    }

    /// The same, with the sizes of both lists, by which a sudden shrink is noticed.
    pub async fn read_with_sizes(
        &self,
        rack: &RackName,
        paused: bool,
        policy: Policy,
    ) -> Result<(Inputs, Sizes), Unreadable> {
        let (machines, agents, whoami, allowed_queues) = tokio::try_join!(
            async {
                // Nobody closes it.
                let _place = self.lists.acquire().await;
                self.maas
                    .machines_by_tag(rack.as_str())
                    .await
                    .map_err(Trouble::from)
            },
            self.fleet.agents(),
            self.whoami(),
            async {
                self.testflinger
                    .allowed_queues()
                    .await
                    .map_err(Trouble::from)
            },
        )?;
        let machines = machines
            .into_iter()
            .map(machine)
            .collect::<Result<Vec<_>, _>>()?;
        let sizes = Sizes {
            machines: machines.len(),
            agents: agents.len(),
        };
        // A fleet can be large, and a rack's cycle needs little of it: the rest must not wait here for the broker.
        let agents = of_machines(agents, &machines);
        let claims = self.claims(&machines).await?;
        let inputs = Inputs {
            v: Inputs::VERSION,
            now: Timestamp::now(),
            rack: rack.clone(),
            paused,
            policy,
            whoami,
            machines,
            agents,
            claims,
            allowed_queues,
        };
        Ok((inputs, sizes))
    }

    async fn whoami(&self) -> Result<String, Trouble> {
        let mut known = self.whoami.lock().await;
        match known.as_ref() {
            Some((since, name)) if since.elapsed() < WHOAMI => Ok(name.clone()),
            _ => {
                let name = self.maas.whoami().await?.name;
                *known = Some((Instant::now(), name.clone()));
                Ok(name)
            }
        }
    }

    async fn claims(
        &self,
        machines: &[Machine],
    ) -> Result<BTreeMap<MachineName, JobId>, LedgerError> {
        let names = machines.iter().map(|machine| &machine.hostname);
        let entries = self.ledger.machines_of(names).await?;
        let claims = entries
            .into_iter()
            .filter_map(|(machine, entry)| Some((machine, entry.record.claim.job()?)));
        Ok(claims.collect())
    }
}

/// The agents that bear the name of one of these machines.
fn of_machines(agents: Arc<Vec<Agent>>, machines: &[Machine]) -> Vec<Agent> {
    let names: BTreeSet<&str> = machines
        .iter()
        .map(|machine| machine.hostname.as_str())
        .collect();
    agents
        .iter()
        .filter(|agent| names.contains(agent.name.as_str()))
        .cloned()
        .collect()
}

fn machine(read: maas::Machine) -> Result<Machine, Trouble> {
    let hostname = MachineName::new(read.hostname).map_err(|error| Trouble {
        cause: "malformed",
        message: format!(
            "MAAS lists machine {} with an unusable host name: {error}",
            read.system_id
        ),
        retry_after: None,
    })?;
    Ok(Machine {
        hostname,
        system_id: read.system_id,
        status: read.status,
        status_name: read.status_name,
        owner: read.owner,
        locked: read.locked,
    })
}

/// An agent as the decisions see it.
pub(crate) fn agent(read: testflinger::Agent) -> Agent {
    Agent {
        name: read.name,
        state: read.state,
        queues: read.queues.into_iter().collect(),
        location: read.location,
        updated_at: read.updated_at,
        streak_type: read.provision_streak_type,
        streak_count: read
            .provision_streak_count
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0),
        restricted_to: read
            .restricted_to
            .into_iter()
            .map(|(queue, owners)| (queue, owners.into_iter().collect()))
            .collect(),
    }
}

/// What Testflinger says of a job, in the records' words.
pub fn document(read: &testflinger::JobResult) -> ResultDocument {
    ResultDocument {
        state: read.job_state.clone().unwrap_or_default(),
        statuses: statuses(&read.phases),
    }
}

fn statuses(read: &BTreeMap<testflinger::Phase, i64>) -> BTreeMap<Phase, i64> {
    read.iter()
        .map(|(read, status)| (phase(*read), *status))
        .collect()
}

/// A phase in the records' words.
pub(crate) fn phase(read: testflinger::Phase) -> Phase {
    match read {
        testflinger::Phase::Setup => Phase::Setup,
        testflinger::Phase::Provision => Phase::Provision,
        testflinger::Phase::FirmwareUpdate => Phase::FirmwareUpdate,
        testflinger::Phase::Test => Phase::Test,
        testflinger::Phase::Allocate => Phase::Allocate,
        testflinger::Phase::Reserve => Phase::Reserve,
        testflinger::Phase::Cleanup => Phase::Cleanup,
    }
}
