//! Machine records as this process last saw or wrote them. They may be stale, which a compare-and-set notices; what it
//! saves is a read before a write that nearly always succeeds.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::name::MachineName;

use crate::MachineEntry;

/// Bytes of records remembered at a time. They are kept as JSON: a record with a long history takes a multiple of that.
const REMEMBERED: usize = 4 << 20;
/// What a remembered record takes besides its own bytes, about.
const OVERHEAD: usize = 128;

#[derive(Default)]
pub(crate) struct Recent {
    kept: Mutex<Kept>,
}

/// Two generations. When the young one is full, it becomes the old one, and what was in that is forgotten: so the
/// oldest go first, without a list of who was used when.
#[derive(Default)]
struct Kept {
    young: Generation,
    old: Generation,
}

#[derive(Default)]
struct Generation {
    records: HashMap<MachineName, Remembered>,
    bytes: usize,
}

struct Remembered {
    json: Box<[u8]>,
    revision: Option<u64>,
}

impl Recent {
    pub(crate) fn put(&self, machine: &MachineName, entry: &MachineEntry) {
        let Ok(json) = serde_json::to_vec(&entry.record) else {
            return;
        };
        let remembered = Remembered {
            json: json.into(),
            revision: entry.revision,
        };
        let mut kept = self.kept();
        kept.old.take(machine);
        kept.young.take(machine);
        kept.young.put(machine, remembered);
        if kept.young.bytes > REMEMBERED / 2 {
            kept.old = std::mem::take(&mut kept.young);
        }
    }

    pub(crate) fn take(&self, machine: &MachineName) -> Option<MachineEntry> {
        let mut kept = self.kept();
        let remembered = match kept.young.take(machine) {
            Some(remembered) => remembered,
            None => kept.old.take(machine)?,
        };
        drop(kept);
        Some(MachineEntry {
            record: serde_json::from_slice(&remembered.json).ok()?,
            revision: remembered.revision,
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generation {
    fn put(&mut self, machine: &MachineName, remembered: Remembered) {
        self.bytes += remembered.json.len() + OVERHEAD;
        self.records.insert(machine.clone(), remembered);
    }

    fn take(&mut self, machine: &MachineName) -> Option<Remembered> {
        let remembered = self.records.remove(machine)?;
        self.bytes -= remembered.json.len() + OVERHEAD;
        Some(remembered)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use model::machine::MachineRecord;

    use super::*;

    fn entry(revision: u64) -> MachineEntry {
        MachineEntry {
            record: MachineRecord::default(),
            revision: Some(revision),
        }
    }

    #[test]
    fn a_record_is_given_once_and_the_last_one_put() {
        let recent = Recent::default();
        let machine = MachineName::new("m1").unwrap();
        recent.put(&machine, &entry(1));
        recent.put(&machine, &entry(2));
        assert_eq!(recent.take(&machine).unwrap().revision, Some(2));
        assert!(recent.take(&machine).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_go_first() {
        let recent = Recent::default();
        let name = |number: usize| MachineName::new(format!("m{number}")).unwrap();
        for number in 0..50_000 {
            recent.put(&name(number), &entry(1));
        }
        {
            let kept = recent.kept();
            assert!(kept.young.bytes + kept.old.bytes <= REMEMBERED + 1024);
        }
        assert!(recent.take(&name(0)).is_none());
        for number in 45_000..50_000 {
            assert!(recent.take(&name(number)).is_some(), "{number}");
        }
    }
}
