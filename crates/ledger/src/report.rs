//! What follows when a job's fate is settled. Every part is a copy of what the record says, so whoever repeats it
//! changes nothing.

use model::cycle::{CycleRecord, Fate};
use model::event::{Event, Fact, Job};
use model::id::JobId;
use model::machine::Settled;
use model::name::MachineName;
use model::outcome::Outcome;

use crate::{Ledger, LedgerError};

impl Ledger {
    /// Reports a settled job: its final event, its outcome in the cycle, and the end of the cycle when it was the
    /// last. The event comes first, so that a reader sees it before its cycle's end.
    pub async fn report(
        &self,
        machine: &MachineName,
        job: JobId,
        settled: &Settled,
    ) -> Result<(), LedgerError> {
        self.publish(&final_event(machine, job, settled)).await?;
        self.account(
            &settled.rack,
            settled.cycle,
            machine,
            &settled.outcome,
            settled.at,
        )
        .await
    }

    /// Publishes the last event of a complete cycle. The caller then marks the record closed.
    pub(crate) async fn publish_end(&self, record: &CycleRecord) -> Result<(), LedgerError> {
        match end_of_cycle(record) {
            Some(event) => self.publish(&event).await,
            None => Ok(()),
        }
    }
}

/// The event that says what became of a job.
fn final_event(machine: &MachineName, job: JobId, settled: &Settled) -> Event {
    let about = Job {
        machine: machine.clone(),
        job,
    };
    let fact = match &settled.outcome {
        Outcome::Skipped(skip) => Fact::MachineSkipped {
            machine: machine.clone(),
            skip: skip.clone(),
        },
        Outcome::Rejected { status, message } => Fact::JobRejected {
            job: about,
            status: *status,
            message: message.clone(),
        },
        verdict => Fact::JobFinished {
            job: about,
            verdict: verdict.clone(),
            statuses: settled.statuses.clone(),
            submitted_at: settled.submitted_at,
            cancel: settled.cancel.clone(),
            device: settled.device.clone(),
            evidence: settled.evidence.clone(),
        },
    };
    Event {
        time: settled.at,
        rack: settled.rack.clone(),
        cycle: settled.cycle,
        fact,
    }
}

/// The event that ends a cycle, or `None` while machines are open.
pub(crate) fn end_of_cycle(record: &CycleRecord) -> Option<Event> {
    if !record.is_complete() {
        return None;
    }
    let (time, fact) = match &record.fate {
        Fate::Planned(planned) => {
            let time = record.settled_at.unwrap_or(planned.at);
            let duration = time
                .duration_since(record.ticked_at)
                .try_into()
                .unwrap_or_default();
            (
                time,
                Fact::CycleFinished {
                    counts: record.counts(),
                    duration,
                },
            )
        }
        Fate::Missed { cause } => (
            record.ticked_at,
            Fact::TickMissed {
                origin: record.origin.clone(),
                cause: *cause,
            },
        ),
        Fate::Failed {
            cause,
            message,
            attempts,
            at,
        } => (
            *at,
            Fact::CycleFailed {
                attempts: *attempts,
                cause: cause.clone(),
                message: message.clone(),
            },
        ),
    };
    Some(Event {
        time,
        rack: record.rack.clone(),
        cycle: record.cycle,
        fact,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use model::cycle::{MissedCause, Origin};
    use model::id::CycleId;
    use model::name::RackName;

    use super::*;

    fn record(fate: Fate) -> CycleRecord {
        let rack = RackName::new("r1").unwrap();
        let slot = Timestamp::from_second(1_800_000_000).unwrap();
        CycleRecord {
            v: CycleRecord::VERSION,
            cycle: CycleId::of_slot(&rack, slot),
            rack,
            origin: Origin::Slot { slot },
            ticked_at: slot,
            fate,
            outcomes: BTreeMap::new(),
            settled_at: None,
            closed: false,
        }
    }

    #[test]
    fn a_missed_slot_ends_with_that_word() {
        let event = end_of_cycle(&record(Fate::Missed {
            cause: MissedCause::Late,
        }))
        .unwrap();
        assert_eq!(event.subject().to_string(), "event.tick.r1.missed");
    }
}
