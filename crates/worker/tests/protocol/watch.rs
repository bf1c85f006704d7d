//! Looks: each leaves a look until the end, and the end is told once. What ends a claim, and what does not.

use lab::{Fault, FaultKind};
use model::event::Fact;
use model::machine::Claim;
use model::outcome::Outcome;

use crate::world::{Letter, World, phases, submits};

const RESULT: &str = "GET /v1/result/{}";

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
    let (rack, task) = world.running("r1").await;
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
        rack.look(&task).await;
    }
    rack.report(&task, "complete", phases([("provision", 0)]))
        .await;
    rack.look(&task).await;
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
async fn a_look_at_another_machines_job_is_refused() {
    let world = World::start().await;
    let (rack, task) = world.running("r1").await;
    let mut letter = Letter::watch(&task.first_look());
    letter.task.machine = "r1-m99".parse().unwrap();
    let refused = rack.deliver_watch(&letter).await.unwrap_err();
    assert!(refused.contains("is not the job of r1-m99"), "{refused}");
}

#[tokio::test]
async fn cancelled_in_testflinger_is_over_only_when_its_agent_let_go_on_two_looks() {
    let world = World::start().await;
    let (rack, task) = world.running("r1").await;
    rack.report(&task, "cancelled", phases([])).await;
    let job = task.job.to_string();
    // On it, off it, on it again, off it.
    for (agent_job, let_go) in [(job.as_str(), 0), ("", 1), (job.as_str(), 0), ("", 1)] {
        rack.works_on(&task.machine, agent_job).await;
        rack.look(&task).await;
        assert!(rack.is_claimed(&task).await);
        assert_eq!(rack.waiting_look(&task).await.unwrap().let_go, let_go);
    }
    rack.look(&task).await;
    let record = rack.ended(task.cycle).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Cancelled);
}

/// Nothing clears the job from the record of an agent that was killed: without this the machine would never be free.
#[tokio::test]
async fn an_agent_that_was_killed_at_work_has_let_its_job_go() {
    let world = World::start().await;
    let (rack, task) = world.running("r1").await;
    rack.report(&task, "cancelled", phases([])).await;
    rack.works_on(&task.machine, &task.job.to_string()).await;
    rack.look(&task).await;
    assert!(rack.is_claimed(&task).await);
    rack.starts_again(&task.machine).await;
    rack.look(&task).await;
    assert!(rack.is_claimed(&task).await);
    rack.look(&task).await;
    let record = rack.ended(task.cycle).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Cancelled);
}
