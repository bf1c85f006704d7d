//! The fleet, racks, cycles, machines, and events.

use std::collections::BTreeMap;
use std::time::Duration;

use dashboard::history::History;
use dashboard::history::standing::Health;
use dashboard::views::{CycleState, EventFilter};
use jiff::SignedDuration;
use model::outcome::{Phase, SkipReason};

use crate::lab::{at, cycle, events, failed, job, lab, node, rack};
use crate::support;
#[test]
fn an_empty_file_has_an_empty_fleet() {
    let folder = tempfile::tempdir().unwrap();
    let (history, _writer) = History::open(&folder.path().join("history.db")).unwrap();
    let fleet = history.read(|reading| reading.fleet()).unwrap();
    assert_eq!(fleet.as_of.at, None);
    assert!(fleet.racks.is_empty());
    assert_eq!(history.read(|reading| reading.rack(&rack())).unwrap(), None);
    assert_eq!(
        history.read(|reading| reading.machine(&node(1))).unwrap(),
        None
    );
}

#[test]
fn the_fleet_shows_what_fails_first_and_what_goes_on() {
    let lab = lab();
    let fleet = lab
        .history
        .read_at(at("13:00:00"), |reading| reading.fleet())
        .unwrap();
    assert_eq!(fleet.as_of.at, Some(support::now()));
    assert_eq!(fleet.as_of.newest_event, Some(at("12:40:00")));
    assert_eq!(fleet.totals.machines, 4);
    assert_eq!(fleet.totals.deploying, 1);
    assert_eq!(fleet.totals.health[&Health::Failing], 1);
    let card = &fleet.racks[0];
    let order: Vec<_> = card
        .cells
        .iter()
        .map(|cell| (cell.machine.as_str(), cell.health))
        .collect();
    assert_eq!(
        order,
        [
            ("node2", Health::Failing),
            ("node3", Health::Unknown),
            ("node4", Health::Unknown),
            ("node1", Health::Ok),
        ]
    );
    let worst = &card.cells[0];
    assert_eq!((worst.since, worst.streak), (Some(at("06:42:00")), 2));
    assert_eq!(worst.last.as_ref().unwrap().outcome, failed());
    let left_alone = card.cells[1].decision.skip.as_ref().unwrap();
    assert_eq!(left_alone.reason, SkipReason::NoAgent);
    assert_eq!(left_alone.detail.as_deref(), Some("node3"));
    let deploying = card.cells[3].job.as_ref().unwrap();
    assert_eq!(deploying.job, job("12:00:00", 1).job);
    assert_eq!(deploying.state.as_deref(), Some("provision"));
    assert_eq!(deploying.at, Some(at("12:11:00")));
    let running = &card.running[0];
    assert_eq!(running.state, CycleState::Running);
    assert_eq!((running.deploy, running.open), (Some(3), 2));
}

#[test]
fn a_machine_seen_a_week_later_is_stale() {
    let lab = lab();
    let later = at("13:00:00") + SignedDuration::from_hours(8 * 24);
    let view = lab
        .history
        .read_at(later, |reading| reading.machine(&node(1)))
        .unwrap()
        .unwrap();
    assert_eq!(view.cell.health, Health::Stale);
}

#[test]
fn a_rack_shows_its_machines_and_its_cycles() {
    let lab = lab();
    let view = lab
        .history
        .read(|reading| reading.rack(&rack()))
        .unwrap()
        .unwrap();
    let strips: BTreeMap<_, _> = view
        .machines
        .iter()
        .map(|machine| {
            let words: Vec<_> = machine
                .verdicts
                .iter()
                .map(|verdict| verdict.outcome.word())
                .collect();
            (machine.cell.machine.as_str(), words)
        })
        .collect();
    assert_eq!(strips["node1"], ["passed"]);
    assert_eq!(strips["node2"], ["failed", "failed"]);
    assert_eq!(strips["node4"], ["rejected"]);
    let [second, first] = &view.cycles.items[..] else {
        panic!("{:?}", view.cycles)
    };
    assert_eq!(view.running.as_slice(), std::slice::from_ref(second));
    assert_eq!(first.open, 0);
    assert_eq!(
        first.state,
        CycleState::Finished {
            at: at("06:42:00.5"),
            duration: Duration::from_secs(42 * 60)
        }
    );
}

#[test]
fn a_cycle_says_what_it_waits_for() {
    let lab = lab();
    let view = lab
        .history
        .read(|reading| reading.cycle(cycle("12:00:00")))
        .unwrap()
        .unwrap();
    assert_eq!(view.unsubmitted, 1);
    let decisions: Vec<_> = view
        .decisions
        .iter()
        .map(|decision| {
            (
                decision.machine.as_str(),
                decision.skip.is_some(),
                decision.job.as_ref().map(|job| job.outcome.is_some()),
            )
        })
        .collect();
    assert_eq!(
        decisions,
        [
            ("node1", false, Some(false)),
            ("node2", false, Some(true)),
            ("node3", true, None),
        ]
    );
    assert_eq!(view.cycle.counts.outcomes["failed"], 1);
    assert_eq!(view.cycle.counts.reasons[&SkipReason::NoAgent], 1);
    let kinds: Vec<_> = view
        .timeline
        .iter()
        .map(|event| event.kind.as_str())
        .collect();
    assert_eq!(kinds, ["cycle.started", "cycle.planned"]);
}

#[test]
fn a_machine_shows_the_failure_and_the_last_pass() {
    let lab = lab();
    let ask = |number| {
        let view = lab
            .history
            .read(move |reading| reading.machine(&node(number)));
        view.unwrap().unwrap()
    };
    let view = ask(2);
    assert_eq!(view.racks, [rack()]);
    let failure = view.last_failure.unwrap();
    assert_eq!(failure.job.job, job("12:00:00", 2).job);
    assert_eq!(view.last_pass, None);
    assert_eq!(view.decisions.items.len(), 2);
    let view = ask(1);
    assert_eq!(view.current.unwrap().job.job, job("12:00:00", 1).job);
    let pass = view.last_pass.unwrap();
    let provision = &pass.phases[1];
    assert_eq!(
        (provision.phase, provision.status),
        (Phase::Provision, Some(0))
    );
    assert_eq!(provision.lasted, Some(Duration::from_secs(30 * 60)));
    assert_eq!(pass.looks.len(), 2);
}

#[test]
fn events_come_newest_first_and_page_by_page() {
    let lab = lab();
    let ask = |filter: &EventFilter, limit| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = lab
                .history
                .read(|reading| reading.events(filter, after, limit))
                .unwrap()
                .page;
            found.extend(page.items);
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    };
    let all = ask(&EventFilter::default(), 3);
    assert_eq!(all.len(), events().len());
    assert!(all.is_sorted_by(|a, b| a.at >= b.at));
    assert_eq!(all, ask(&EventFilter::default(), 1000));
    let filter = EventFilter {
        machine: Some(node(3)),
        ..EventFilter::default()
    };
    let words: Vec<_> = ask(&filter, 10)
        .into_iter()
        .map(|event| event.word)
        .collect();
    assert_eq!(
        words,
        [Some("no_agent".to_owned()), Some("no_agent".to_owned())]
    );
    let filter = EventFilter {
        rack: Some(rack()),
        cycle: Some(cycle("06:00:00")),
        kind: Some("job.finished".into()),
        ..EventFilter::default()
    };
    let words: Vec<_> = ask(&filter, 1)
        .into_iter()
        .map(|event| event.word.unwrap())
        .collect();
    assert_eq!(words, ["failed", "passed"]);
}

#[test]
fn a_rare_kind_is_found_by_every_filter() {
    let lab = lab();
    let ask = |filter: EventFilter| {
        let events = lab
            .history
            .read(|reading| reading.events(&filter, None, 10));
        events.unwrap().page.items.len()
    };
    let rejected = EventFilter {
        kind: Some("job.rejected".into()),
        ..EventFilter::default()
    };
    assert_eq!(ask(rejected.clone()), 1);
    let of_rack = EventFilter {
        rack: Some(rack()),
        ..rejected.clone()
    };
    assert_eq!(ask(of_rack.clone()), 1);
    let of_machine = |number| EventFilter {
        machine: Some(node(number)),
        ..of_rack.clone()
    };
    assert_eq!((ask(of_machine(4)), ask(of_machine(1))), (1, 0));
    let of_cycle = |slot| EventFilter {
        cycle: Some(cycle(slot)),
        ..of_rack.clone()
    };
    assert_eq!(
        (ask(of_cycle("06:00:00")), ask(of_cycle("12:00:00"))),
        (1, 0)
    );
    let unknown = EventFilter {
        kind: Some("job.invented".into()),
        ..EventFilter::default()
    };
    assert_eq!(ask(unknown), 0);
}
