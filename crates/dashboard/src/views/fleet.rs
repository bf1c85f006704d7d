//! The fleet on one page.

use std::collections::{BTreeMap, HashMap};

use model::name::RackName;
use rusqlite::{OptionalExtension, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AsOf;
use super::cell::{Cell, Cells, worst_first};
use super::cycle::CycleSummary;
use crate::history::Reading;
use crate::history::standing::Health;

/// All racks with their machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fleet {
    /// As of when.
    pub as_of: AsOf,
    /// All of it in a line.
    pub totals: Totals,
    /// The racks that any event told of, by name.
    pub racks: Vec<RackCard>,
}

/// A fleet in a line. A machine that several racks have is counted once, with its worst health.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// How many racks.
    pub racks: usize,
    /// How many machines.
    pub machines: usize,
    /// How many machines by health.
    pub health: BTreeMap<Health, usize>,
    /// How many machines have a job now.
    pub deploying: usize,
    /// How many cycles are running.
    pub cycles: usize,
}

/// A rack on the fleet's page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RackCard {
    /// The rack.
    pub rack: RackName,
    /// Its cycles that no event has ended, the oldest first.
    pub running: Vec<CycleSummary>,
    /// Its latest cycle, running or not.
    pub last: Option<CycleSummary>,
    /// Its machines, the worst first.
    pub cells: Vec<Cell>,
}

impl Reading<'_> {
    /// All racks with their machines.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn fleet(&self) -> Result<Fleet> {
        let mut cells: HashMap<String, Vec<Cell>> = HashMap::new();
        self.each_cell(Cells::All, |rack, cell| match cells.get_mut(rack) {
            Some(known) => known.push(cell),
            None => drop(cells.insert(rack.to_owned(), vec![cell])),
        })?;
        let mut running: BTreeMap<RackName, Vec<CycleSummary>> = BTreeMap::new();
        for cycle in self.running_cycles(None)? {
            running.entry(cycle.rack.clone()).or_default().push(cycle);
        }
        let mut racks = Vec::new();
        for rack in self.racks()? {
            let mut cells = cells.remove(rack.as_str()).unwrap_or_default();
            worst_first(&mut cells);
            racks.push(RackCard {
                running: running.remove(&rack).unwrap_or_default(),
                last: self.cycles(Some(&rack), None, 1)?.items.pop(),
                cells,
                rack,
            });
        }
        Ok(Fleet {
            as_of: self.as_of()?,
            totals: totals(&racks),
            racks,
        })
    }

    /// The racks that any event told of, by name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn racks(&self) -> Result<Vec<RackName>> {
        // From one rack to the next by the index: there are many more cycles than racks.
        let mut next = self
            .connection
            .prepare("SELECT rack FROM cycles WHERE rack > ?1 ORDER BY rack LIMIT 1")?;
        let mut racks = Vec::new();
        let mut last = String::new();
        while let Some(rack) = next
            .query_row([&last], |row| super::row::rack(row, "rack"))
            .optional()?
        {
            rack.as_str().clone_into(&mut last);
            racks.push(rack);
        }
        Ok(racks)
    }
}

/// Everything in a line.
pub(crate) fn totals(racks: &[RackCard]) -> Totals {
    let mut machines = HashMap::new();
    for cell in racks.iter().flat_map(|rack| &rack.cells) {
        let known = machines
            .entry(&cell.machine)
            .or_insert((cell.health, cell.job.is_some()));
        known.0 = known.0.min(cell.health);
    }
    let mut totals = Totals {
        racks: racks.len(),
        machines: machines.len(),
        cycles: racks.iter().map(|rack| rack.running.len()).sum(),
        ..Totals::default()
    };
    for (health, has_job) in machines.into_values() {
        *totals.health.entry(health).or_default() += 1;
        totals.deploying += usize::from(has_job);
    }
    totals
}
