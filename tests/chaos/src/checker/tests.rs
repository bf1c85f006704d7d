//! Each invariant is broken once, in facts that are otherwise good, and has to be seen.

use std::time::Duration;

use jiff::Timestamp;
use model::cycle::Origin;
use model::machine::{Claim, MachineRecord, Running};
use model::outcome::{LostCause, Skip, SkipReason};
use model::task::Pace;
use serde_json::json;

use super::*;
use crate::facts::{Job, Letter, Owed, Told};
use crate::fault::Role;
use crate::journal::Pause;

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn rack() -> RackName {
    RackName::new("r1").unwrap()
}

fn machine(name: &str) -> MachineName {
    MachineName::new(name).unwrap()
}

fn cycle_id() -> CycleId {
    CycleId::of_slot(&rack(), time(0))
}

/// The job of the one machine that is deployed.
fn job() -> JobId {
    JobId::of(cycle_id(), &machine("deployed"))
}

fn told(fact: Fact) -> Told {
    let event = Event {
        time: time(9),
        rack: rack(),
        cycle: cycle_id(),
        fact,
    };
    Told {
        subject: event.subject().to_string(),
        id: event.id(),
        event: Some(event),
    }
}

fn finished(verdict: Outcome) -> Told {
    told(Fact::JobFinished {
        job: model::event::Job {
            machine: machine("deployed"),
            job: job(),
        },
        verdict,
        statuses: BTreeMap::new(),
        submitted_at: None,
        cancel: None,
        device: None,
    })
}

fn skipped(name: &str, reason: SkipReason) -> Told {
    told(Fact::MachineSkipped {
        machine: machine(name),
        skip: Skip::new(reason),
    })
}

/// One cycle of a rack with two machines: one passed, the other has no agent.
fn good() -> Facts {
    let pace = Pace {
        first_look: Duration::from_secs(1),
        look_every: Duration::from_secs(1),
        deadline: Duration::from_secs(10),
    };
    let planned = Planned {
        at: time(1),
        deploy_by: time(100),
        spread: Duration::ZERO,
        deploy: [(machine("deployed"), time(1))].into(),
        skip: [(machine("skipped"), Skip::new(SkipReason::NoAgent))].into(),
        pace,
        job: json!({}),
    };
    let record = CycleRecord {
        v: CycleRecord::VERSION,
        rack: rack(),
        cycle: cycle_id(),
        origin: Origin::Manual {
            by: None,
            reason: None,
        },
        ticked_at: time(0),
        fate: Fate::Planned(planned),
        outcomes: [(machine("deployed"), Outcome::Passed)].into(),
        settled_at: Some(time(8)),
        closed: true,
    };
    let counts = record.counts();
    Facts {
        settle: Duration::from_secs(5),
        post_limit: Duration::from_secs(1),
        racks: [(rack(), [machine("deployed"), machine("skipped")].into())].into(),
        owed: vec![Owed {
            rack: rack(),
            cycle: Some(cycle_id()),
        }],
        cycles: vec![record],
        machines: [(machine("deployed"), MachineRecord::default())].into(),
        events: vec![
            skipped("skipped", SkipReason::NoAgent),
            finished(Outcome::Passed),
            told(Fact::CycleFinished {
                counts,
                duration: Duration::from_secs(8),
            }),
        ],
        posted: [(cycle_id(), [(machine("deployed"), 1)].into())].into(),
        jobs: vec![Job {
            id: job().to_string(),
            created_at: time(2),
        }],
        ..Facts::default()
    }
}

/// What is wrong with good facts after this was done to them, by name and number.
#[track_caller]
fn wrong(doctor: impl FnOnce(&mut Facts)) -> Vec<(&'static str, usize)> {
    let mut facts = good();
    doctor(&mut facts);
    let findings = check(&facts);
    let found = findings.must_be_zero.iter();
    for name in findings.must_be_zero.keys() {
        assert!(MUST_BE_ZERO.contains(name), "{name} is not in the report");
    }
    for name in findings.counted_apart.keys() {
        assert!(COUNTED_APART.contains(name), "{name} is not in the report");
    }
    found.map(|(name, lines)| (*name, lines.len())).collect()
}

fn apart(doctor: impl FnOnce(&mut Facts)) -> Vec<(&'static str, usize)> {
    let mut facts = good();
    doctor(&mut facts);
    let findings = check(&facts);
    assert!(findings.is_ok(), "{:?}", findings.must_be_zero);
    let found = findings.counted_apart.iter();
    found.map(|(name, lines)| (*name, lines.len())).collect()
}

/// The machine that is deployed has no outcome yet, and its cycle is open.
fn reopen(facts: &mut Facts) {
    facts.cycles[0].outcomes.clear();
    facts.cycles[0].closed = false;
    facts.events.truncate(1);
}

fn running() -> Claim {
    Claim::Running(Running {
        job: job(),
        cycle: cycle_id(),
        rack: rack(),
        submitted_at: time(2),
        deadline: time(12),
        deploy_by: time(100),
        renewed: false,
        doubled: None,
        verdict: None,
        cancel: None,
    })
}

#[test]
fn good_facts_are_good() {
    assert_eq!(wrong(|_| {}), []);
    assert_eq!(apart(|_| {}), []);
}

#[test]
fn a_machine_without_a_job_is_seen() {
    // The record says that it passed, and the lab never had the job.
    assert_eq!(
        wrong(|facts| facts.posted.clear()),
        [("machines_without_job_or_reason", 1)]
    );
    // The cycle never heard of it.
    assert_eq!(
        wrong(|facts| {
            let machines = facts.racks.get_mut(&rack()).unwrap();
            machines.insert(machine("overlooked"));
        }),
        [("machines_without_job_or_reason", 1)]
    );
    // A reason will do.
    let skip = Skip::new(SkipReason::TooLate);
    assert_eq!(
        wrong(|facts| {
            facts.posted.clear();
            let outcome = Outcome::Skipped(skip);
            facts.cycles[0]
                .outcomes
                .insert(machine("deployed"), outcome);
            facts.events[1] = skipped("deployed", SkipReason::TooLate);
        }),
        []
    );
}

#[test]
fn a_lost_tick_is_seen_with_all_machines_of_its_rack() {
    let lost = [
        ("cycles_never_finished", 1),
        ("machines_without_job_or_reason", 2),
    ];
    let more = |cycle| {
        move |facts: &mut Facts| {
            facts.owed.push(Owed {
                rack: rack(),
                cycle,
            });
        }
    };
    assert_eq!(wrong(more(Some(CycleId::of_slot(&rack(), time(60))))), lost);
    assert_eq!(wrong(more(None)), lost);
}

#[test]
fn a_tick_that_became_two_cycles_is_seen() {
    assert_eq!(
        wrong(|facts| {
            let mut second = facts.cycles[0].clone();
            second.cycle = CycleId::of_slot(&rack(), time(60));
            second.fate = Fate::Missed {
                cause: model::cycle::MissedCause::Late,
            };
            let missed = Event {
                time: time(9),
                rack: rack(),
                cycle: second.cycle,
                fact: Fact::TickMissed {
                    origin: second.origin.clone(),
                    cause: model::cycle::MissedCause::Late,
                },
            };
            facts.events.push(Told {
                subject: missed.subject().to_string(),
                id: missed.id(),
                event: Some(missed),
            });
            facts.cycles.push(second);
        }),
        [("ticks_with_two_cycles", 1)]
    );
}

fn double(facts: &mut Facts, first: i64, second: i64) {
    facts.posted = [(cycle_id(), [(machine("deployed"), 2)].into())].into();
    facts.jobs = [first, second]
        .map(|second| Job {
            id: job().to_string(),
            created_at: time(second),
        })
        .into();
}

fn pause(role: Role, from: i64, until: i64) -> Pause {
    Pause {
        role,
        from: time(from),
        until: time(until),
    }
}

const DOUBLED: [(&str, usize); 2] = [
    ("jobs_with_same_id", 1),
    ("machines_with_two_jobs_in_one_cycle", 1),
];

#[test]
fn a_double_is_seen() {
    assert_eq!(wrong(|facts| double(facts, 2, 20)), DOUBLED);
}

#[test]
fn a_double_right_after_a_long_pause_of_a_worker_is_counted_apart() {
    let by_pause = |role, from, until| {
        move |facts: &mut Facts| {
            double(facts, 12, 20);
            facts.injected.pauses.push(pause(role, from, until));
        }
    };
    let unreported = [
        ("jobs_doubled_by_pause", 1),
        ("jobs_doubled_by_pause_and_not_reported", 1),
    ];
    assert_eq!(apart(by_pause(Role::Worker(1), 3, 19)), unreported);
    // Not longer than the settle time, over too early, begun too late, or nobody who posts.
    assert_eq!(wrong(by_pause(Role::Worker(1), 15, 19)), DOUBLED);
    assert_eq!(wrong(by_pause(Role::Worker(1), 3, 14)), DOUBLED);
    assert_eq!(wrong(by_pause(Role::Worker(1), 12, 19)), DOUBLED);
    assert_eq!(wrong(by_pause(Role::Worker(1), 13, 19)), DOUBLED);
    assert_eq!(wrong(by_pause(Role::Scheduler(1), 3, 19)), DOUBLED);
}

#[test]
fn a_double_that_racktick_reports_is_counted_as_such() {
    assert_eq!(
        apart(|facts| {
            double(facts, 12, 20);
            facts.injected.pauses.push(pause(Role::Worker(1), 3, 19));
            facts.events.push(Told {
                subject: "event.job.r1.deployed.doubled".into(),
                id: format!("{}.doubled", job()),
                event: None,
            });
        }),
        [("doubled_events", 1), ("jobs_doubled_by_pause", 1)]
    );
}

#[test]
fn a_job_posted_again_because_the_lab_forgot_it_is_counted_apart() {
    assert_eq!(
        apart(|facts| {
            facts.posted = [(cycle_id(), [(machine("deployed"), 2)].into())].into();
            facts.injected.forgotten.push(job().to_string());
        }),
        [("jobs_posted_again_after_forgotten", 1)]
    );
}

#[test]
fn a_job_without_a_verdict_is_seen() {
    // It was skipped, so they say, and the lab has it.
    assert_eq!(
        wrong(|facts| {
            let skip = Outcome::Skipped(Skip::new(SkipReason::TooLate));
            facts.cycles[0].outcomes.insert(machine("deployed"), skip);
            facts.events[1] = skipped("deployed", SkipReason::TooLate);
        }),
        [("jobs_without_verdict", 1)]
    );
    // Nobody knows its cycle.
    assert_eq!(
        wrong(|facts| {
            let unknown = CycleId::of_slot(&rack(), time(60));
            facts
                .posted
                .insert(unknown, [(machine("deployed"), 1)].into());
        }),
        [("jobs_without_verdict", 1)]
    );
}

#[test]
fn a_job_that_the_lab_forgot_may_be_lost() {
    let lost = Outcome::Lost {
        cause: LostCause::Gone,
    };
    assert_eq!(
        apart(|facts| {
            facts.injected.forgotten.push(job().to_string());
            facts.events[1] = finished(lost.clone());
            facts.cycles[0].outcomes.insert(machine("deployed"), lost);
        }),
        [("jobs_lost_after_forgotten", 1)]
    );
}

#[test]
fn a_verdict_that_nobody_told_is_seen() {
    let without = |position: usize| {
        move |facts: &mut Facts| {
            facts.events.remove(position);
        }
    };
    assert_eq!(wrong(without(0)), [("verdicts_without_event", 1)]);
    assert_eq!(wrong(without(1)), [("verdicts_without_event", 1)]);
    // Something else was told.
    assert_eq!(
        wrong(|facts| facts.events[1] = finished(Outcome::Cancelled)),
        [("verdicts_without_event", 1)]
    );
}

#[test]
fn a_fact_with_two_ids_is_seen_and_a_repeated_one_is_not() {
    assert_eq!(
        wrong(|facts| {
            let mut again = facts.events[1].clone();
            again.id = "another".into();
            facts.events.push(again);
        }),
        [("events_twice_with_different_ids", 1)]
    );
    assert_eq!(
        apart(|facts| facts.events.push(facts.events[1].clone())),
        [("events_stored_again", 1)]
    );
}

#[test]
fn a_cycle_that_never_finished_is_seen() {
    let never = [("cycles_never_finished", 1)];
    assert_eq!(wrong(|facts| facts.cycles[0].closed = false), never);
    assert_eq!(wrong(|facts| facts.events.truncate(2)), never);
    assert_eq!(wrong(|facts| facts.ticks = vec!["rack.tick".into()]), never);
}

#[test]
fn a_claim_left_behind_is_seen() {
    assert_eq!(
        wrong(|facts| {
            let record = facts.machines.get_mut(&machine("deployed")).unwrap();
            record.claim = running();
        }),
        [("claims_left_behind", 1)]
    );
}

#[test]
fn a_job_that_nobody_looks_at_is_seen() {
    let open = |tasks: Vec<String>| {
        move |facts: &mut Facts| {
            reopen(facts);
            let record = facts.machines.get_mut(&machine("deployed")).unwrap();
            record.claim = running();
            facts.tasks = tasks;
        }
    };
    let alive = [
        ("claims_left_behind", 1),
        ("cycles_never_finished", 1),
        ("jobs_without_verdict", 1),
    ];
    let forlorn = [
        alive[0],
        alive[1],
        ("jobs_without_verdict", 1),
        ("jobs_without_wait", 1),
    ];
    assert_eq!(wrong(open(Vec::new())), forlorn);
    for task in [
        format!("task.wait.watch.{}", job()),
        format!("task.wait.submit.{}", job()),
        "task.watch.r1.deployed".into(),
        "task.submit.r1.deployed".into(),
    ] {
        assert_eq!(wrong(open(vec![task])), alive);
    }
    assert_eq!(wrong(open(vec!["task.watch.r2.deployed".into()])).len(), 5);
}

#[test]
fn a_wait_without_a_job_is_seen() {
    for task in [
        format!("task.wait.watch.{}", job()),
        format!("task.wait.submit.{}", job()),
        "task.watch.r1.deployed".into(),
        "task.submit.r1.deployed".into(),
    ] {
        assert_eq!(
            wrong(|facts| facts.tasks = vec![task]),
            [("waits_without_job", 1)]
        );
    }
    assert_eq!(
        wrong(|facts| facts.tasks = vec!["task.other".into()]),
        [("foreign_messages", 1)]
    );
}

#[test]
fn messages_that_come_no_more_and_letters_without_a_reason_are_seen() {
    assert_eq!(
        wrong(|facts| facts.exhausted = vec!["task.submit.r1.deployed".into()]),
        [("messages_at_delivery_limit", 1)]
    );
    let letter = |reason: &str| {
        let reason = reason.to_owned();
        move |facts: &mut Facts| {
            facts.letters = vec![Letter {
                subject: "rack.tick".into(),
                reason,
            }];
        }
    };
    assert_eq!(wrong(letter(" ")), [("dead_letters_without_reason", 1)]);
    assert_eq!(apart(letter("no such rack")), [("dead_letters", 1)]);
}

#[test]
fn missed_cycles_and_ended_roles_are_counted_apart() {
    let ended = apart(|facts| facts.injected.ended = 2);
    assert_eq!(ended, [("roles_ended_by_themselves", 2)]);
}
