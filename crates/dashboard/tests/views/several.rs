//! What the views say where there are several of a kind: racks that share a machine, cycles under way, jobs of a machine.

use std::collections::BTreeMap;

use dashboard::history::standing::Health;
use dashboard::history::{History, Reading};
use dashboard::views::{EventFilter, Place};
use jiff::{SignedDuration, Timestamp};
use model::cycle::Origin;
use model::event::{Event, Fact, Job};
use model::id::{CycleId, JobId};
use model::image::Image;
use model::name::{MachineName, RackName};
use model::outcome::{Outcome, Skip, SkipReason};

use crate::lab::{at, failed};
use crate::support::write;

fn hour(hour: i64) -> Timestamp {
    at("00:00:00") + SignedDuration::from_hours(hour)
}

fn rack(name: &str) -> RackName {
    RackName::new(name).unwrap()
}

fn machine(name: &str) -> MachineName {
    MachineName::new(name).unwrap()
}

fn cycle(rack_name: &str, of: i64) -> CycleId {
    CycleId::of_slot(&rack(rack_name), hour(of))
}

fn job(rack_name: &str, of: i64, name: &str) -> JobId {
    JobId::of(cycle(rack_name, of), &machine(name))
}

fn about(rack_name: &str, of: i64, name: &str) -> Job {
    Job {
        machine: machine(name),
        job: job(rack_name, of, name),
    }
}

/// What happened so many minutes after the slot of a rack's cycle.
fn event(rack_name: &str, of: i64, minutes: i64, fact: Fact) -> Event {
    Event {
        time: hour(of) + SignedDuration::from_mins(minutes),
        rack: rack(rack_name),
        cycle: cycle(rack_name, of),
        fact,
    }
}

fn started(rack_name: &str, of: i64) -> Event {
    let origin = Origin::Slot { slot: hour(of) };
    event(rack_name, of, 0, Fact::CycleStarted { origin })
}

fn submitted(rack_name: &str, of: i64, name: &str) -> Event {
    let submitted = Fact::JobSubmitted {
        job: about(rack_name, of, name),
        deadline: hour(of + 4),
        image: Image {
            distro: None,
            kernel: None,
        },
    };
    event(rack_name, of, 1, submitted)
}

fn finished(rack_name: &str, of: i64, name: &str, verdict: Outcome) -> Event {
    let finished = Fact::JobFinished {
        job: about(rack_name, of, name),
        verdict,
        statuses: BTreeMap::new(),
        submitted_at: Some(hour(of) + SignedDuration::from_mins(1)),
        cancel: None,
        device: None,
        evidence: None,
    };
    event(rack_name, of, 50, finished)
}

fn skipped(rack_name: &str, of: i64, name: &str, reason: SkipReason) -> Event {
    let skipped = Fact::MachineSkipped {
        machine: machine(name),
        skip: Skip::of(reason, "so it is"),
    };
    event(rack_name, of, 1, skipped)
}

/// Asks a file that was told this, a day later.
fn ask<T>(told: &[Event], question: impl FnOnce(&Reading) -> rusqlite::Result<T>) -> T {
    let folder = tempfile::tempdir().unwrap();
    let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
    write(&mut writer, told, 3);
    history.read_at(hour(24), question).unwrap()
}

#[test]
fn a_machine_of_several_racks_is_one_machine() {
    let told = [
        finished("c", 0, "m", failed()),
        finished("a", 6, "m", failed()),
        skipped("b", 12, "m", SkipReason::FailStreak),
    ];
    let (fleet, view) = ask(&told, |reading| {
        Ok((reading.fleet()?, reading.machine(&machine("m"))?))
    });
    let healths: Vec<_> = fleet
        .racks
        .iter()
        .map(|card| card.cells[0].health)
        .collect();
    assert_eq!(
        healths,
        [Health::Failing, Health::Quarantined, Health::Failing]
    );
    assert_eq!((fleet.totals.racks, fleet.totals.machines), (3, 1));
    // With its worst health.
    let worst = BTreeMap::from([(Health::Quarantined, 1)]);
    assert_eq!(fleet.totals.health, worst);
    let view = view.unwrap();
    assert_eq!(view.racks, [rack("a"), rack("b"), rack("c")]);
    // Its decision is the latest of any rack.
    assert_eq!(view.cell.decision.cycle, cycle("b", 12));
    assert_eq!(view.cell.health, Health::Quarantined);
}

#[test]
fn the_last_outcomes_are_shown_the_oldest_first() {
    let told = [
        finished("a", 0, "m", Outcome::Passed),
        finished("a", 6, "m", failed()),
        finished("a", 12, "m", Outcome::Cancelled),
    ];
    let (rack, view) = ask(&told, |reading| {
        Ok((reading.rack(&rack("a"))?, reading.machine(&machine("m"))?))
    });
    let view = view.unwrap();
    for verdicts in [&rack.unwrap().machines[0].verdicts, &view.verdicts] {
        let words = verdicts.iter().map(|verdict| verdict.outcome.word());
        assert_eq!(words.collect::<Vec<_>>(), ["passed", "failed", "cancelled"]);
    }
    // That of the cycle before proves nothing.
    assert_eq!(view.last_failure.unwrap().job.job, job("a", 6, "m"));
    let decided = view.decisions.items.iter().map(|decision| decision.cycle);
    let newest_first = [12, 6, 0].map(|of| cycle("a", of));
    assert_eq!(decided.collect::<Vec<_>>(), newest_first);
}

#[test]
fn cycles_under_way_are_counted_not_racks() {
    let told = [
        started("a", 0),
        started("b", 0),
        started("b", 6),
        finished("c", 0, "m", Outcome::Passed),
    ];
    let (fleet, of_a) = ask(&told, |reading| {
        Ok((reading.fleet()?, reading.rack(&rack("a"))?))
    });
    assert_eq!((fleet.totals.racks, fleet.totals.cycles), (3, 4));
    let running = fleet.racks[1].running.iter().map(|cycle| cycle.cycle);
    assert_eq!(
        running.collect::<Vec<_>>(),
        [cycle("b", 0), cycle("b", 6)],
        "the oldest first"
    );
    let of_a: Vec<_> = of_a.unwrap().running;
    assert_eq!(of_a.len(), 1, "of this rack alone");
}

#[test]
fn a_machine_has_the_job_that_was_submitted_last() {
    let told = [
        submitted("a", 6, "m"),
        submitted("b", 12, "m"),
        submitted("c", 0, "m"),
    ];
    let view = ask(&told, |reading| reading.machine(&machine("m")));
    let view = view.unwrap();
    assert_eq!(view.cell.job.unwrap().job, job("b", 12, "m"));
    let current = view.current.unwrap().job;
    assert_eq!(current.job, job("b", 12, "m"));
    assert_eq!(current.deadline, Some(hour(16)));
}

#[test]
fn among_machines_that_fail_the_one_that_fails_for_longest_is_first() {
    let told = [
        finished("a", 0, "z", failed()),
        finished("a", 6, "a", failed()),
        finished("a", 12, "y", Outcome::Passed),
        finished("a", 12, "b", Outcome::Passed),
    ];
    let view = ask(&told, |reading| reading.rack(&rack("a"))).unwrap();
    let names = view.machines.iter().map(|one| one.cell.machine.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["z", "a", "b", "y"]);
}

/// The event that says when it was submitted was lost: what the claim said is as good.
#[test]
fn a_job_of_which_only_the_end_was_heard_says_when_it_was_submitted() {
    let told = [finished("a", 0, "m", Outcome::Passed)];
    let view = ask(&told, |reading| reading.job(job("a", 0, "m"))).unwrap();
    assert_eq!(
        view.job.submitted_at,
        Some(hour(0) + SignedDuration::from_mins(1))
    );
}

#[test]
fn only_what_is_about_a_job_names_one() {
    let told = [
        skipped("a", 0, "m", SkipReason::NoAgent),
        finished("a", 6, "m", Outcome::Passed),
        started("a", 12),
    ];
    let events = ask(&told, |reading| {
        reading.events(&EventFilter::default(), None, 10)
    });
    let jobs = events.page.items.into_iter().map(|event| event.job);
    assert_eq!(
        jobs.collect::<Vec<_>>(),
        [None, Some(job("a", 6, "m")), None]
    );
}

#[test]
fn events_are_followed_piece_by_piece_without_a_gap() {
    let told: Vec<Event> = (0..10)
        .map(|of| skipped("a", of, "m", SkipReason::NoAgent))
        .collect();
    let (all, pieces, set_back) = ask(&told, |reading| {
        let last = reading.last_place()?.to_string();
        let [file, number, at] = last.split('-').collect::<Vec<_>>()[..] else {
            panic!("{last}")
        };
        let place = |number: &str| format!("{file}-{number}-{at}").parse::<Place>().unwrap();
        let follow = |place: Place, at_once| -> rusqlite::Result<(Vec<_>, i32)> {
            let mut followed = reading.go_on_from(place)?;
            let (mut came, mut pieces) = (Vec::new(), 0);
            loop {
                let piece = reading.follow(&mut followed, &EventFilter::default(), at_once)?;
                if piece.is_empty() {
                    return Ok((came, pieces));
                }
                pieces += 1;
                came.extend(piece.into_iter().map(|(_, event)| event.cycle));
            }
        };
        let (all, _) = follow(place("0"), 1000)?;
        let pieces = follow(place("0"), 3)?;
        // This file, before it was set back: what it learns from now on is news.
        let after = format!("{}0", number);
        Ok((all, pieces, follow(place(&after), 1000)?.0))
    });
    assert_eq!(all.len(), told.len());
    assert_eq!(pieces, (all, 4));
    assert_eq!(set_back, []);
}
