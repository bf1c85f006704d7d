//! From the frozen record to messages. Everything here may be repeated: ids are those of the facts and jobs, and the
//! batches are cut from the frozen list by position.

use bus::Outgoing;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use ledger::LedgerError;
use model::cycle::{CycleRecord, Fate, Planned};
use model::id::JobId;
use model::name::MachineName;
use model::subject::Subject;

use super::Handler;

/// Messages in an atomic batch. The broker takes 1,000; smaller ones can be handed out while the next is on its way.
const BATCH: usize = 250;
/// Batches under way at a time.
const BATCHES: usize = 4;

impl Handler {
    /// Publishes what the record says, and ends the cycle when nothing is left to wait for. The decisions come first, so
    /// that they precede the cycle's end; whoever closed the cycle has told them.
    pub(super) async fn carry_out(&self, record: &CycleRecord) -> Result<(), LedgerError> {
        if let Fate::Planned(planned) = &record.fate
            && !record.closed
        {
            self.ledger.tell_decisions(record).await?;
            self.send_submits(record, planned).await?;
        }
        if record.is_complete() {
            self.ledger.close(&record.rack, record.cycle).await?;
        }
        Ok(())
    }

    async fn send_submits(
        &self,
        record: &CycleRecord,
        planned: &Planned,
    ) -> Result<(), LedgerError> {
        let now = Timestamp::now();
        let machines: Vec<(&MachineName, &Timestamp)> = planned.deploy.iter().collect();
        let mut batches = Vec::new();
        for chunk in machines.chunks(BATCH) {
            if chunk
                .iter()
                .any(|(machine, _)| !record.outcomes.contains_key(*machine))
            {
                let batch = chunk
                    .iter()
                    .map(|(machine, due)| submit(record, planned, machine, **due, now));
                batches.push(batch.collect::<Vec<Outgoing>>());
            }
        }
        stream::iter(batches)
            // A batch that is known was out already.
            .map(|batch| async move {
                self.ledger.bus().publish_batch(batch).await?;
                Ok(())
            })
            .buffer_unordered(BATCHES)
            .try_collect()
            .await
    }
}

fn submit(
    record: &CycleRecord,
    planned: &Planned,
    machine: &MachineName,
    due: Timestamp,
    now: Timestamp,
) -> Outgoing {
    let job = JobId::of(record.cycle, machine);
    let task = ledger::submit_task(record, planned, machine);
    let target = Subject::Submit {
        rack: record.rack.clone(),
        machine: machine.clone(),
    };
    let message = if due > now {
        ledger::outgoing(Subject::WaitSubmit(job), &task).at(due, target)
    } else {
        ledger::outgoing(target, &task)
    };
    message.with_id(job.to_string())
}
