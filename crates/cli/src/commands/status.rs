//! `racktick status`: racks, running cycles, machines by outcome.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ledger::Ledger;
use model::cycle::{CycleRecord, Fate};
use model::id::CycleId;
use model::name::RackName;
use model::outcome::Counts;
use serde::Serialize;

use crate::app::App;
use crate::commands::{dlq, rack};
use crate::foresight::{counted, machines};
use crate::output;
use ledger::stored::{self, Read};

#[derive(Serialize)]
struct Status {
    racks: Vec<Rack>,
    running: Vec<Running>,
    dead_letters: u64,
    /// Cycles whose record cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable_cycles: Vec<String>,
}

#[derive(Serialize)]
struct Rack {
    rack: RackName,
    schedule: Option<String>,
    next_slot: Option<Timestamp>,
    paused: bool,
    /// Why its record cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
    last: Option<Last>,
}

#[derive(Serialize)]
struct Last {
    cycle: CycleId,
    ticked_at: Timestamp,
    result: String,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Serialize)]
struct Running {
    rack: RackName,
    cycle: CycleId,
    ticked_at: Timestamp,
    open: usize,
    #[serde(flatten)]
    counts: Counts,
}

pub(crate) async fn run(app: &App) -> anyhow::Result<()> {
    let ledger = Ledger::new(app.bus().await?);
    let status = read(&ledger).await?;
    app.output.print(&status, text)
}

async fn read(ledger: &Ledger) -> anyhow::Result<Status> {
    let mut known = stored::racks(ledger)
        .await?
        .into_iter()
        .map(|(rack, record)| (rack, Some(record)))
        .collect::<BTreeMap<_, _>>();
    let mut running = Vec::new();
    let mut unreadable_cycles = Vec::new();
    let mut last: BTreeMap<RackName, CycleRecord> = BTreeMap::new();
    // Weeks of cycles are stored: only the latest of each rack and what runs is kept.
    stored::each(ledger.cycles(), |key, cycle: Read<CycleRecord>| {
        let Ok(cycle) = cycle else {
            unreadable_cycles.push(key.to_owned());
            return;
        };
        // A rack that was ticked without ever being added has cycles, too.
        known.entry(cycle.rack.clone()).or_insert(None);
        if !cycle.closed {
            running.push(Running {
                rack: cycle.rack.clone(),
                cycle: cycle.cycle,
                ticked_at: cycle.ticked_at,
                open: cycle.open().count(),
                counts: cycle.counts(),
            });
        }
        if last
            .get(&cycle.rack)
            .is_none_or(|other| other.ticked_at < cycle.ticked_at)
        {
            last.insert(cycle.rack.clone(), cycle);
        }
    })
    .await?;
    running.sort_by_key(|cycle| cycle.ticked_at);
    let racks = known
        .into_iter()
        .map(|(rack, record)| {
            let (record, unreadable) = match record.transpose() {
                Ok(record) => (record, None),
                Err(error) => (None, Some(output::chain(&error))),
            };
            Rack {
                schedule: record.as_ref().map(|record| record.schedule.to_string()),
                next_slot: record
                    .as_ref()
                    .and_then(|record| rack::next_slot(&rack, record)),
                paused: record.is_some_and(|record| record.paused.is_some()),
                unreadable,
                last: last.get(&rack).map(|cycle| Last {
                    cycle: cycle.cycle,
                    ticked_at: cycle.ticked_at,
                    result: cycle_words(cycle),
                    counts: cycle.counts(),
                }),
                rack,
            }
        })
        .collect();
    Ok(Status {
        racks,
        running,
        dead_letters: dlq::count(ledger.bus()).await?,
        unreadable_cycles,
    })
}

fn text(status: &Status) -> String {
    if status.racks.is_empty() && status.unreadable_cycles.is_empty() && status.dead_letters == 0 {
        return "no racks and no cycles yet: `racktick rack add <MAAS tag>`".into();
    }
    let racks = status.racks.iter().map(|rack| {
        vec![
            rack.rack.to_string(),
            match (&rack.schedule, &rack.unreadable) {
                (Some(schedule), _) => schedule.clone(),
                (None, Some(why)) => format!("unreadable: {why}"),
                (None, None) => "never added".into(),
            },
            match (rack.paused, rack.next_slot) {
                (true, _) => "paused".into(),
                (false, Some(slot)) => output::time(slot),
                (false, None) => "-".into(),
            },
            rack.last.as_ref().map_or("-".into(), |last| {
                format!("{} {}", output::time(last.ticked_at), last.result)
            }),
        ]
    });
    let mut text = output::table(&["rack", "schedule", "next slot", "last cycle"], racks);
    if !status.running.is_empty() {
        let running = status.running.iter().map(|cycle| {
            vec![
                cycle.rack.to_string(),
                cycle.cycle.to_string(),
                output::time(cycle.ticked_at),
                cycle.open.to_string(),
                outcomes(&cycle.counts),
            ]
        });
        text.push_str("\n\n");
        text.push_str(&output::table(
            &["rack", "running cycle", "ticked at", "open", "outcomes"],
            running,
        ));
    }
    if !status.unreadable_cycles.is_empty() {
        text.push_str(&format!(
            "\n\ncycles whose record cannot be read: {}",
            status.unreadable_cycles.join(", ")
        ));
    }
    if status.dead_letters > 0 {
        text.push_str(&format!(
            "\n\n{} dead letters: `racktick dlq list`",
            status.dead_letters
        ));
    }
    text
}

fn outcomes(counts: &Counts) -> String {
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
    let counts = cycle.counts();
    match &cycle.fate {
        Fate::Missed { cause } => format!("missed: {}", cause.as_str()),
        Fate::Failed { cause, message, .. } => format!("failed: {cause}: {message}"),
        Fate::Planned(planned) => {
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
            match cycle.open().count() {
                0 => format!("finished: {}{reasons}", outcomes(&counts)),
                open => format!(
                    "running: {} to deploy, {open} open; {}{reasons}",
                    machines(planned.deploy.len()),
                    outcomes(&counts)
                ),
            }
        }
    }
}
