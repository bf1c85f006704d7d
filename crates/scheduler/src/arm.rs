//! Armed slots against wanted slots.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::{Outgoing, Published};
use jiff::Timestamp;
use ledger::{Ledger, LedgerError};
use model::name::RackName;
use model::rack::RackRecord;
use model::subject::{Subject, filter, stream};
use plan::slots::Slots;

/// Slots are armed this far ahead: ticks go on while every scheduler is down for that long.
const HORIZON: Duration = Duration::from_secs(24 * 3600);

type Slot = (RackName, Timestamp);

/// Reads what the racks want and what is armed, and makes the second like the first.
pub(crate) async fn pass(ledger: &Ledger, now: Timestamp) -> Result<(), LedgerError> {
    let racks = racks(ledger).await?;
    let armed = armed(ledger).await?;
    let difference = difference(&racks, &armed, now);
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
    Ok(())
}

/// Arms a slot; false when somebody else has.
pub(crate) async fn arm(
    ledger: &Ledger,
    rack: RackName,
    slot: Timestamp,
) -> Result<bool, LedgerError> {
    let body = rack.to_string();
    let message = Outgoing::new(Subject::Slot { rack, slot }, body)
        .at(slot, Subject::Tick)
        .first_only();
    Ok(ledger.bus().publish(message).await? != Published::Exists)
}

/// All racks. A record under a key that is no rack name was not written by racktick, and is left alone.
pub(crate) async fn racks(ledger: &Ledger) -> Result<BTreeMap<RackName, RackRecord>, LedgerError> {
    let entries = ledger.racks().entries(">").await?;
    Ok(entries
        .into_iter()
        .filter_map(|(key, entry)| Some((RackName::new(key).ok()?, entry.value)))
        .collect())
}

/// All armed slots.
pub(crate) async fn armed(ledger: &Ledger) -> Result<BTreeSet<Slot>, LedgerError> {
    let subjects = ledger.bus().subjects(stream::RACK, filter::ARMED).await?;
    Ok(subjects
        .keys()
        .filter_map(|subject| match subject.parse() {
            Ok(Subject::Slot { rack, slot }) => Some((rack, slot)),
            _ => None,
        })
        .collect())
}

/// What to do about the difference between wanted and armed slots.
#[derive(Debug, Default, PartialEq)]
struct Difference {
    arm: Vec<Slot>,
    purge: Vec<Slot>,
}

fn difference(
    racks: &BTreeMap<RackName, RackRecord>,
    armed: &BTreeSet<Slot>,
    now: Timestamp,
) -> Difference {
    let mut difference = Difference::default();
    let mut schedules = BTreeMap::new();
    for (rack, record) in racks {
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
        // What is due already is on its way; the tick's handler decides what becomes of it.
        let wanted = schedules
            .get(rack)
            .is_some_and(|slots| slots.contains(*slot));
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

    fn every(hours: u64) -> RackRecord {
        RackRecord::new(
            Schedule::Every {
                every: Duration::from_secs(hours * 3600),
                splay: None,
            },
            now(),
        )
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
        paused.paused = Some(Pause {
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
    fn a_slot_that_is_due_is_left_to_fire() {
        let armed = BTreeSet::from([(rack("gone"), now())]);
        assert_eq!(
            difference(&BTreeMap::new(), &armed, now()),
            Difference::default()
        );
    }
}
