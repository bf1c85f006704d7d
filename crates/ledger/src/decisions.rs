//! The frozen decisions of a cycle as events.

use futures_util::{StreamExt, TryStreamExt, stream};
use model::cycle::{CycleRecord, Fate};
use model::event::{Event, Fact};
use model::outcome::{Counts, Outcome};

use crate::{Ledger, LedgerError};

/// Skip events under way at a time.
const EVENTS: usize = 64;

impl Ledger {
    /// Tells what was decided for each machine. Whoever is about to move a cycle on does this first: the tick before it
    /// sends its submits, and the sweep before it does any of the tick's work, because nobody tells a cycle that is
    /// closed. Nothing happens for a cycle that was not planned.
    pub async fn tell_decisions(&self, record: &CycleRecord) -> Result<(), LedgerError> {
        let Fate::Planned(planned) = &record.fate else {
            return Ok(());
        };
        let skips = planned
            .skip
            .values()
            .cloned()
            .map(Outcome::Skipped)
            .collect::<Vec<_>>();
        let summary = Fact::CyclePlanned {
            deploy: planned.deploy.len(),
            skip: Counts::of(&skips).reasons,
            deploy_by: planned.deploy_by,
            spread: planned.spread,
        };
        let event = |fact| Event {
            time: planned.at,
            rack: record.rack.clone(),
            cycle: record.cycle,
            fact,
        };
        self.publish(&event(summary)).await?;
        let mut skips = Vec::with_capacity(planned.skip.len());
        for (machine, skip) in &planned.skip {
            skips.push(event(Fact::MachineSkipped {
                machine: machine.clone(),
                skip: skip.clone(),
            }));
        }
        stream::iter(skips)
            .map(|event| async move { self.publish(&event).await })
            .buffer_unordered(EVENTS)
            .try_collect()
            .await
    }
}
