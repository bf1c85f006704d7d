//! The tasks that a cycle's record leads to, for whoever sends them: the tick first, the sweep when one was lost.

use bus::Outgoing;
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

impl Ledger {
    /// Holds a look back until it is due. It replaces the one that was held back before.
    pub async fn arm_look(&self, watch: &Watch, due: Timestamp) -> Result<(), LedgerError> {
        let target = Subject::Watch {
            rack: watch.rack.clone(),
            machine: watch.machine.clone(),
        };
        let message = outgoing(Subject::WaitWatch(watch.job), watch).at(due, target);
        self.bus.publish(message).await?;
        Ok(())
    }
}
