//! One rack as text.

use dashboard::views::RackMachine;
use dashboard::words;
use jiff::Timestamp;

use super::fleet::{cycle_words, health};
use super::{Rack, troubles};
use crate::commands::rack::pause_text;
use crate::output::{self, Toned, ago};
use crate::plain;
use crate::tone::Tone;

/// How many outcomes a machine's strip shows: with 30, a line would not fit into 80 columns.
const STRIP: usize = 12;
/// How many cycles are listed.
const LISTED: usize = 5;
/// How much of a cycle's id is shown. `racktick cycle` takes the beginning of one, too.
const SHORT_ID: usize = 8;

pub(super) fn text(rack: &Rack, now: Timestamp) -> String {
    let machines = rack.machines.iter().map(|machine| line(machine, now));
    let cycles = rack.cycles.iter().take(LISTED).map(|cycle| {
        let tone = if cycle.failed() {
            Tone::Bad
        } else {
            Tone::Plain
        };
        let id: String = cycle
            .summary
            .cycle
            .to_string()
            .chars()
            .take(SHORT_ID)
            .collect();
        vec![
            id.into(),
            ago(cycle.ticked_at, now).into(),
            words::origin(cycle.summary.origin.as_ref()).into(),
            Toned::new(tone, cycle_words(cycle, now)),
        ]
    });
    let mut parts = vec![
        facts(rack, now),
        output::table(
            &["machine", "health", "since", "last jobs", "now"],
            machines,
        ),
        output::table(&["cycle", "begun", "started by", "state"], cycles),
    ];
    let troubles = troubles(&rack.unreadable_cycles, &rack.unreadable_machines, 0);
    parts.push(plain::lines(&troubles.join("\n")).into_owned());
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn facts(rack: &Rack, now: Timestamp) -> String {
    let plan = &rack.plan;
    let schedule = match (&plan.schedule, &plan.unreadable) {
        (Some(schedule), _) => schedule.clone(),
        (None, Some(why)) => format!("unreadable: {why}"),
        (None, None) => format!("none: `racktick rack add {}` gives it one", plan.rack),
    };
    let mut facts: Vec<Vec<Toned>> = vec![
        vec!["rack".into(), plan.rack.to_string().into()],
        vec!["schedule".into(), schedule.into()],
    ];
    if plan.schedule.is_some() {
        let next = match (&plan.pause, plan.next_slot) {
            (Some(pause), _) => Toned::new(Tone::Warn, format!("paused {}", pause_text(pause))),
            (None, Some(slot)) => format!("{} ({})", output::time(slot), ago(slot, now)).into(),
            (None, None) => "none comes any more".into(),
        };
        facts.push(vec!["next slot".into(), next]);
    }
    for cycle in &rack.running {
        let text = format!("{} {}", cycle.summary.cycle, cycle_words(cycle, now));
        facts.push(vec!["cycle".into(), text.into()]);
    }
    if plan.retrying > 0 {
        let text = format!("{}: MAAS or Testflinger could not be read", plan.retrying);
        facts.push(vec![
            "ticks tried again".into(),
            Toned::new(Tone::Warn, text),
        ]);
    }
    output::pairs(facts)
}

fn line(machine: &RackMachine, now: Timestamp) -> Vec<Toned> {
    let cell = &machine.cell;
    let shown = machine.verdicts.len().saturating_sub(STRIP);
    let strip: String = machine.verdicts[shown..]
        .iter()
        .map(|verdict| words::outcome_shape(&verdict.outcome))
        .collect();
    let is_now = match (&cell.job, &cell.decision.skip, &cell.last) {
        (Some(job), _, _) => {
            let state = job.state.as_deref().unwrap_or("submitted");
            let overdue = if job.overdue { ", overdue" } else { "" };
            format!("▶ {state}{overdue}").into()
        }
        (None, Some(skip), _) => Toned::new(
            Tone::Quiet,
            format!("– left alone: {}", words::skip_words(skip)),
        ),
        (None, None, Some(last)) => Toned::new(
            Tone::of_outcome(&last.outcome),
            words::outcome(&last.outcome),
        ),
        (None, None, None) => "no job yet".into(),
    };
    vec![
        cell.machine.to_string().into(),
        health(cell),
        cell.since
            .map_or("-".into(), |since| ago(since, now).into()),
        strip.into(),
        is_now,
    ]
}
