//! What was done twice.

use super::*;
use crate::fault::Role;
use crate::journal::Pause;

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
    let facts = by_pause(Role::Worker(1), 3, 19);
    assert_eq!(
        wrong(facts),
        [("jobs_doubled_by_pause_and_not_reported", 1)]
    );
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
