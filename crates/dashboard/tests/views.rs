//! What the views say of a small lab: one cycle that is over, and one that is under way.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "views/several.rs"]
mod several;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use dashboard::history::standing::Health;
use dashboard::history::{Batch, History, Position, Writer};
use dashboard::views::{CycleState, EventFilter};
use jiff::{SignedDuration, Timestamp};
use model::action::{Action, Deed, Letter, RackEvent};
use model::cycle::Origin;
use model::event::{Event, Fact, Job};
use model::id::{CycleId, JobId};
use model::image::Image;
use model::name::{MachineName, RackName};
use model::outcome::{Counts, FailCause, Outcome, Phase, Skip, SkipReason};
use support::write;
use tempfile::TempDir;

struct Lab {
    _folder: TempDir,
    history: History,
    _writer: Writer,
}

fn at(text: &str) -> Timestamp {
    format!("2026-11-21T{text}Z").parse().unwrap()
}

fn rack() -> RackName {
    RackName::new("r7").unwrap()
}

fn node(number: usize) -> MachineName {
    MachineName::new(format!("node{number}")).unwrap()
}

fn cycle(slot: &str) -> CycleId {
    CycleId::of_slot(&rack(), at(slot))
}

fn job(slot: &str, number: usize) -> Job {
    let machine = node(number);
    Job {
        job: JobId::of(cycle(slot), &machine),
        machine,
    }
}

fn failed() -> Outcome {
    Outcome::Failed {
        cause: FailCause::Phase,
        phase: Some(Phase::Provision),
        exit_code: Some(1),
    }
}

/// The cycles of 06:00, finished, and of 12:00, under way.
fn events() -> Vec<Event> {
    let mut events = Vec::new();
    let mut tell = |slot: &str, time: &str, fact| {
        events.push(Event {
            time: at(time),
            rack: rack(),
            cycle: cycle(slot),
            fact,
        });
    };
    for (slot, hour) in [("06:00:00", "06"), ("12:00:00", "12")] {
        let time = |minutes: &str| format!("{hour}:{minutes}");
        let origin = Origin::Slot { slot: at(slot) };
        tell(slot, &time("00:01"), Fact::CycleStarted { origin });
        let planned = Fact::CyclePlanned {
            deploy: 3,
            skip: BTreeMap::from([(SkipReason::NoAgent, 1)]),
            deploy_by: at(&time("59:00")),
            spread: Duration::from_secs(600),
        };
        tell(slot, &time("00:02"), planned);
        let (machine, skip) = (node(3), Skip::of(SkipReason::NoAgent, "node3"));
        tell(slot, &time("00:02"), Fact::MachineSkipped { machine, skip });
        for (number, minute) in [(1, "01:00"), (2, "02:00")] {
            let submitted = Fact::JobSubmitted {
                job: job(slot, number),
                deadline: at("23:00:00"),
                image: Image {
                    distro: Some("noble".into()),
                    kernel: None,
                },
            };
            tell(slot, &time(minute), submitted);
        }
        for (state, minute) in [("waiting", "06:00"), ("provision", "11:00")] {
            let (job, state) = (job(slot, 1), state.to_owned());
            tell(slot, &time(minute), Fact::JobProgressed { job, state });
        }
    }
    let finished = |job, verdict| Fact::JobFinished {
        job,
        verdict,
        statuses: BTreeMap::from([(Phase::Setup, 0), (Phase::Provision, 0)]),
        submitted_at: Some(at("06:01:00")),
        cancel: None,
        device: None,
        evidence: None,
    };
    let (first, second) = ("06:00:00", "12:00:00");
    tell(first, "06:41:00", finished(job(first, 1), Outcome::Passed));
    tell(first, "06:42:00", finished(job(first, 2), failed()));
    let rejected = Fact::JobRejected {
        job: job(first, 4),
        status: 422,
        message: "no".into(),
    };
    tell(first, "06:10:00", rejected);
    let outcomes = BTreeMap::from([
        ("passed", 1),
        ("failed", 1),
        ("rejected", 1),
        ("skipped", 1),
    ]);
    let counts = Counts {
        outcomes: outcomes
            .into_iter()
            .map(|(word, count)| (word.to_owned(), count))
            .collect(),
        reasons: BTreeMap::from([(SkipReason::NoAgent, 1)]),
    };
    let duration = Duration::from_secs(42 * 60);
    tell(
        first,
        "06:42:00.5",
        Fact::CycleFinished { counts, duration },
    );
    tell(second, "12:40:00", finished(job(second, 2), failed()));
    events
}

fn lab() -> Lab {
    let folder = tempfile::tempdir().unwrap();
    let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
    write(&mut writer, &events(), 100);
    Lab {
        _folder: folder,
        history,
        _writer: writer,
    }
}

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
fn trends_count_by_day_and_find_who_has_not_deployed() {
    let lab = lab();
    let trends = lab
        .history
        .read(|reading| reading.trends(at("00:00:00")))
        .unwrap();
    assert_eq!(trends.days.len(), 1);
    assert_eq!(trends.days[0].day.to_string(), "2026-11-21");
    assert_eq!(trends.days[0].outcomes["failed"], 2);
    assert_eq!(trends.longest_without_pass[0].machine, node(2));
    assert!(trends.flaky.is_empty());
}

/// One cycle every six hours, in which node1 ends like this.
fn ends(outcomes: &[&Outcome]) -> Vec<Event> {
    let slots = ["00:00:00", "06:00:00", "12:00:00", "18:00:00"];
    let told = slots.iter().zip(outcomes).map(|(slot, outcome)| Event {
        time: at(slot) + SignedDuration::from_mins(50),
        rack: rack(),
        cycle: cycle(slot),
        fact: Fact::JobFinished {
            job: job(slot, 1),
            verdict: (*outcome).clone(),
            statuses: BTreeMap::new(),
            submitted_at: None,
            cancel: None,
            device: None,
            evidence: None,
        },
    });
    told.collect()
}

#[test]
fn who_changes_often_is_flaky() {
    let folder = tempfile::tempdir().unwrap();
    let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
    let passed = Outcome::Passed;
    write(
        &mut writer,
        &ends(&[&passed, &failed(), &passed, &Outcome::Cancelled]),
        2,
    );
    let ask = |from| {
        let trends = history.read(|reading| reading.trends(at(from))).unwrap();
        let flaky = trends.flaky.into_iter();
        let flaky = flaky.map(|flaky| (flaky.machine, flaky.changes, flaky.verdicts));
        flaky.collect::<Vec<_>>()
    };
    assert_eq!(ask("00:00:00"), [(node(1), 2, 3)]);
    assert_eq!(ask("06:00:00"), [(node(1), 2, 2)]);
    assert_eq!(ask("12:00:00"), []);
}

#[test]
fn a_job_that_was_refused_and_ran_after_all_counts_once() {
    for refused_first in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
        let mut events = ends(&[&failed(), &failed()]);
        let refused = Event {
            fact: Fact::JobRejected {
                job: job("00:00:00", 1),
                status: 422,
                message: "no".into(),
            },
            // Of the day before.
            time: at("00:00:00") - SignedDuration::from_mins(5),
            ..events[0].clone()
        };
        events.insert(if refused_first { 0 } else { 2 }, refused);
        write(&mut writer, &events, 1);
        let trends = history.read(|reading| reading.trends(Timestamp::UNIX_EPOCH));
        let days = trends.unwrap().days;
        let [day] = &days[..] else { panic!("{days:?}") };
        assert_eq!(day.outcomes, BTreeMap::from([("failed".to_owned(), 2)]));
        let view = history.read(|reading| reading.machine(&node(1)));
        let cell = view.unwrap().unwrap().cell;
        assert_eq!((cell.streak, cell.since), (2, Some(at("00:50:00"))));
    }
}

#[test]
fn what_racktick_cannot_have_published_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
    // A job's id follows from its cycle and its machine.
    let mut foreign = ends(&[&failed()]);
    for event in &mut foreign {
        if let Fact::JobFinished { job: about, .. } = &mut event.fact {
            about.job = job("00:00:00", 2).job;
        }
    }
    write(&mut writer, &foreign, 1);
    let known = history.read(|reading| {
        let events = reading.events(&EventFilter::default(), None, 10)?;
        Ok((reading.machine(&node(1))?, events.page.items))
    });
    assert_eq!(known.unwrap(), (None, Vec::new()));
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

#[test]
fn what_people_do_to_racks_is_shown_whatever_came_first_and_forgotten_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
    let event = |by: &str, clock, deed| RackEvent {
        rack: rack(),
        action: Action {
            at: at(clock),
            by: by.into(),
            why: "power work".into(),
            deed,
        },
    };
    let letter = Letter {
        number: 12,
        subject: "rack.tick".into(),
        reason: "tried too often".into(),
        at: at("05:00:00"),
    };
    let replayed = |by: &str, clock| {
        let letter = letter.clone();
        event(by, clock, Deed::Replayed { letter })
    };
    let told = [
        replayed("bob", "07:00:00"),
        event("ann", "06:30:00", Deed::Paused),
        replayed("ann", "06:59:00"),
        event("ann", "06:30:00", Deed::Paused),
        replayed("bob", "07:00:00"),
    ];
    for actions in told.chunks(2) {
        let position = Position {
            stream_created: at("00:00:00"),
            sequence: 1,
            stored_at: None,
        };
        let batch = Batch {
            events: events(),
            actions: actions.to_vec(),
            ignored: 0,
            position,
        };
        writer.write(&batch, at("08:00:00")).unwrap();
    }
    let shown = || {
        history
            .read(|reading| reading.actions(&rack(), 10))
            .unwrap()
    };
    let lines: Vec<_> = shown()
        .into_iter()
        .map(|action| (action.by, action.what, action.letter))
        .collect();
    let expected = [("ann", "replayed", Some(12)), ("ann", "paused", None)];
    let expected = expected.map(|(by, what, letter)| (by.to_owned(), what.to_owned(), letter));
    assert_eq!(lines, expected);
    let filter = EventFilter {
        rack: Some(rack()),
        kind: Some("rack.replayed".into()),
        ..EventFilter::default()
    };
    let listed = |filter: &EventFilter| {
        let events = history.read(|reading| reading.events(filter, None, 100));
        events.unwrap().page.items
    };
    let found = listed(&filter);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].cycle, found[0].at), (None, at("06:59:00")));
    assert_eq!(found[0].word.as_deref(), Some("dead letter 12"));
    assert_eq!(found[0].why.as_deref(), Some("power work"));
    let all = listed(&EventFilter::default());
    assert_eq!(all.len(), events().len() + 2);
    while writer.forget(at("23:00:00")).unwrap() > 0 {}
    assert_eq!(
        (shown().len(), listed(&EventFilter::default()).len()),
        (0, 0)
    );
}
