//! Looks: what keeps a claim, what ends it, and that a look always leaves a look until the end.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lab::{Fault, FaultKind};
use model::event::Fact;
use model::machine::{CancelCause, CancelRequest, Claim};
use model::outcome::{LostCause, Outcome};
use model::task::Submit;
use tokio::task::JoinSet;

use crate::world::{Letter, Rack, World, ago, claim_of, phases, submits};

const RESULT: &str = "GET /v1/result/{}";
const JOB: &str = "GET /v1/job/{}";
const AGENT: &str = "GET /v1/agents/data/{}";
const LIST: &str = "GET /v1/queues/{}/jobs";
const ACTION: &str = "POST /v1/job/{}/action";

/// Fires the look that waits, and delivers it.
async fn look(rack: &Rack, task: &Submit) {
    let look = rack.fire(task).await.expect("a look waits");
    assert_eq!(rack.deliver_watch(&look).await, Ok(1));
}

async fn is_claimed(rack: &Rack, task: &Submit) -> bool {
    rack.machine(&task.machine).await.claim.job() == Some(task.job)
}

/// A rack of one machine with a job in Testflinger.
async fn running(world: &World, name: &str) -> (Arc<Rack>, Submit) {
    let rack = world.rack_by_hand(name, 1).await;
    let record = rack.cycle().await;
    let task = submits(&record)[0].clone();
    rack.run(&task).await;
    (Arc::new(rack), task)
}

#[tokio::test]
async fn run_twice_it_is_one_verdict() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.run(task).await;
    let look = rack.fire(task).await.unwrap();
    assert_eq!(rack.deliver_watch(&look).await, Ok(1));
    let settled = rack.machine(&task.machine).await;
    assert_eq!(rack.deliver_watch(&look.again()).await, Ok(2));
    assert_eq!(rack.machine(&task.machine).await, settled);
    assert_eq!(settled.verdicts.len(), 1);
    rack.ended(record.cycle).await;
}

#[tokio::test]
async fn a_look_after_the_end_arms_nothing() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.run(task).await;
    rack.follow(task).await;
    let requests = rack.requests(RESULT);
    rack.deliver_watch(&Letter::watch(&task.first_look()))
        .await
        .unwrap();
    // Also when nobody remembers the job.
    rack.change(&task.machine, |record| record.forget(|_, _| true))
        .await;
    rack.deliver_watch(&Letter::watch(&task.first_look()))
        .await
        .unwrap();
    assert_eq!(rack.waiting_look(task).await, None);
    assert_eq!(rack.requests(RESULT), requests);
    rack.ended(record.cycle).await;
}

#[tokio::test]
async fn a_look_of_another_job_leaves_the_claim_alone() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let (first, second) = (rack.cycle().await, rack.cycle().await);
    rack.run(&submits(&first)[0]).await;
    let before = rack.machine(&rack.machines[0]).await;
    let stray = submits(&second)[0].first_look();
    rack.deliver_watch(&Letter::watch(&stray)).await.unwrap();
    assert_eq!(rack.machine(&rack.machines[0]).await, before);
    assert_eq!(rack.requests(RESULT), 0);
}

#[tokio::test]
async fn progress_is_told_when_the_state_changes() {
    let world = World::start().await;
    let (rack, task) = running(&world, "r1").await;
    for state in [
        "waiting",
        "setup",
        "setup",
        "provision",
        "provision",
        "",
        "provision",
        "brand new state",
    ] {
        rack.report(&task, state, phases([])).await;
        look(&rack, &task).await;
    }
    rack.report(&task, "complete", phases([("provision", 0)]))
        .await;
    look(&rack, &task).await;
    rack.ended(task.cycle).await;
    let told = rack.told(task.cycle).await;
    let states: Vec<String> = told
        .into_iter()
        .filter_map(|told| match told.event.fact {
            Fact::JobProgressed { state, .. } => Some(state),
            _ => None,
        })
        .collect();
    assert_eq!(
        states,
        ["waiting", "setup", "provision", "brand new state",],
        "the last state is told by the job's final event"
    );
}

#[tokio::test]
async fn every_outside_call_failed_once_arms_the_next_look_and_keeps_the_claim() {
    let kinds = [
        FaultKind::Status,
        FaultKind::Hang,
        FaultKind::HangAfter,
        FaultKind::ResetBefore,
        FaultKind::ResetAfter,
        FaultKind::Truncate,
        FaultKind::Malformed,
        FaultKind::EmptyList,
        FaultKind::Null,
        FaultKind::Html,
        FaultKind::Endless,
    ];
    let world = World::start().await;
    let mut cases = JoinSet::new();
    for (t, target) in [RESULT, AGENT, ACTION].into_iter().enumerate() {
        for (n, kind) in kinds.into_iter().enumerate() {
            let (rack, task) = running(&world, &format!("r{t}-{n}")).await;
            cases.spawn(async move {
                // A cancelled job needs all three.
                rack.report(&task, "cancelled", phases([])).await;
                rack.works_on(&task.machine, &task.job.to_string()).await;
                rack.lab.inject(Fault::new(target, kind));
                look(&rack, &task).await;
                assert!(is_claimed(&rack, &task).await, "{target} {kind:?}");
                let next = rack.waiting_look(&task).await.expect("a look waits");
                assert_eq!(
                    next.failed,
                    u32::from(target != ACTION),
                    "{target} {kind:?}"
                );
                rack.works_on(&task.machine, "").await;
                rack.follow(&task).await;
                let record = rack.ended(task.cycle).await;
                assert_eq!(record.outcomes[&task.machine], Outcome::Cancelled);
                assert_eq!(rack.lab.stats().faults.values().sum::<u64>(), 1);
            });
        }
    }
    cases.join_all().await;
}

/// Each of what a look asks where it has more to ask than the result: whether the job is there at all, and how often.
#[tokio::test]
async fn every_other_call_of_a_look_failed_once_arms_the_next_look() {
    let kinds = [
        FaultKind::Status,
        FaultKind::Hang,
        FaultKind::HangAfter,
        FaultKind::ResetBefore,
        FaultKind::ResetAfter,
        FaultKind::Html,
        FaultKind::Endless,
    ];
    let world = World::start().await;
    let mut cases = JoinSet::new();
    for (t, target) in [JOB, LIST].into_iter().enumerate() {
        for (n, kind) in kinds.into_iter().enumerate() {
            let rack = world.rack(&format!("r{t}-{n}"), 1).await;
            cases.spawn(async move {
                let task = submits(&rack.cycle().await)[0].clone();
                rack.run(&task).await;
                rack.change(&task.machine, |record| {
                    if let Claim::Running(claim) = &mut record.claim {
                        claim.renewed = true;
                    }
                })
                .await;
                // The look that waits was armed for a claim that was never renewed, and would not read this one.
                let first = task.first_look();
                let armed = rack.ledger().arm_look(&first, ago(-3600)).await;
                armed.unwrap();
                if target == JOB {
                    rack.lab.inject(Fault {
                        status: Some(204),
                        ..Fault::new(RESULT, FaultKind::Status)
                    });
                }
                rack.lab.inject(Fault::new(target, kind));
                look(&rack, &task).await;
                assert!(is_claimed(&rack, &task).await, "{target} {kind:?}");
                let next = rack.waiting_look(&task).await.expect("a look waits");
                assert_eq!(next.failed, 1, "{target} {kind:?}");
                rack.follow(&task).await;
                let record = rack.ended(task.cycle).await;
                assert_eq!(record.outcomes[&task.machine], Outcome::Passed);
                let faults = rack.lab.stats().faults.values().sum::<u64>();
                assert_eq!(faults, 1 + u64::from(target == JOB));
            });
        }
    }
    cases.join_all().await;
}

/// A result that is not there although the job is: no look may take that for an end.
#[tokio::test]
async fn a_result_that_is_missing_once_is_a_failed_look() {
    let world = World::start().await;
    let (rack, task) = running(&world, "r1").await;
    rack.lab.inject(Fault {
        status: Some(204),
        ..Fault::new(RESULT, FaultKind::Status)
    });
    look(&rack, &task).await;
    let next = rack.waiting_look(&task).await.unwrap();
    assert_eq!((next.failed, next.absent), (1, 0));
    rack.report(&task, "complete", phases([("provision", 0)]))
        .await;
    rack.follow(&task).await;
    assert_eq!(
        rack.ended(task.cycle).await.outcomes[&task.machine],
        Outcome::Passed
    );
}

#[tokio::test]
async fn a_job_that_is_absent_once_is_not_lost() {
    let world = World::start().await;
    let (rack, task) = running(&world, "r1").await;
    for target in [RESULT, JOB] {
        rack.lab.inject(Fault {
            status: Some(204),
            ..Fault::new(target, FaultKind::Status)
        });
    }
    look(&rack, &task).await;
    assert_eq!(rack.waiting_look(&task).await.unwrap().absent, 1);
    // It is there again, so the count begins anew.
    look(&rack, &task).await;
    assert_eq!(rack.waiting_look(&task).await.unwrap().absent, 0);
    for target in [RESULT, JOB] {
        rack.lab.inject(Fault {
            status: Some(204),
            ..Fault::new(target, FaultKind::Status)
        });
    }
    look(&rack, &task).await;
    assert!(is_claimed(&rack, &task).await);
    rack.report(&task, "complete", phases([("provision", 0)]))
        .await;
    rack.follow(&task).await;
    assert_eq!(
        rack.ended(task.cycle).await.outcomes[&task.machine],
        Outcome::Passed
    );
}

#[tokio::test]
async fn a_job_that_is_absent_twice_is_gone() {
    let world = World::start().await;
    let (rack, task) = running(&world, "r1").await;
    rack.lab.forget_job(&task.job.to_string()).unwrap();
    look(&rack, &task).await;
    assert!(is_claimed(&rack, &task).await);
    // A look that fails in between proves nothing either way.
    rack.lab.inject(Fault::new(RESULT, FaultKind::ResetBefore));
    look(&rack, &task).await;
    assert!(is_claimed(&rack, &task).await);
    look(&rack, &task).await;
    let record = rack.ended(task.cycle).await;
    assert_eq!(
        record.outcomes[&task.machine],
        Outcome::Lost {
            cause: LostCause::Gone
        }
    );
}

/// The POST may still be on its way.
#[tokio::test]
async fn a_job_that_is_absent_before_its_claim_says_running_is_waited_for() {
    let world = World::start().await;
    let rack = world.rack_by_hand("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    let claim = claim_of(task, ago(-1));
    rack.change(&task.machine, |record| {
        record.claim = Claim::Submitting(claim.clone())
    })
    .await;
    rack.deliver_watch(&Letter::watch(&task.first_look()))
        .await
        .unwrap();
    look(&rack, task).await;
    look(&rack, task).await;
    assert!(is_claimed(&rack, task).await);
    rack.deliver_submit(&Letter::submit(task).again())
        .await
        .unwrap();
    rack.report(task, "complete", phases([("provision", 0)]))
        .await;
    rack.follow(task).await;
    assert_eq!(
        rack.ended(record.cycle).await.outcomes[&task.machine],
        Outcome::Passed
    );
}

#[tokio::test]
async fn a_job_that_ended_before_its_claim_said_running_has_its_verdict() {
    let world = World::start().await;
    let rack = world.rack_by_hand("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.lab
        .inject(Fault::new("POST /v1/job", FaultKind::ResetAfter));
    rack.submit_once(&Letter::submit(task)).await.unwrap_err();
    rack.report(task, "complete", phases([("provision", 1)]))
        .await;
    rack.deliver_watch(&Letter::watch(&task.first_look()))
        .await
        .unwrap();
    assert_eq!(rack.machine(&task.machine).await.claim, Claim::Idle);
    rack.deliver_submit(&Letter::submit(task).again())
        .await
        .unwrap();
    let record = rack.ended(record.cycle).await;
    assert!(matches!(
        record.outcomes[&task.machine],
        Outcome::Failed { .. }
    ));
}

#[tokio::test]
async fn past_its_deadline_a_job_is_cancelled_and_keeps_the_machine_until_it_is_over() {
    let world = World::start().await;
    let mut rack = world.rack_by_hand("r1", 1).await;
    rack.settings.policy.deadline = Duration::from_millis(1);
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.run(task).await;
    rack.report(task, "provision", phases([])).await;
    rack.works_on(&task.machine, &task.job.to_string()).await;
    for looks in 1..=3 {
        look(&rack, task).await;
        assert_eq!(rack.requests(ACTION), looks);
        let claim = rack.machine(&task.machine).await.claim;
        assert_eq!(claim.job(), Some(task.job));
        assert_eq!(claim.cancel().unwrap().cause, CancelCause::Deadline);
    }
    let told = rack.told(record.cycle).await;
    let overdue = told
        .iter()
        .filter(|told| told.words() == ("job", "overdue"));
    assert_eq!(overdue.count(), 1);
    // It even passes in the end, which nobody waited for.
    rack.report(task, "complete", phases([("provision", 0)]))
        .await;
    rack.follow(task).await;
    let record = rack.ended(record.cycle).await;
    assert_eq!(
        record.outcomes[&task.machine],
        Outcome::Lost {
            cause: LostCause::Deadline
        }
    );
}

/// Testflinger was down when the deadline came; the job had passed.
#[tokio::test]
async fn a_deadline_that_nobody_could_look_at_changes_no_verdict() {
    let world = World::start().await;
    let mut rack = world.rack_by_hand("r1", 1).await;
    rack.settings.policy.deadline = Duration::from_secs(4);
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.run(task).await;
    rack.report(task, "complete", phases([("provision", 0)]))
        .await;
    rack.lab.inject(Fault {
        count: 2,
        ..Fault::new(RESULT, FaultKind::Status)
    });
    let deadline = match rack.machine(&task.machine).await.claim {
        Claim::Running(claim) => claim.deadline,
        other => panic!("{other:?}"),
    };
    testkit::until(Duration::from_secs(20), "the deadline comes", async || {
        Timestamp::now() >= deadline
    })
    .await;
    look(&rack, task).await;
    look(&rack, task).await;
    assert!(is_claimed(&rack, task).await);
    rack.follow(task).await;
    let record = rack.ended(record.cycle).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Passed);
    assert!(rack.events(record.cycle, "job", "overdue").await.is_empty());
}

/// A result that can never be read must not hold the machine for ever.
#[tokio::test]
async fn a_job_that_nobody_can_look_at_is_cancelled_when_its_deadline_is_twice_over() {
    let world = World::start().await;
    let mut rack = world.rack_by_hand("r1", 1).await;
    rack.settings.policy.deadline = Duration::from_millis(1);
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.run(task).await;
    rack.lab.inject(Fault {
        count: 2,
        ..Fault::new(RESULT, FaultKind::Status)
    });
    look(&rack, task).await;
    look(&rack, task).await;
    let claim = rack.machine(&task.machine).await.claim;
    assert_eq!(claim.cancel().unwrap().cause, CancelCause::Deadline);
    assert_eq!(rack.events(record.cycle, "job", "overdue").await.len(), 1);
}

/// A person asked first; that the deadline passed as well is still told, once.
#[tokio::test]
async fn a_cancelled_job_that_does_not_end_becomes_overdue() {
    let world = World::start().await;
    let mut rack = world.rack_by_hand("r1", 1).await;
    rack.settings.policy.deadline = Duration::from_millis(1);
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.run(task).await;
    let request = CancelRequest {
        cause: CancelCause::Asked,
        by: "ann".into(),
        why: String::new(),
        at: Timestamp::now(),
    };
    rack.change(&task.machine, |machine| {
        machine.ask_to_cancel(task.job, request.clone()).unwrap();
    })
    .await;
    look(&rack, task).await;
    look(&rack, task).await;
    assert_eq!(rack.events(record.cycle, "job", "overdue").await.len(), 1);
    let claim = rack.machine(&task.machine).await.claim;
    assert_eq!(claim.cancel().unwrap().by, "ann");
}

#[tokio::test]
async fn a_look_at_another_machines_job_is_refused() {
    let world = World::start().await;
    let (rack, task) = running(&world, "r1").await;
    let mut letter = Letter::watch(&task.first_look());
    letter.task.machine = "r1-m99".parse().unwrap();
    let refused = rack.deliver_watch(&letter).await.unwrap_err();
    assert!(refused.contains("is not the job of r1-m99"), "{refused}");
}

#[tokio::test]
async fn cancelled_in_testflinger_is_over_only_when_its_agent_let_go_on_two_looks() {
    let world = World::start().await;
    let (rack, task) = running(&world, "r1").await;
    rack.report(&task, "cancelled", phases([])).await;
    let job = task.job.to_string();
    // On it, off it, on it again, off it.
    for (agent_job, let_go) in [(job.as_str(), 0), ("", 1), (job.as_str(), 0), ("", 1)] {
        rack.works_on(&task.machine, agent_job).await;
        look(&rack, &task).await;
        assert!(is_claimed(&rack, &task).await);
        assert_eq!(rack.waiting_look(&task).await.unwrap().let_go, let_go);
    }
    look(&rack, &task).await;
    let record = rack.ended(task.cycle).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Cancelled);
}

/// Nothing clears the job from the record of an agent that was killed: without this the machine would never be free.
#[tokio::test]
async fn an_agent_that_was_killed_at_work_has_let_its_job_go() {
    let world = World::start().await;
    let (rack, task) = running(&world, "r1").await;
    rack.report(&task, "cancelled", phases([])).await;
    rack.works_on(&task.machine, &task.job.to_string()).await;
    look(&rack, &task).await;
    assert!(is_claimed(&rack, &task).await);
    rack.starts_again(&task.machine).await;
    look(&rack, &task).await;
    assert!(is_claimed(&rack, &task).await);
    look(&rack, &task).await;
    let record = rack.ended(task.cycle).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Cancelled);
}
