//! `racktick rack list|show`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ledger::{Ledger, LedgerError};
use model::cycle::CycleRecord;
use model::name::RackName;
use model::policy::PolicyChange;
use model::rack::{Pause, RackRecord};
use model::schedule::Schedule;
use model::subject::{Subject, filter, key, stream};
use plan::slots::Slots;
use serde::Serialize;

use super::known;
use crate::app::App;
use crate::commands::status::cycle_words;
use crate::config::schedule_text;
use crate::output;

/// How many cycles are shown, the latest first.
const CYCLES: usize = 5;

/// All racks.
pub(crate) async fn all(ledger: &Ledger) -> Result<BTreeMap<RackName, RackRecord>, LedgerError> {
    let entries = ledger.racks().entries(">").await?;
    Ok(entries
        .into_iter()
        .filter_map(|(key, entry)| Some((RackName::new(key).ok()?, entry.value)))
        .collect())
}

/// A rack in a list.
#[derive(Serialize)]
struct Line {
    rack: RackName,
    schedule: Schedule,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_slot: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Pause>,
}

pub(super) async fn list(app: &App, ledger: &Ledger) -> anyhow::Result<()> {
    let racks = all(ledger).await?;
    if racks.is_empty() {
        output::say("there are no racks yet: `racktick rack add <MAAS tag>`");
    }
    let lines: Vec<Line> = racks
        .into_iter()
        .map(|(rack, record)| Line {
            next_slot: next_slot(&rack, &record),
            schedule: record.schedule,
            paused: record.paused,
            rack,
        })
        .collect();
    app.output.print(&lines, |lines| {
        let rows = lines.iter().map(|line| {
            vec![
                line.rack.to_string(),
                schedule_text(&line.schedule),
                line.next_slot.map_or("-".into(), output::time),
                line.paused.as_ref().map_or("no".into(), pause_text),
            ]
        });
        output::table(&["rack", "schedule", "next slot", "paused"], rows)
    })
}

/// The slot that comes next, unless the rack is paused.
pub(crate) fn next_slot(rack: &RackName, record: &RackRecord) -> Option<Timestamp> {
    match record.paused {
        Some(_) => None,
        None => Slots::new(&record.schedule, rack)
            .ok()?
            .after(Timestamp::now()),
    }
}

pub(crate) fn pause_text(pause: &Pause) -> String {
    let at = output::time(pause.at);
    match pause.why.as_str() {
        "" => format!("by {} at {at}", pause.by),
        why => format!("by {} at {at}: {why}", pause.by),
    }
}

/// One rack in full.
#[derive(Serialize)]
struct Whole {
    rack: RackName,
    #[serde(flatten)]
    record: RackRecord,
    /// Slots that the broker holds ready.
    armed: Vec<Timestamp>,
    /// Ticks that wait for their next attempt.
    retrying: usize,
    /// The latest cycles.
    cycles: Vec<CycleRecord>,
}

pub(super) async fn one(rack: &RackName, app: &App, ledger: &Ledger) -> anyhow::Result<()> {
    let record = known(ledger, rack).await?;
    print(rack, &record, app, ledger).await
}

pub(super) async fn print(
    rack: &RackName,
    record: &RackRecord,
    app: &App,
    ledger: &Ledger,
) -> anyhow::Result<()> {
    let bus = ledger.bus();
    let armed = bus.subjects(stream::RACK, &filter::slots_of(rack)).await?;
    let mut armed: Vec<Timestamp> = armed
        .keys()
        .filter_map(|subject| match subject.parse() {
            Ok(Subject::Slot { slot, .. }) => Some(slot),
            _ => None,
        })
        .collect();
    armed.sort();
    let retrying = bus
        .subjects(stream::RACK, &filter::retries_of(rack))
        .await?
        .len();
    let entries = ledger.cycles().entries(&key::cycles_of(rack)).await?;
    let mut cycles: Vec<CycleRecord> = entries.into_values().map(|entry| entry.value).collect();
    cycles.sort_by_key(|cycle| std::cmp::Reverse(cycle.ticked_at));
    cycles.truncate(CYCLES);
    let whole = Whole {
        rack: rack.clone(),
        record: record.clone(),
        armed,
        retrying,
        cycles,
    };
    app.output.print(&whole, text)
}

fn text(whole: &Whole) -> String {
    let record = &whole.record;
    let mut rows = vec![
        vec!["rack".to_owned(), whole.rack.to_string()],
        vec!["schedule".into(), schedule_text(&record.schedule)],
        vec!["added".into(), output::time(record.added_at)],
        vec![
            "paused".into(),
            record.paused.as_ref().map_or("no".into(), pause_text),
        ],
        vec!["policy".into(), policy_text(&record.policy)],
    ];
    if let Some(sizes) = record.good_sizes {
        let text = format!(
            "{} machines, {} agents in the fleet",
            sizes.machines, sizes.agents
        );
        rows.push(vec!["last lists".into(), text]);
    }
    let armed = whole
        .armed
        .iter()
        .map(|slot| output::time(*slot))
        .collect::<Vec<_>>();
    rows.push(vec![
        "armed slots".into(),
        if armed.is_empty() {
            "none (a scheduler arms them)".into()
        } else {
            armed.join("\n")
        },
    ]);
    if whole.retrying > 0 {
        rows.push(vec!["ticks retrying".into(), whole.retrying.to_string()]);
    }
    let cycles: Vec<String> = whole
        .cycles
        .iter()
        .map(|cycle| {
            let at = output::time(cycle.ticked_at);
            format!("{at} {} {}", cycle.cycle, cycle_words(cycle))
        })
        .collect();
    rows.push(vec![
        "last cycles".into(),
        if cycles.is_empty() {
            "none".into()
        } else {
            cycles.join("\n")
        },
    ]);
    output::pairs(rows)
}

fn policy_text(policy: &PolicyChange) -> String {
    match serde_json::to_value(policy) {
        Ok(serde_json::Value::Object(values)) if !values.is_empty() => values
            .iter()
            .map(|(field, value)| format!("{field} = {value}"))
            .collect::<Vec<_>>()
            .join("\n"),
        _ => "as configured".into(),
    }
}
