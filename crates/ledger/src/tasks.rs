//! The tasks that a cycle's record leads to, for whoever sends them: the tick first, the sweep when one was lost.

use bus::{Outgoing, Published};
use jiff::Timestamp;
use model::cycle::{CycleRecord, Planned};
use model::id::JobId;
use model::name::MachineName;
use model::subject::Subject;
use model::task::{Submit, Watch};
use serde::Serialize;

use crate::{Ledger, LedgerError};

/// A message with a JSON body.
pub fn outgoing(subject: Subject, body: &impl Serialize) -> Outgoing {
    let body =
        serde_json::to_vec(body).expect("tasks hold only text, numbers, lists and maps by text");
    Outgoing::new(subject, body)
}

/// The submit task of a machine of the cycle.
pub fn submit_task(record: &CycleRecord, planned: &Planned, machine: &MachineName) -> Submit {
    Submit {
        v: Submit::VERSION,
        rack: record.rack.clone(),
        machine: machine.clone(),
        cycle: record.cycle,
        job: JobId::of(record.cycle, machine),
        decided_at: planned.at,
        deploy_by: planned.deploy_by,
        pace: planned.pace,
        document: planned.job.clone(),
        swept: false,
        traceparent: Some(record.cycle.traceparent()),
    }
}

/// The same look, which reads the claim for itself.
fn reading(watch: &Watch) -> Watch {
    Watch {
        deadline: None,
        ..watch.clone()
    }
}

/// A look that waits.
fn held_back(watch: &Watch, due: Timestamp) -> Outgoing {
    let target = Subject::Watch {
        rack: watch.rack.clone(),
        machine: watch.machine.clone(),
    };
    outgoing(Subject::WaitWatch(watch.job), watch).at(due, target)
}

impl Ledger {
    /// Holds a look back until it is due. It replaces the one that was held back before, which may have been armed by
    /// whoever asked to cancel the job: so this look reads the claim for itself, whatever its body says it knows.
    pub async fn arm_look(&self, watch: &Watch, due: Timestamp) -> Result<(), LedgerError> {
        self.bus.publish(held_back(&reading(watch), due)).await?;
        Ok(())
    }

    /// Has the job looked at now, for somebody who works on none of its tasks: whoever cancels it or brings it back. This is
    /// a part of its cycle's trace.
    pub async fn look_now(&self, watch: &Watch, now: Timestamp) -> Result<(), LedgerError> {
        let message = held_back(&reading(watch), now).of_cycle(watch.cycle);
        self.bus.publish(message).await?;
        Ok(())
    }

    /// Holds a look back until it is due, and leaves one alone that is held back already. A look that knows of no
    /// cancel is armed in this way only: it takes the place of none that a cancel has armed. Where one is held back,
    /// a look that reads the claim takes its place now: it may be the one that led here, which the broker has sent and
    /// not yet removed.
    pub async fn arm_next_look(&self, watch: &Watch, due: Timestamp) -> Result<(), LedgerError> {
        let message = held_back(watch, due).first_only();
        match self.bus.publish(message).await? {
            Published::Exists => self.arm_look(watch, Timestamp::now()).await,
            Published::Stored(_) | Published::Duplicate(_) => Ok(()),
        }
    }
}
