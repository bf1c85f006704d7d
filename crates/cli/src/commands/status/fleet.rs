//! The fleet as text.

use std::collections::BTreeMap;

use dashboard::history::standing::Health;
use dashboard::views::{Cell, CycleState};
use dashboard::words;
use jiff::Timestamp;
use model::name::RackName;

use super::{Card, Cycle, Fleet, fails, outcomes, troubles};
use crate::foresight::machines;
use crate::output::{self, Toned, ago};
use crate::plain;
use crate::tone::Tone;

/// How many of the machines that do not deploy are listed.
const LISTED: usize = 20;

pub(super) fn text(fleet: &Fleet, now: Timestamp) -> String {
    let troubles = troubles(
        &fleet.unreadable_cycles,
        &fleet.unreadable_machines,
        fleet.dead_letters,
    );
    if fleet.racks.is_empty() && troubles.is_empty() {
        return "no racks and no cycles yet: `racktick rack add <MAAS tag>`".into();
    }
    let mut parts = vec![totals(fleet)];
    parts.extend(attention(fleet, now));
    let rows = fleet.racks.iter().map(|card| line(card, fleet, now));
    parts.push(output::table(
        &["rack", "machines", "next slot", "cycle"],
        rows,
    ));
    let mut notes: Vec<String> = fleet
        .racks
        .iter()
        .filter_map(|card| note(card, now))
        .collect();
    notes.extend(troubles);
    if !notes.is_empty() {
        parts.push(plain::lines(&notes.join("\n")).into_owned());
    }
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn totals(fleet: &Fleet) -> String {
    let totals = &fleet.totals;
    let left_alone = fleet
        .racks
        .iter()
        .flat_map(|card| &card.cells)
        .filter(|cell| cell.decision.skip.is_some())
        .count();
    let racks = words::count(totals.racks, "rack");
    let cycles = words::count(totals.cycles, "cycle");
    format!(
        "{} in {racks}, {} deploying now, {left_alone} left alone, {cycles} running\n{}",
        machines(totals.machines),
        totals.deploying,
        healths(&totals.health).join("  ")
    )
}

/// How many machines are how, each as shape and word.
fn healths(counts: &BTreeMap<Health, usize>) -> Vec<String> {
    let painted = counts.iter().map(|(health, count)| {
        let text = format!("{} {count} {}", words::shape(*health), health.as_str());
        Tone::of_health(*health).paint(&text)
    });
    painted.collect()
}

/// The machines that do not deploy, those that are worst for longest first.
fn attention(fleet: &Fleet, now: Timestamp) -> Option<String> {
    let all = fleet
        .racks
        .iter()
        .flat_map(|card| card.cells.iter().map(|cell| (&card.plan.rack, cell)));
    let mut bad: Vec<(&RackName, &Cell)> = all.filter(|(_, cell)| fails(cell)).collect();
    bad.sort_by_key(|(_, cell)| (cell.health, cell.since, &cell.machine));
    // Racks that share a machine all have it.
    bad.dedup_by_key(|(_, cell)| &cell.machine);
    if bad.is_empty() {
        return None;
    }
    let rows = bad.iter().take(LISTED).map(|(rack, cell)| {
        vec![
            cell.machine.to_string().into(),
            rack.to_string().into(),
            health(cell),
            cell.since
                .map_or("-".into(), |since| ago(since, now).into()),
            why(cell).into(),
        ]
    });
    let mut text = output::table(&["machine", "rack", "health", "since", "why"], rows);
    if bad.len() > LISTED {
        let more = bad.len() - LISTED;
        text.push_str(&format!("\nand {more} more: `racktick status <rack>`"));
    }
    Some(text)
}

/// A health as shape and word, with how often in a row.
pub(super) fn health(cell: &Cell) -> Toned {
    let word = format!("{} {}", words::shape(cell.health), cell.health.as_str());
    let tone = Tone::of_health(cell.health);
    match cell.streak {
        0 => Toned::new(tone, word),
        streak => Toned::new(tone, format!("{word} {streak}x")),
    }
}

/// Why a machine does not deploy: what became of its last job, or why it has none.
fn why(cell: &Cell) -> String {
    match (&cell.decision.skip, &cell.last) {
        (Some(skip), _) if cell.health == Health::Quarantined => {
            format!("left alone: {}", words::skip_words(skip))
        }
        (_, Some(last)) => words::outcome(&last.outcome),
        (Some(skip), None) => format!("left alone: {}", words::skip_words(skip)),
        (None, None) => "-".into(),
    }
}

fn line(card: &Card, fleet: &Fleet, now: Timestamp) -> Vec<Toned> {
    let plan = &card.plan;
    let mut counts: BTreeMap<Health, usize> = BTreeMap::new();
    for cell in &card.cells {
        *counts.entry(cell.health).or_default() += 1;
    }
    let by_health: Vec<String> = counts
        .iter()
        .map(|(health, count)| format!("{} {count} {}", words::shape(*health), health.as_str()))
        .collect();
    let worst = counts.keys().next().copied();
    let running: Vec<&Cycle> = fleet
        .running
        .iter()
        .filter(|cycle| cycle.summary.rack == plan.rack)
        .collect();
    let mut cycle = match (running.as_slice(), &card.last) {
        ([], None) => "none yet".to_owned(),
        ([], Some(last)) => cycle_words(last, now),
        (running, _) => {
            let each: Vec<String> = running
                .iter()
                .map(|cycle| cycle_words(cycle, now))
                .collect();
            each.join("; ")
        }
    };
    if plan.retrying > 0 {
        cycle.push_str(&format!(
            "; {} tried again",
            words::count(plan.retrying, "tick")
        ));
    }
    let cycle_tone = match &card.last {
        Some(last) if last.failed() => Tone::Bad,
        _ => Tone::Plain,
    };
    vec![
        plan.rack.to_string().into(),
        match worst {
            Some(worst) => Toned::new(Tone::of_health(worst), by_health.join(" ")),
            None => "-".into(),
        },
        match plan.paused || plan.unreadable.is_some() {
            true => Toned::new(Tone::Warn, plan.next(now)),
            false => plan.next(now).into(),
        },
        Toned::new(cycle_tone, cycle),
    ]
}

/// How far a cycle is, and what became of its machines so far.
pub(super) fn cycle_words(cycle: &Cycle, now: Timestamp) -> String {
    let summary = &cycle.summary;
    let counts = match outcomes(&summary.counts).as_str() {
        "-" => String::new(),
        counts => format!(": {counts}"),
    };
    match &summary.state {
        CycleState::Planning => "planning".into(),
        CycleState::Running => {
            let all = summary.deploy.unwrap_or(0);
            let over = all.saturating_sub(summary.open);
            format!("running, {over} of {all} jobs over{counts}")
        }
        CycleState::Finished { at, .. } => format!("finished {}{counts}", ago(*at, now)),
        CycleState::Failed {
            at, cause, message, ..
        } => {
            format!("failed {}: {cause}: {message}", ago(*at, now))
        }
        CycleState::Missed { at, cause } => {
            format!("missed {}: {}", ago(*at, now), words::missed(*cause))
        }
    }
}

/// What else there is to say of a rack.
fn note(card: &Card, now: Timestamp) -> Option<String> {
    let plan = &card.plan;
    if let Some(why) = &plan.unreadable {
        return Some(format!("rack {} is unreadable: {why}", plan.rack));
    }
    let pause = plan.pause.as_ref()?;
    let why = match pause.why.as_str() {
        "" => String::new(),
        why => format!(": {why}"),
    };
    Some(format!(
        "rack {} is paused by {} since {}{why}",
        plan.rack,
        pause.by,
        ago(pause.at, now)
    ))
}
