//! Bringing claims back from what Testflinger says, after the broker's data was lost. Only a person starts this: the
//! job protocol itself never takes a claim from anywhere but its records.

use std::time::Duration;

use bus::Written;
use jiff::Timestamp;
use model::cycle::{CycleRecord, Fate, Origin, Planned};
use model::id::{CycleId, JobId};
use model::machine::{Claim, MachineRecord, Running};
use model::name::{MachineName, RackName};
use model::outcome::Outcome;
use model::subject::key;
use model::task::Pace;
use serde_json::Value;

use crate::tasks::submit_task;
use crate::{Ledger, LedgerError};

/// A job of ours that Testflinger has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteJob {
    /// The job.
    pub job: JobId,
    /// Its machine.
    pub machine: MachineName,
    /// Its rack.
    pub rack: RackName,
    /// Its cycle.
    pub cycle: CycleId,
    /// When Testflinger stored it.
    pub submitted_at: Timestamp,
    /// When it becomes overdue.
    pub deadline: Timestamp,
    /// What it proved, once it is over. Until then it may still work on its machine.
    pub verdict: Option<Outcome>,
}

/// What the records have to say to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoption {
    /// The machine is free here: the job gets the claim.
    Claimed,
    /// It is over, and its cycle is not known here: the cycle comes back with its verdict, so that a slot which fires
    /// again finds it.
    Recorded,
    /// The records know it.
    Known,
    /// The job's fate is decided here, although Testflinger still works on it.
    Settled,
    /// This other job has the machine here.
    Taken(JobId),
}

/// What a cycle's record needs that is brought back with its jobs.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// Who does it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// When the jobs are looked at, and how long they may take.
    pub pace: Pace,
    /// The job document of the policy, for the record.
    pub document: Value,
}

impl Ledger {
    /// What adopting the job would lead to.
    pub async fn adoption(&self, job: &RemoteJob) -> Result<Adoption, LedgerError> {
        if job.verdict.is_some() {
            let record = self.cycle(&job.rack, job.cycle).await?;
            return Ok(record.map_or(Adoption::Recorded, |_| Adoption::Known));
        }
        let entry = self.machine(&job.machine).await?;
        Ok(adoption(&entry.record, job.job))
    }

    /// Brings back what is lost of jobs that belong to one cycle of one rack: the claims of those that are not over, then the
    /// cycle, then the looks. May be repeated. In this order the sweep cannot take them for jobs that were never
    /// submitted.
    pub async fn adopt(
        &self,
        jobs: &[RemoteJob],
        recovery: &Recovery,
    ) -> Result<Vec<Adoption>, LedgerError> {
        let Some(any) = jobs.first() else {
            return Ok(Vec::new());
        };
        // Where the cycle is still known, its submits may still come: their fates must not be forgotten before.
        let known = self.cycle(&any.rack, any.cycle).await?;
        let deploy_by = match known.map(|record| record.fate) {
            Some(Fate::Planned(planned)) => planned.deploy_by.max(recovery.at),
            _ => recovery.at,
        };
        let mut adoptions = Vec::with_capacity(jobs.len());
        for job in jobs {
            adoptions.push(match job.verdict {
                Some(_) => self.adoption(job).await?,
                None => self.claim_back(job, deploy_by).await?,
            });
        }
        let ours: Vec<&RemoteJob> = jobs
            .iter()
            .zip(&adoptions)
            .filter(|(_, adoption)| !matches!(adoption, Adoption::Settled | Adoption::Taken(_)))
            .map(|(job, _)| job)
            .collect();
        let Some(first) = ours.first() else {
            return Ok(adoptions);
        };
        let planned = planned(&ours, recovery);
        let record = cycle_of(first, &ours, planned.clone(), recovery);
        // A record that is there is the one that was frozen.
        if let Written::Done(_) = self
            .cycles
            .create(&key::cycle(&first.rack, first.cycle), &record)
            .await?
        {
            self.tell_decisions(&record).await?;
        }
        for job in ours.iter().filter(|job| job.verdict.is_none()) {
            let look = submit_task(&record, &planned, &job.machine).first_look();
            self.look_now(&look, recovery.at).await?;
        }
        // Where all are over, nothing else will end the cycle.
        self.close(&first.rack, first.cycle).await?;
        Ok(adoptions)
    }

    /// M11.
    async fn claim_back(
        &self,
        job: &RemoteJob,
        deploy_by: Timestamp,
    ) -> Result<Adoption, LedgerError> {
        let claim = Running {
            job: job.job,
            cycle: job.cycle,
            rack: job.rack.clone(),
            submitted_at: job.submitted_at,
            deadline: job.deadline,
            deploy_by,
            // Nobody knows how often it was posted: its looks see whether there are two of it.
            renewed: true,
            doubled: None,
            verdict: None,
            cancel: None,
        };
        let entry = self.machine(&job.machine).await?;
        let known = adoption(&entry.record, job.job);
        if known != Adoption::Claimed {
            return Ok(known);
        }
        let written = self
            .change_machine(&job.machine, entry, |record| record.adopt(claim.clone()))
            .await?;
        match written {
            Ok(_) => Ok(Adoption::Claimed),
            // Somebody else wrote the record meanwhile.
            Err(_) => self.adoption(job).await,
        }
    }
}

fn adoption(record: &MachineRecord, job: JobId) -> Adoption {
    if record.settled.contains_key(&job) {
        return Adoption::Settled;
    }
    match &record.claim {
        Claim::Idle => Adoption::Claimed,
        claim => match claim.job() {
            Some(other) if other != job => Adoption::Taken(other),
            _ => Adoption::Known,
        },
    }
}

/// These jobs alone: nobody knows what else was decided.
fn planned(jobs: &[&RemoteJob], recovery: &Recovery) -> Planned {
    Planned {
        at: recovery.at,
        deploy_by: recovery.at,
        spread: Duration::ZERO,
        deploy: jobs
            .iter()
            .map(|job| (job.machine.clone(), job.submitted_at))
            .collect(),
        skip: Default::default(),
        pace: recovery.pace,
        job: recovery.document.clone(),
    }
}

fn cycle_of(
    first: &RemoteJob,
    jobs: &[&RemoteJob],
    planned: Planned,
    recovery: &Recovery,
) -> CycleRecord {
    CycleRecord {
        v: CycleRecord::VERSION,
        rack: first.rack.clone(),
        cycle: first.cycle,
        origin: Origin::Manual {
            by: Some(recovery.by.clone()),
            reason: Some("brought back from Testflinger".into()),
        },
        ticked_at: planned
            .deploy
            .values()
            .min()
            .copied()
            .unwrap_or(recovery.at),
        fate: Fate::Planned(planned),
        outcomes: jobs
            .iter()
            .filter_map(|job| Some((job.machine.clone(), job.verdict.as_ref()?.brief())))
            .collect(),
        settled_at: None,
        closed: false,
    }
}
