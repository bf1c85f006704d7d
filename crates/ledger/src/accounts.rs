//! Outcomes into cycle records. Many jobs of a cycle may end at once, and the cycle has one key: whoever holds the
//! cycle's lock writes what all that wait for it have brought.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bus::{Entry, Written};
use jiff::Timestamp;
use model::cycle::CycleRecord;
use model::id::CycleId;
use model::name::{MachineName, RackName};
use model::outcome::Outcome;
use model::subject::key;
use rand::RngExt;
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::{Ledger, LedgerError};

/// Cycles remembered beyond those at work, so that a cycle's record is not read for each of its outcomes.
const REMEMBERED: usize = 128;

/// Tries to write one cycle before the messages are given back. Only other processes compete for it.
const TRIES: usize = 50;

#[derive(Default)]
pub(crate) struct Accounts {
    open: Mutex<HashMap<(RackName, CycleId), Arc<Account>>>,
}

#[derive(Default)]
struct Account {
    arrived: Mutex<Vec<Arrival>>,
    /// Held while writing; keeps the record as last seen. It may be stale: the write is a compare-and-set.
    record: tokio::sync::Mutex<Option<Entry<CycleRecord>>>,
}

struct Arrival {
    machine: MachineName,
    outcome: Outcome,
    at: Timestamp,
    done: oneshot::Sender<Result<(), LedgerError>>,
}

impl Accounts {
    fn of(&self, rack: &RackName, cycle: CycleId) -> Arc<Account> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= REMEMBERED {
            open.retain(|_, account| Arc::strong_count(account) > 1);
        }
        Arc::clone(open.entry((rack.clone(), cycle)).or_default())
    }

    fn forget(&self, rack: &RackName, cycle: CycleId) {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(rack.clone(), cycle));
    }
}

impl Ledger {
    /// Copies a machine's outcome into its cycle and ends the cycle when it was the last. A value that is set stays.
    pub async fn account(
        &self,
        rack: &RackName,
        cycle: CycleId,
        machine: &MachineName,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        let account = self.accounts.of(rack, cycle);
        loop {
            let (done, mut result) = oneshot::channel();
            let arrival = Arrival {
                machine: machine.clone(),
                outcome: outcome.clone(),
                at,
                done,
            };
            account
                .arrived
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(arrival);

            let mut record = account.record.lock().await;
            match result.try_recv() {
                // Whoever held the lock before has written this one, too.
                Ok(result) => return result,
                // It was taken along by a handler that was dropped before it could say what became of it.
                Err(TryRecvError::Closed) => continue,
                Err(TryRecvError::Empty) => {}
            }
            let arrivals = std::mem::take(
                &mut *account
                    .arrived
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            );
            let written = self
                .write_arrivals(rack, cycle, &mut record, &arrivals)
                .await;
            if !matches!(written, Ok(false)) {
                self.accounts.forget(rack, cycle);
            }
            for arrival in arrivals {
                // A receiver that is gone was a handler that was dropped; its message comes again.
                let _ = arrival.done.send(written.clone().map(|_| ()));
            }
            return written.map(|_| ());
        }
    }

    /// Ends a cycle that is complete, for whoever finds it so without bringing an outcome.
    pub async fn close(&self, rack: &RackName, cycle: CycleId) -> Result<(), LedgerError> {
        self.write_arrivals(rack, cycle, &mut None, &[])
            .await
            .map(|_| ())
    }

    /// Returns whether the cycle needs no more accounting: it is closed, or has no record.
    ///
    /// `known` is empty while an outcome is on its way: whoever is dropped here leaves nothing behind that looks
    /// written.
    async fn write_arrivals(
        &self,
        rack: &RackName,
        cycle: CycleId,
        known: &mut Option<Entry<CycleRecord>>,
        arrivals: &[Arrival],
    ) -> Result<bool, LedgerError> {
        let key = key::cycle(rack, cycle);
        for attempt in 0..TRIES {
            let entry = match known.take() {
                Some(entry) => Some(entry),
                None => self.cycles.get(&key).await?,
            };
            let Some(mut entry) = entry else {
                tracing::warn!(rack.name = %rack, cycle.id = %cycle, "an outcome came for a cycle that has no record");
                return Ok(true);
            };
            let before = entry.value.outcomes.len();
            for arrival in arrivals {
                entry
                    .value
                    .account(&arrival.machine, &arrival.outcome, arrival.at);
            }
            if entry.value.outcomes.len() > before {
                match self
                    .cycles
                    .update(&key, &entry.value, entry.revision)
                    .await?
                {
                    Written::Done(revision) => entry.revision = revision,
                    Written::Conflict => {
                        pause_before(attempt + 1).await;
                        continue;
                    }
                }
            }
            if entry.value.closed {
                return Ok(true);
            }
            if !entry.value.is_complete() {
                *known = Some(entry);
                return Ok(false);
            }
            self.publish_end(&entry.value).await?;
            entry.value.closed = true;
            match self
                .cycles
                .update(&key, &entry.value, entry.revision)
                .await?
            {
                Written::Done(_) => return Ok(true),
                Written::Conflict => {}
            }
        }
        Err(LedgerError::Busy { key })
    }
}

/// Competing writers come back at different times.
async fn pause_before(attempt: usize) {
    let most = 5 * attempt.min(20) as u64;
    let wait = rand::rng().random_range(0..=most);
    tokio::time::sleep(Duration::from_millis(wait)).await;
}
