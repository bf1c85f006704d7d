//! The racks' schedules, pauses and next slots, from the bucket `racks`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ledger::{Ledger, stored};
use model::name::RackName;
use model::rack::RackRecord;
use plan::slots::Slots;
use tokio::sync::watch;

use crate::poll::poll;

/// How often the bucket is read: a person who pauses a rack looks at once whether it is paused.
const EVERY: Duration = Duration::from_secs(3);

/// The records of all racks that were added.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedules {
    /// Whether they were read at all: a broker may be away when a dashboard starts.
    pub is_read: bool,
    /// By rack. A record that cannot be read is left out.
    pub racks: BTreeMap<RackName, RackRecord>,
}

impl Schedules {
    /// When the rack ticks next, unless it is paused, was never added, or has no slot any more.
    pub fn next_slot(&self, rack: &RackName, now: Timestamp) -> Option<Timestamp> {
        Slots::of(rack, self.racks.get(rack)?)?.after(now)
    }

    /// The slots of all racks within a time from now, the earliest first, at most `most` of them.
    pub fn coming(
        &self,
        now: Timestamp,
        within: SignedDuration,
        most: usize,
    ) -> Vec<(Timestamp, RackName)> {
        let end = now.checked_add(within).unwrap_or(Timestamp::MAX);
        let mut coming = Vec::new();
        for (rack, record) in &self.racks {
            if let Some(slots) = Slots::of(rack, record) {
                let all = slots.iter_after(now).take_while(|slot| *slot <= end);
                coming.extend(all.take(most).map(|slot| (slot, rack.clone())));
            }
        }
        coming.sort();
        coming.truncate(most);
        coming
    }
}

/// Keeps the schedules up with the bucket.
pub async fn follow(ledger: &Ledger, schedules: &watch::Sender<Schedules>) -> Infallible {
    poll("the racks' schedules", EVERY, schedules, async |_| {
        let racks = stored::racks(ledger).await?;
        let readable = racks
            .into_iter()
            .filter_map(|(rack, record)| Some((rack, record.ok()?)));
        Ok(Schedules {
            is_read: true,
            racks: readable.collect(),
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use model::rack::Pause;
    use model::schedule::Schedule;

    use super::*;

    #[test]
    fn coming_slots_are_of_all_racks_that_are_not_paused() {
        let now: Timestamp = "2026-11-28T00:00:00Z".parse().unwrap();
        let mut schedules = Schedules::default();
        for (rack, hours) in [("r1", 6), ("r2", 24), ("r3", 1)] {
            let every = Schedule::Every {
                every: Duration::from_secs(hours * 3600),
                splay: None,
            };
            let record = RackRecord::new(every, now);
            schedules.racks.insert(RackName::new(rack).unwrap(), record);
        }
        let r3 = RackName::new("r3").unwrap();
        schedules.racks.get_mut(&r3).unwrap().paused = Some(Pause {
            by: "ann".into(),
            why: String::new(),
            at: now,
        });
        let coming = |most| schedules.coming(now, SignedDuration::from_hours(24), most);
        let of: Vec<_> = coming(100).into_iter().map(|(_, rack)| rack).collect();
        let count = |name: &str| of.iter().filter(|rack| rack.as_str() == name).count();
        assert_eq!((count("r1"), count("r2"), count("r3")), (4, 1, 0));
        assert!(coming(100).is_sorted());
        assert_eq!(coming(2), coming(100)[..2]);
        assert_eq!(schedules.next_slot(&r3, now), None);
    }
}
