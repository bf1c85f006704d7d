//! What waits in the work queues, each queue seen in one moment: a message that moves from being held back to being
//! handed out is in every picture once.

use std::collections::BTreeSet;

use bus::Stored;
use jiff::Timestamp;
use ledger::{Ledger, LedgerError};
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::subject::{Subject, stream};
use model::task::{Task, Tick};

/// Handed out ticks that are looked through for those of slots: anybody may send ticks. A slot whose tick is behind them is
/// taken for lost, and a second tick of it is the same cycle.
const MOST_TICKS: usize = 4096;

/// Every subject that holds a message.
pub(crate) struct Waiting {
    subjects: BTreeSet<Subject>,
}

impl Waiting {
    /// Ticks, and what is armed.
    pub(crate) async fn ticks(ledger: &Ledger) -> Result<Self, LedgerError> {
        Self::read(ledger, stream::RACK).await
    }

    /// Submits and looks, handed out or held back.
    pub(crate) async fn tasks(ledger: &Ledger) -> Result<Self, LedgerError> {
        Self::read(ledger, stream::TASK).await
    }

    async fn read(ledger: &Ledger, stream: &str) -> Result<Self, LedgerError> {
        let stored = ledger.bus().subjects(stream, ">").await?;
        Ok(Self {
            subjects: stored
                .keys()
                .filter_map(|subject| subject.parse().ok())
                .collect(),
        })
    }

    /// The slots that are armed.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (&RackName, Timestamp)> {
        self.subjects.iter().filter_map(|subject| match subject {
            Subject::Slot { rack, slot } => Some((rack, *slot)),
            _ => None,
        })
    }

    /// Whether the slot is armed, or its tick waits for another attempt.
    pub(crate) fn tick_of(&self, rack: &RackName, slot: Timestamp, cycle: CycleId) -> bool {
        let rack = || rack.clone();
        self.subjects
            .contains(&Subject::Slot { rack: rack(), slot })
            || self.subjects.contains(&Subject::Retry {
                rack: rack(),
                cycle,
            })
    }

    /// Whether a message will bring this job forward: its own, or one of its machine that may be its own.
    pub(crate) fn work_on(&self, job: JobId, rack: &RackName, machine: &MachineName) -> bool {
        let (rack, machine) = (|| rack.clone(), || machine.clone());
        [
            Subject::WaitSubmit(job),
            Subject::WaitWatch(job),
            Subject::Submit {
                rack: rack(),
                machine: machine(),
            },
            Subject::Watch {
                rack: rack(),
                machine: machine(),
            },
        ]
        .iter()
        .any(|subject| self.subjects.contains(subject))
    }
}

/// The cycles of slots whose ticks are handed out. All ticks share one subject, so only the messages say whose they are.
pub(crate) async fn handed_out(ledger: &Ledger) -> Result<BTreeSet<CycleId>, LedgerError> {
    let (mut cycles, mut next) = (BTreeSet::new(), 1);
    let subject = Subject::Tick.to_string();
    for _ in 0..MOST_TICKS {
        let Some(stored) = ledger.bus().next_on(stream::RACK, &subject, next).await? else {
            break;
        };
        next = stored.sequence + 1;
        cycles.extend(slot_cycle(&stored));
    }
    Ok(cycles)
}

/// The cycle that a worker makes of a tick, if it is a slot's.
fn slot_cycle(stored: &Stored) -> Option<CycleId> {
    let tick = Tick::parse(&stored.body).ok()?;
    let identity = match &tick.resume {
        Some(resume) => resume.clone(),
        None => tick
            .first_attempt(stored.scheduler().as_ref(), stored.time, None)
            .ok()?,
    };
    identity.is_slot().then(|| tick.cycle_of(&identity))?
}
