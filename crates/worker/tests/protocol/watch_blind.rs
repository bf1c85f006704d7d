//! Looks that see nothing: a call fails, or Testflinger says that there is no result or no job. None of it frees a machine
//! until the job is certainly gone.

use lab::{Fault, FaultKind};
use model::machine::Claim;
use model::outcome::{LostCause, Outcome};
use tokio::task::JoinSet;

use crate::world::{Letter, World, ago, claim_of, phases, submits};

const RESULT: &str = "GET /v1/result/{}";
const JOB: &str = "GET /v1/job/{}";
const AGENT: &str = "GET /v1/agents/data/{}";
const LIST: &str = "GET /v1/queues/{}/jobs";
const ACTION: &str = "POST /v1/job/{}/action";

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
            let (rack, task) = world.running(&format!("r{t}-{n}")).await;
            cases.spawn(async move {
                // A cancelled job needs all three.
                rack.report(&task, "cancelled", phases([])).await;
                rack.works_on(&task.machine, &task.job.to_string()).await;
                rack.lab.inject(Fault::new(target, kind));
                rack.look(&task).await;
                assert!(rack.is_claimed(&task).await, "{target} {kind:?}");
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
                rack.look(&task).await;
                assert!(rack.is_claimed(&task).await, "{target} {kind:?}");
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
    let (rack, task) = world.running("r1").await;
    rack.lab.inject(Fault {
        status: Some(204),
        ..Fault::new(RESULT, FaultKind::Status)
    });
    rack.look(&task).await;
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
    let (rack, task) = world.running("r1").await;
    for target in [RESULT, JOB] {
        rack.lab.inject(Fault {
            status: Some(204),
            ..Fault::new(target, FaultKind::Status)
        });
    }
    rack.look(&task).await;
    assert_eq!(rack.waiting_look(&task).await.unwrap().absent, 1);
    // It is there again, so the count begins anew.
    rack.look(&task).await;
    assert_eq!(rack.waiting_look(&task).await.unwrap().absent, 0);
    for target in [RESULT, JOB] {
        rack.lab.inject(Fault {
            status: Some(204),
            ..Fault::new(target, FaultKind::Status)
        });
    }
    rack.look(&task).await;
    assert!(rack.is_claimed(&task).await);
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
    let (rack, task) = world.running("r1").await;
    rack.lab.forget_job(&task.job.to_string()).unwrap();
    rack.look(&task).await;
    assert!(rack.is_claimed(&task).await);
    // A look that fails in between proves nothing either way.
    rack.lab.inject(Fault::new(RESULT, FaultKind::ResetBefore));
    rack.look(&task).await;
    assert!(rack.is_claimed(&task).await);
    rack.look(&task).await;
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
    rack.look(task).await;
    rack.look(task).await;
    assert!(rack.is_claimed(task).await);
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
