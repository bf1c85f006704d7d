//! What was lost, and what is left behind.

use model::machine::Running;
use model::outcome::LostCause;

use super::*;
use crate::facts::Letter;

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
    // A reason will do, unless it is not true.
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
    assert_eq!(
        wrong(|facts| {
            facts.posted.clear();
            let outcome = Outcome::Skipped(Skip::new(SkipReason::TooLate));
            facts.cycles[0]
                .outcomes
                .insert(machine("deployed"), outcome);
            facts.events[1] = skipped("deployed", SkipReason::TooLate);
            facts.read_at = time(99);
        }),
        [("machines_without_job_or_reason", 1)]
    );
}

#[test]
fn a_round_in_which_hardly_anything_deploys_is_seen() {
    assert!(check(&good()).is_ok());
    let mut lazy = good();
    lazy.cycles[0]
        .outcomes
        .insert(machine("deployed"), Outcome::Cancelled);
    let names = |facts| check(facts).must_be_zero.into_keys().collect::<Vec<_>>();
    assert!(names(&lazy).contains(&"rounds_with_little_work"));
    assert!(names(&Facts::default()).contains(&"rounds_with_little_work"));
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
