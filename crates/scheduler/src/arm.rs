//! Armed slots against wanted slots.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::{BusError, Outgoing, Published, Start};
use jiff::Timestamp;
use ledger::{Ledger, LedgerError};
use model::id::CycleId;
use model::name::RackName;
use model::rack::RackRecord;
use model::subject::{Subject, stream};
use plan::slots::Slots;

use crate::waiting::Waiting;

/// Slots are armed this far ahead: ticks go on while every scheduler is down for that long.
const HORIZON: Duration = Duration::from_secs(24 * 3600);

type Slot = (RackName, Timestamp);

/// Reads what the racks want and what is armed, and makes the second like the first. Returns how many are armed then.
pub(crate) async fn pass(ledger: &Ledger, now: Timestamp) -> Result<usize, LedgerError> {
    let racks = racks(ledger).await?;
    let armed: BTreeSet<Slot> = Waiting::ticks(ledger)
        .await?
        .slots()
        .map(|(rack, slot)| (rack.clone(), slot))
        .collect();
    let difference = difference(&racks, &armed, now);
    let in_the_end = armed.len() - difference.purge.len() + difference.arm.len();
    for (rack, slot) in difference.purge {
        tracing::info!(rack.name = %rack, %slot, "purging a slot that is no longer wanted");
        ledger
            .bus()
            .purge(stream::RACK, &Subject::Slot { rack, slot }.to_string())
            .await?;
    }
    for (rack, slot) in difference.arm {
        arm(ledger, rack, slot).await?;
    }
    // Last: that an action is no event yet keeps no rack from ticking.
    for (rack, record) in &racks {
        if let Some(record) = record {
            let told = ledger.tell_for_others(rack, record, now).await;
            if let Err(error) = told {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(rack.name = %rack, error, "what was done to this rack is not told yet");
            }
        }
    }
    Ok(in_the_end)
}

/// Arms a slot; false when somebody else has.
pub(crate) async fn arm(
    ledger: &Ledger,
    rack: RackName,
    slot: Timestamp,
) -> Result<bool, LedgerError> {
    let (body, cycle) = (rack.to_string(), CycleId::of_slot(&rack, slot));
    let message = Outgoing::new(Subject::Slot { rack, slot }, body)
        .at(slot, Subject::Tick)
        .of_cycle(cycle)
        .first_only();
    Ok(ledger.bus().publish(message).await? != Published::Exists)
}

/// All racks; `None` for one whose record cannot be read, perhaps because a later racktick wrote it. A key that is no
/// rack name was not written by racktick, and is left alone.
pub(crate) async fn racks(
    ledger: &Ledger,
) -> Result<BTreeMap<RackName, Option<RackRecord>>, LedgerError> {
    let mut racks = BTreeMap::new();
    let mut stored = ledger.racks().changes(Start::LastOfEach).await?;
    loop {
        let (key, record) = match stored.next_stored().await {
            Ok(None) => return Ok(racks),
            Ok(Some(change)) => match change.entry {
                Some(entry) => (change.key, Some(entry.value)),
                None => continue,
            },
            Err(BusError::Malformed { key, source, .. }) => {
                tracing::error!(rack.name = key, "the rack is left as it is: {source}");
                (key, None)
            }
            Err(error) => return Err(error.into()),
        };
        if let Ok(rack) = RackName::new(key) {
            racks.insert(rack, record);
        }
    }
}

/// What to do about the difference between wanted and armed slots.
#[derive(Debug, Default, PartialEq)]
struct Difference {
    arm: Vec<Slot>,
    purge: Vec<Slot>,
}

fn difference(
    racks: &BTreeMap<RackName, Option<RackRecord>>,
    armed: &BTreeSet<Slot>,
    now: Timestamp,
) -> Difference {
    let mut difference = Difference::default();
    let mut schedules = BTreeMap::new();
    for (rack, record) in racks {
        let Some(record) = record else {
            continue;
        };
        if record.paused.is_some() {
            continue;
        }
        match Slots::new(&record.schedule, rack) {
            Ok(slots) => {
                let wanted = plan::arm::to_arm(&slots, now, HORIZON);
                difference.arm.extend(
                    wanted
                        .into_iter()
                        .map(|slot| (rack.clone(), slot))
                        .filter(|wanted| !armed.contains(wanted)),
                );
                schedules.insert(rack, slots);
            }
            Err(error) => tracing::error!(rack.name = %rack, "the schedule is unusable: {error}"),
        }
    }
    for (rack, slot) in armed {
        let wanted = match racks.get(rack) {
            // Nobody knows what it wants: its next slots stay armed until somebody does.
            Some(None) => true,
            _ => schedules
                .get(rack)
                .is_some_and(|slots| slots.contains(*slot)),
        };
        // What is due already is on its way; the tick's handler decides what becomes of it.
        if *slot > now && !wanted {
            difference.purge.push((rack.clone(), *slot));
        }
    }
    difference
}

#[cfg(test)]
mod tests {
    use model::rack::Pause;
    use model::schedule::Schedule;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn rack(name: &str) -> RackName {
        RackName::new(name).unwrap()
    }

    fn every(hours: u64) -> Option<RackRecord> {
        Some(RackRecord::new(
            Schedule::Every {
                every: Duration::from_secs(hours * 3600),
                splay: None,
            },
            now(),
        ))
    }

    #[test]
    fn the_coming_day_is_armed_and_a_second_pass_changes_nothing() {
        let racks = BTreeMap::from([(rack("r1"), every(6)), (rack("r2"), every(48))]);
        let first = difference(&racks, &BTreeSet::new(), now());
        assert_eq!(
            first
                .arm
                .iter()
                .filter(|(name, _)| *name == rack("r1"))
                .count(),
            4
        );
        assert_eq!(
            first
                .arm
                .iter()
                .filter(|(name, _)| *name == rack("r2"))
                .count(),
            2
        );
        assert_eq!(
            difference(&racks, &first.arm.into_iter().collect(), now()),
            Difference::default()
        );
    }

    #[test]
    fn slots_of_a_changed_paused_or_removed_rack_are_purged() {
        let racks = BTreeMap::from([
            (rack("r1"), every(6)),
            (rack("r2"), every(6)),
            (rack("r3"), every(6)),
        ]);
        let armed: BTreeSet<Slot> = difference(&racks, &BTreeSet::new(), now())
            .arm
            .into_iter()
            .collect();
        let mut paused = every(6);
        paused.as_mut().unwrap().paused = Some(Pause {
            by: "ann".into(),
            why: String::new(),
            at: now(),
        });
        let racks = BTreeMap::from([(rack("r1"), every(5)), (rack("r2"), paused)]);
        let after = difference(&racks, &armed, now());
        let purged = |name| after.purge.iter().filter(|(rack, _)| *rack == name).count();
        assert_eq!((purged(rack("r2")), purged(rack("r3"))), (4, 4));
        assert!(purged(rack("r1")) > 0 && after.arm.iter().all(|(name, _)| *name == rack("r1")));
    }

    #[test]
    fn slots_of_a_rack_whose_record_cannot_be_read_stay() {
        let armed = BTreeSet::from([(rack("r1"), now() + Duration::from_secs(60))]);
        assert_eq!(
            difference(&BTreeMap::from([(rack("r1"), None)]), &armed, now()),
            Difference::default()
        );
    }

    #[test]
    fn a_slot_that_is_due_is_left_to_fire() {
        let armed = BTreeSet::from([(rack("gone"), now())]);
        assert_eq!(
            difference(&BTreeMap::new(), &armed, now()),
            Difference::default()
        );
    }
}
