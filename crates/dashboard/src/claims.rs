//! The claims of machines, from the bucket `machines`: events tell when a job begins and ends, and nothing tells of a claim
//! that is held on.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use bus::{BusError, Change, Start};
use jiff::Timestamp;
use ledger::Ledger;
use model::id::{CycleId, JobId};
use model::machine::{Claim, MachineRecord};
use model::name::{MachineName, RackName};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;
use utoipa::ToSchema;

/// How long after trouble the records are read again.
const AGAIN: Duration = Duration::from_secs(5);

/// A machine that a job has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClaimView {
    /// The machine.
    pub machine: MachineName,
    /// The job.
    pub job: JobId,
    /// Its cycle.
    pub cycle: CycleId,
    /// Its rack.
    pub rack: RackName,
    /// `submitting`, and then `running`.
    pub state: &'static str,
    /// The worker that submits the job.
    pub by: Option<String>,
    /// When the job was submitted.
    pub since: Option<Timestamp>,
    /// A running job's deadline; of one that is being submitted, until when what its worker sent may still arrive.
    pub until: Timestamp,
}

/// All claims.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claims {
    /// By the machine's key in the bucket. `None`: the records were not read yet.
    held: Option<BTreeMap<String, ClaimView>>,
}

impl Claims {
    /// How many there are, if that is known.
    pub fn count(&self) -> Option<usize> {
        self.held.as_ref().map(BTreeMap::len)
    }

    /// How many are held longer than they should be.
    pub fn late(&self, now: Timestamp) -> usize {
        let held = self.held.iter().flat_map(BTreeMap::values);
        held.filter(|claim| claim.until < now).count()
    }

    /// At most `most` of them, those first that should be over soonest.
    pub fn first(&self, most: usize) -> Vec<ClaimView> {
        let mut held: Vec<&ClaimView> = self.held.iter().flat_map(BTreeMap::values).collect();
        held.sort_by_key(|claim| (claim.until, &claim.machine));
        held.into_iter().take(most).cloned().collect()
    }
}

/// Keeps the claims up with the bucket.
pub async fn follow(ledger: &Ledger, claims: &watch::Sender<Claims>) -> Infallible {
    let mut told = false;
    loop {
        let Err(error) = read(ledger, claims, &mut told).await;
        // Of trouble that lasts, the first is enough.
        if !std::mem::replace(&mut told, true) {
            tracing::warn!(%error, "the claims of machines cannot be read, trying again");
        }
        sleep(AGAIN).await;
    }
}

async fn read(
    ledger: &Ledger,
    claims: &watch::Sender<Claims>,
    told: &mut bool,
) -> Result<Infallible, BusError> {
    let mut changes = ledger.machines().changes(Start::LastOfEach).await?;
    let mut held = BTreeMap::new();
    loop {
        match changes.next_stored().await {
            Ok(Some(change)) => put(&mut held, change),
            Ok(None) => break,
            Err(BusError::Malformed { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    *told = false;
    claims.send_replace(Claims { held: Some(held) });
    loop {
        match changes.next().await {
            Ok(change) => claims.send_modify(|claims| {
                put(claims.held.get_or_insert_default(), change);
            }),
            // What it says now is not known, so what it said before is not shown either.
            Err(BusError::Malformed { key, .. }) => claims.send_modify(|claims| {
                claims.held.get_or_insert_default().remove(&key);
            }),
            Err(error) => return Err(error),
        }
    }
}

fn put(held: &mut BTreeMap<String, ClaimView>, Change { key, entry }: Change<MachineRecord>) {
    match entry.and_then(|entry| view(&key, entry.value.claim)) {
        Some(claim) => held.insert(key, claim),
        None => held.remove(&key),
    };
}

fn view(key: &str, claim: Claim) -> Option<ClaimView> {
    let machine = MachineName::from_token(key).ok()?;
    Some(match claim {
        Claim::Idle => return None,
        Claim::Submitting(claim) => ClaimView {
            machine,
            job: claim.job,
            cycle: claim.cycle,
            rack: claim.rack,
            state: "submitting",
            by: Some(claim.by),
            since: None,
            until: claim.until,
        },
        Claim::Running(claim) => ClaimView {
            machine,
            job: claim.job,
            cycle: claim.cycle,
            rack: claim.rack,
            state: "running",
            by: None,
            since: Some(claim.submitted_at),
            until: claim.deadline,
        },
    })
}
