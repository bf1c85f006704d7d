//! `racktick rack list|show`.

use jiff::Timestamp;
use ledger::stored::{self, Read};
use ledger::{Ledger, Unread};
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
use crate::output;

/// How many cycles are shown, the latest first.
const CYCLES: usize = 5;

/// A rack in a list.
#[derive(Serialize)]
struct Line {
    rack: RackName,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<Schedule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_slot: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<Pause>,
    /// Why nothing is known of it but its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

impl Line {
    fn of(rack: RackName, record: Read<RackRecord>) -> Self {
        match record {
            Ok(record) => Self {
                next_slot: next_slot(&rack, &record),
                schedule: Some(record.schedule),
                paused: record.paused,
                unreadable: None,
                rack,
            },
            Err(error) => Self {
                rack,
                schedule: None,
                next_slot: None,
                paused: None,
                unreadable: Some(output::chain(&error)),
            },
        }
    }

    fn cells(&self) -> Vec<String> {
        let schedule = match (&self.schedule, &self.unreadable) {
            (Some(schedule), _) => schedule.to_string(),
            (None, Some(why)) => format!("unreadable: {why}"),
            (None, None) => "-".into(),
        };
        let paused = match (&self.paused, &self.unreadable) {
            (Some(pause), _) => pause_text(pause),
            (None, None) => "no".into(),
            (None, Some(_)) => "-".into(),
        };
        let next_slot = self.next_slot.map_or("-".into(), output::time);
        vec![self.rack.to_string(), schedule, next_slot, paused]
    }
}

pub(super) async fn list(app: &App, ledger: &Ledger) -> anyhow::Result<()> {
    let racks = stored::racks(ledger).await?;
    if racks.is_empty() {
        output::say("there are no racks yet: `racktick rack add <MAAS tag>`");
    }
    let lines: Vec<Line> = racks
        .into_iter()
        .map(|(rack, record)| Line::of(rack, record))
        .collect();
    app.output.print(&lines, |lines| {
        let rows = lines.iter().map(Line::cells);
        output::table(&["rack", "schedule", "next slot", "paused"], rows)
    })
}

/// The slot that comes next, unless the rack is paused.
fn next_slot(rack: &RackName, record: &RackRecord) -> Option<Timestamp> {
    Slots::of(rack, record)?.after(Timestamp::now())
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
    let cycles = latest_cycles(ledger, rack).await?;
    let whole = Whole {
        rack: rack.clone(),
        record: record.clone(),
        armed,
        retrying,
        cycles,
    };
    app.output.print(&whole, text)
}

/// The latest cycles, the newest first.
async fn latest_cycles(ledger: &Ledger, rack: &RackName) -> anyhow::Result<Vec<CycleRecord>> {
    let mut unread = Unread::list(ledger, &key::cycles_of(rack)).await?;
    let mut cycles: Vec<CycleRecord> = Vec::new();
    loop {
        // A cycle is written after its tick came.
        let later = |at| cycles.iter().filter(|cycle| cycle.ticked_at >= at).count();
        let keys = unread.take_latest(CYCLES, |_, at| later(at) < CYCLES);
        if keys.is_empty() {
            break;
        }
        stored::some(ledger.cycles(), keys, |_, cycle| match cycle {
            Ok(cycle) => cycles.push(cycle),
            Err(error) => output::say(format!("a cycle is not shown: {}", output::chain(&error))),
        })
        .await?;
    }
    cycles.sort_by_key(|cycle| std::cmp::Reverse(cycle.ticked_at));
    cycles.truncate(CYCLES);
    Ok(cycles)
}

fn text(whole: &Whole) -> String {
    let record = &whole.record;
    let mut rows = vec![
        vec!["rack".to_owned(), whole.rack.to_string()],
        vec!["schedule".into(), record.schedule.to_string()],
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
