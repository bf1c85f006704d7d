//! Machine records as this process last saw them. They may be stale, which a compare-and-set notices; what it saves is
//! a read before a write that nearly always succeeds.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::name::MachineName;

use crate::MachineEntry;

/// Records remembered at a time. One takes a few kilobytes at the most.
const REMEMBERED: usize = 2048;

#[derive(Default)]
pub(crate) struct Recent {
    entries: Mutex<HashMap<MachineName, MachineEntry>>,
}

impl Recent {
    pub(crate) fn put(&self, machine: &MachineName, entry: MachineEntry) {
        let mut entries = self.entries();
        if entries.len() >= REMEMBERED {
            // Whatever is not used soon is stale.
            entries.clear();
        }
        entries.insert(machine.clone(), entry);
    }

    pub(crate) fn take(&self, machine: &MachineName) -> Option<MachineEntry> {
        self.entries().remove(machine)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<MachineName, MachineEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
