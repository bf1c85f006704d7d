//! `racktick status`: the fleet, or one rack, on one screen. Read from the records, of which there are far fewer than
//! events.

mod fleet;
mod rack;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use bus::BusError;
use clap::Args;
use dashboard::records::{self, Records};
use dashboard::views::{AsOf, Cell, CycleState, CycleSummary, RackMachine, Totals};
use jiff::Timestamp;
use ledger::Ledger;
use ledger::stored::{self, Read};
use model::cycle::CycleRecord;
use model::name::RackName;
use model::outcome::Counts;
use model::rack::{Pause, RackRecord};
use model::subject::{Subject, filter, key, stream};
use plan::slots::Slots;
use serde::Serialize;

use crate::app::App;
use crate::commands::dlq;
use crate::exit::Exit;
use crate::foresight::{counted, machines};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// One rack, with its machines and cycles; without it all racks
    rack: Option<RackName>,
}

/// The fleet.
#[derive(Serialize)]
struct Fleet {
    as_of: AsOf,
    totals: Totals,
    racks: Vec<Card>,
    /// The cycles of all racks that have machines without an outcome, the oldest first.
    running: Vec<Cycle>,
    dead_letters: u64,
    /// Cycles whose record cannot be read.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    unreadable_cycles: BTreeSet<String>,
    /// Machines whose record cannot be read.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    unreadable_machines: BTreeSet<String>,
}

/// A rack among others.
#[derive(Serialize)]
struct Card {
    #[serde(flatten)]
    plan: Plan,
    last: Option<Cycle>,
    /// Its machines, the worst first.
    cells: Vec<Cell>,
}

/// One rack.
#[derive(Serialize)]
struct Rack {
    as_of: AsOf,
    #[serde(flatten)]
    plan: Plan,
    /// Its machines, the worst first, each with its last 30 outcomes.
    machines: Vec<RackMachine>,
    running: Vec<Cycle>,
    /// Its latest cycles, the newest first.
    cycles: Vec<Cycle>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    unreadable_cycles: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    unreadable_machines: BTreeSet<String>,
}

/// When a rack ticks.
#[derive(Serialize)]
struct Plan {
    rack: RackName,
    /// `None`: it was never added.
    schedule: Option<String>,
    next_slot: Option<Timestamp>,
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause: Option<Pause>,
    /// Why its record cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
    /// How many of its ticks wait for their next attempt, because MAAS or Testflinger could not be read.
    retrying: usize,
}

/// A cycle in a line.
#[derive(Clone, Serialize)]
struct Cycle {
    #[serde(flatten)]
    summary: CycleSummary,
    ticked_at: Timestamp,
    /// What it led to, in a sentence.
    result: String,
}

impl Cycle {
    fn of(summary: CycleSummary) -> Self {
        Self {
            ticked_at: summary.at,
            result: words(&summary),
            summary,
        }
    }
}

impl Plan {
    fn of(
        rack: RackName,
        record: Option<Read<RackRecord>>,
        retrying: usize,
        now: Timestamp,
    ) -> Self {
        let (record, unreadable) = match record.transpose() {
            Ok(record) => (record, None),
            Err(error) => (None, Some(output::chain(&error))),
        };
        let slots = record.as_ref().and_then(|record| Slots::of(&rack, record));
        Self {
            schedule: record.as_ref().map(|record| record.schedule.to_string()),
            next_slot: slots.and_then(|slots| slots.after(now)),
            paused: record
                .as_ref()
                .is_some_and(|record| record.paused.is_some()),
            pause: record.and_then(|record| record.paused),
            unreadable,
            retrying,
            rack,
        }
    }

    /// When it ticks next, in a few words.
    fn next(&self, now: Timestamp) -> String {
        match (&self.schedule, self.next_slot) {
            _ if self.unreadable.is_some() => "unreadable".into(),
            _ if self.paused => "paused".into(),
            (Some(_), Some(slot)) => output::ago(slot, now),
            (Some(_), None) => "none".into(),
            (None, _) => "never added".into(),
        }
    }
}

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<Exit> {
    let ledger = Ledger::new(app.bus().await?);
    let now = Timestamp::now();
    let fails = match &arguments.rack {
        None => {
            let fleet = read_fleet(&ledger, now).await?;
            app.output
                .print_coloured(&fleet, |fleet| fleet::text(fleet, now))?;
            fleet.fails()
        }
        Some(rack) => {
            let rack = read_rack(&ledger, rack, now).await?;
            app.output
                .print_coloured(&rack, |rack| rack::text(rack, now))?;
            rack.fails()
        }
    };
    Ok(if fails { Exit::Failed } else { Exit::Ok })
}

impl Fleet {
    fn of(
        racks: BTreeMap<RackName, Read<RackRecord>>,
        records: &Records,
        retrying: &BTreeMap<RackName, usize>,
        dead_letters: u64,
        now: Timestamp,
    ) -> Self {
        let added = racks.into_iter().map(|(rack, record)| (rack, Some(record)));
        let mut known: BTreeMap<RackName, Option<Read<RackRecord>>> = added.collect();
        let view = records.fleet(now);
        let mut totals = view.totals;
        let mut running = Vec::new();
        let mut cards: BTreeMap<RackName, _> = BTreeMap::new();
        for card in view.racks {
            running.extend(card.running.into_iter().map(Cycle::of));
            // A rack that was ticked without ever being added has cycles, too.
            known.entry(card.rack.clone()).or_insert(None);
            cards.insert(card.rack, (card.last.map(Cycle::of), card.cells));
        }
        for rack in retrying.keys() {
            known.entry(rack.clone()).or_insert(None);
        }
        running.sort_by_key(|cycle: &Cycle| cycle.ticked_at);
        totals.racks = known.len();
        let racks = known.into_iter().map(|(rack, record)| {
            let (last, cells) = cards.remove(&rack).unwrap_or_default();
            let retrying = retrying.get(&rack).copied().unwrap_or(0);
            Card {
                plan: Plan::of(rack, record, retrying, now),
                last,
                cells,
            }
        });
        Self {
            as_of: view.as_of,
            totals,
            racks: racks.collect(),
            running,
            dead_letters,
            unreadable_cycles: records.unreadable_cycles().clone(),
            unreadable_machines: records.unreadable_machines().clone(),
        }
    }

    fn fails(&self) -> bool {
        self.racks.iter().any(Card::fails)
    }
}

impl Rack {
    /// `None` when nothing is known of it.
    fn of(
        rack: RackName,
        record: Option<Read<RackRecord>>,
        records: &Records,
        retrying: usize,
        now: Timestamp,
    ) -> Option<Self> {
        let view = records.rack(&rack, now);
        let is_known = record.is_some() || retrying > 0 || !records.unreadable_cycles().is_empty();
        if view.is_none() && !is_known {
            return None;
        }
        let (machines, running, cycles) = view.map_or_else(Default::default, |view| {
            (view.machines, view.running, view.cycles.items)
        });
        Some(Self {
            as_of: AsOf {
                at: Some(now),
                ..AsOf::default()
            },
            plan: Plan::of(rack, record, retrying, now),
            machines,
            running: running.into_iter().map(Cycle::of).collect(),
            cycles: cycles.into_iter().map(Cycle::of).collect(),
            unreadable_cycles: records.unreadable_cycles().clone(),
            unreadable_machines: records.unreadable_machines().clone(),
        })
    }

    fn fails(&self) -> bool {
        self.machines.iter().any(|machine| fails(&machine.cell))
            || self.cycles.first().is_some_and(Cycle::failed)
    }
}

impl Card {
    fn fails(&self) -> bool {
        self.cells.iter().any(fails) || self.last.as_ref().is_some_and(Cycle::failed)
    }
}

impl Cycle {
    fn failed(&self) -> bool {
        matches!(self.summary.state, CycleState::Failed { .. })
    }
}

/// Whether a machine does not deploy.
fn fails(cell: &Cell) -> bool {
    cell.health.fails()
}

async fn read_fleet(ledger: &Ledger, now: Timestamp) -> anyhow::Result<Fleet> {
    let (racks, records, retrying, dead_letters) = tokio::try_join!(
        stored::racks(ledger),
        Records::read(ledger),
        retrying(ledger, filter::RETRIES),
        dlq::count(ledger.bus()),
    )?;
    Ok(Fleet::of(racks, &records, &retrying, dead_letters, now))
}

async fn read_rack(ledger: &Ledger, rack: &RackName, now: Timestamp) -> anyhow::Result<Rack> {
    let record = async {
        match ledger.racks().get(&key::rack(rack)).await {
            Ok(entry) => Ok(entry.map(|entry| Ok(entry.value))),
            Err(error @ BusError::Malformed { .. }) => Ok(Some(Err(error))),
            Err(error) => Err(error),
        }
    };
    let waiting = filter::retries_of(rack);
    let (record, records, retrying) = tokio::try_join!(
        record,
        Records::read_rack(ledger, rack),
        retrying(ledger, &waiting),
    )?;
    let retrying = retrying.get(rack).copied().unwrap_or(0);
    Rack::of(rack.clone(), record, &records, retrying, now)
        .with_context(|| format!("there is no rack {rack}: `racktick status` shows all"))
}

/// How many ticks of each rack wait for their next attempt.
async fn retrying(ledger: &Ledger, filter: &str) -> Result<BTreeMap<RackName, usize>, BusError> {
    let mut retrying = BTreeMap::new();
    for subject in ledger.bus().subjects(stream::RACK, filter).await?.keys() {
        if let Ok(Subject::Retry { rack, .. }) = subject.parse() {
            *retrying.entry(rack).or_default() += 1;
        }
    }
    Ok(retrying)
}

/// What is wrong with the records themselves, and what waits for a person: a line each.
fn troubles(
    cycles: &BTreeSet<String>,
    machines: &BTreeSet<String>,
    dead_letters: u64,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, keys) in [("cycles", cycles), ("machines", machines)] {
        if !keys.is_empty() {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            lines.push(format!(
                "{what} whose record cannot be read: {}",
                keys.join(", ")
            ));
        }
    }
    if dead_letters > 0 {
        lines.push(format!("{dead_letters} dead letters: `racktick dlq list`"));
    }
    lines
}

pub(super) fn outcomes(counts: &Counts) -> String {
    match counts.outcomes.is_empty() {
        true => "-".into(),
        false => counted(
            counts
                .outcomes
                .iter()
                .map(|(word, count)| (word.as_str(), *count)),
        ),
    }
}

/// What a cycle led to, in one line.
pub(crate) fn cycle_words(cycle: &CycleRecord) -> String {
    words(&records::summary(cycle))
}

fn words(cycle: &CycleSummary) -> String {
    let counts = &cycle.counts;
    let reasons = match counts.reasons.is_empty() {
        true => String::new(),
        false => {
            let reasons = counts
                .reasons
                .iter()
                .map(|(reason, count)| (reason.as_str(), *count));
            format!(" ({})", counted(reasons))
        }
    };
    match &cycle.state {
        CycleState::Planning => "planning".into(),
        CycleState::Missed { cause, .. } => format!("missed: {}", cause.as_str()),
        CycleState::Failed { cause, message, .. } => format!("failed: {cause}: {message}"),
        CycleState::Finished { .. } => format!("finished: {}{reasons}", outcomes(counts)),
        CycleState::Running => format!(
            "running: {} to deploy, {} open; {}{reasons}",
            machines(cycle.deploy.unwrap_or(0)),
            cycle.open,
            outcomes(counts)
        ),
    }
}

#[cfg(test)]
mod tests;
