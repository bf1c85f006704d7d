//! Records and events of small racks, for tests of what is shown of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use dashboard::history::History;
use jiff::{SignedDuration, Timestamp};
use model::cycle::{CycleRecord, Fate, Origin, Planned};
use model::event::{Event, Fact, Job};
use model::id::{CycleId, JobId};
use model::machine::{Claim, MachineRecord, PastVerdict, Running};
use model::name::{MachineName, RackName};
use model::outcome::{FailCause, Outcome, Phase, Skip};
use model::task::Pace;
use tempfile::TempDir;

/// When everything is looked at.
pub(crate) fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

/// So many minutes before that.
pub(crate) fn before(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

pub(crate) fn rack(name: &str) -> RackName {
    RackName::new(name).unwrap()
}

pub(crate) fn machine(name: &str) -> MachineName {
    MachineName::new(name).unwrap()
}

pub(crate) fn failed() -> Outcome {
    Outcome::Failed {
        cause: FailCause::Phase,
        phase: Some(Phase::Provision),
        exit_code: Some(7),
    }
}

/// A cycle of a slot so many minutes ago that led to this.
pub(crate) fn cycle(of: &str, minutes: i64, fate: Fate) -> CycleRecord {
    let slot = before(minutes);
    CycleRecord {
        v: CycleRecord::VERSION,
        rack: rack(of),
        cycle: CycleId::of_slot(&rack(of), slot),
        origin: Origin::Slot { slot },
        ticked_at: slot,
        fate,
        outcomes: Default::default(),
        settled_at: None,
        closed: false,
    }
}

/// What was decided so many minutes ago.
pub(crate) fn planned(minutes: i64, deploy: &[&str], skip: &[(&str, Skip)]) -> Fate {
    let minute = Duration::from_secs(60);
    Fate::Planned(Planned {
        at: before(minutes),
        deploy_by: before(minutes) + 90 * minute,
        spread: 60 * minute,
        deploy: deploy
            .iter()
            .map(|name| (machine(name), before(minutes) + 30 * minute))
            .collect(),
        skip: skip
            .iter()
            .map(|(name, skip)| (machine(name), skip.clone()))
            .collect(),
        pace: Pace {
            first_look: 5 * minute,
            look_every: 5 * minute,
            deadline: 240 * minute,
        },
        job: serde_json::Value::Null,
    })
}

/// A machine whose jobs ended so, the last one an hour ago, and each an hour after the one before.
pub(crate) fn idle(of: &CycleRecord, name: &str, outcomes: &[Outcome]) -> MachineRecord {
    let hours = (1..).map(|hour| before(hour * 60));
    let mut verdicts: Vec<PastVerdict> = outcomes
        .iter()
        .rev()
        .zip(hours)
        .map(|(outcome, at)| PastVerdict {
            job: JobId::of(of.cycle, &machine(name)),
            cycle: of.cycle,
            outcome: outcome.clone(),
            at,
        })
        .collect();
    verdicts.reverse();
    MachineRecord {
        verdicts,
        ..MachineRecord::default()
    }
}

/// A machine that works for a cycle since the cycle's tick, until so many minutes ago at most.
pub(crate) fn at_work(of: &CycleRecord, name: &str, deadline: i64) -> MachineRecord {
    MachineRecord {
        claim: Claim::Running(Running {
            job: JobId::of(of.cycle, &machine(name)),
            cycle: of.cycle,
            rack: of.rack.clone(),
            submitted_at: of.ticked_at,
            deadline: before(deadline),
            deploy_by: before(deadline),
            renewed: false,
            doubled: None,
            verdict: None,
            cancel: None,
        }),
        ..MachineRecord::default()
    }
}

/// What happened in a cycle so many minutes ago.
pub(crate) fn event(of: &CycleRecord, minutes: i64, fact: Fact) -> Event {
    Event {
        time: before(minutes),
        rack: of.rack.clone(),
        cycle: of.cycle,
        fact,
    }
}

/// A history that these events told, and the folder that it is in.
pub(crate) fn history(events: &[Event]) -> (History, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (history, mut writer) = History::open(&folder.path().join("told.sqlite")).unwrap();
    writer.fold(events, &[]).unwrap();
    (history, folder)
}

/// The same of facts about one cycle, each so many minutes ago.
pub(crate) fn history_of(cycle: &CycleRecord, facts: Vec<(i64, Fact)>) -> (History, TempDir) {
    let facts = facts.into_iter();
    let events: Vec<Event> = facts
        .map(|(minutes, fact)| event(cycle, minutes, fact))
        .collect();
    history(&events)
}

/// The job of a machine in a cycle.
pub(crate) fn job(of: &CycleRecord, name: &str) -> Job {
    Job {
        machine: machine(name),
        job: JobId::of(of.cycle, &machine(name)),
    }
}

/// Whether each of these texts stands in the shown one.
#[track_caller]
pub(crate) fn has_all(shown: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(shown.contains(wanted), "`{wanted}` in\n{shown}");
    }
}

/// The words of the line that begins so, with one blank between them.
#[track_caller]
pub(crate) fn line(shown: &str, beginning: &str) -> String {
    let mut lines = shown.lines().filter(|line| line.starts_with(beginning));
    let line = lines.next();
    let line = line.unwrap_or_else(|| panic!("no line begins with `{beginning}` in\n{shown}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
