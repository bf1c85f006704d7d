//! Submits that have reason to doubt: the decision is old, the message came before, an attempt of its own may still
//! arrive.

use std::time::Duration;

use bus::runtime::TaskError;
use lab::{AgentChange, Fault, FaultKind};
use model::machine::Claim;
use model::outcome::{Outcome, Skip, SkipReason};
use model::task::Submit;

use crate::world::{Letter, TIMING, World, ago, claim_of, paused, phases, skipped, submits};

#[tokio::test]
async fn a_fresh_decision_is_not_doubted() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    rack.run(&submits(&record)[0]).await;
    assert_eq!(rack.requests("GET /v1/agents/data/{}"), 0);
}

#[tokio::test]
async fn an_old_decision_and_a_redelivery_look_at_the_agent_again() {
    let world = World::start().await;
    let rack = world.rack("r1", 6).await;
    let record = rack.cycle().await;
    let tasks = submits(&record);
    let state = |state: &str| AgentChange {
        state: Some(Some(state.into())),
        ..AgentChange::default()
    };
    let offline = SkipReason::AgentOffline;
    let cases = [
        (Some(state("provision")), SkipReason::AgentBusy),
        (Some(state("offline")), offline),
        (None, SkipReason::NoAgent),
    ];
    for (pair, (change, reason)) in tasks.chunks(2).zip(cases) {
        for (task, redelivered) in pair.iter().zip([false, true]) {
            match &change {
                Some(change) => rack.lab.change_agent(task.machine.as_str(), change.clone()),
                None => rack.lab.remove_agent(task.machine.as_str()),
            }
            .unwrap();
            let letter = if redelivered {
                Letter::submit(task).again()
            } else {
                Letter::submit(&Submit {
                    decided_at: ago(61),
                    ..task.clone()
                })
            };
            rack.deliver_submit(&letter).await.unwrap();
            let record = rack.machine(&task.machine).await;
            assert_eq!(skipped(&record.settled[&task.job].outcome).reason, reason);
        }
    }
    rack.ended(record.cycle).await;
    assert_eq!(rack.posts(), 0);
}

#[tokio::test]
async fn an_old_decision_about_a_good_agent_stands() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = Submit {
        decided_at: ago(600),
        ..submits(&record)[0].clone()
    };
    rack.deliver_submit(&Letter::submit(&task)).await.unwrap();
    rack.follow(&task).await;
    assert_eq!(
        rack.ended(record.cycle).await.outcomes[&task.machine],
        Outcome::Passed
    );
}

#[tokio::test]
async fn a_rack_that_was_paused_meanwhile_is_left_alone() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    rack.add(&paused()).await;
    let task = Submit {
        decided_at: ago(61),
        ..submits(&record)[0].clone()
    };
    rack.deliver_submit(&Letter::submit(&task)).await.unwrap();
    let record = rack.ended(record.cycle).await;
    assert_eq!(
        *skipped(&record.outcomes[&task.machine]),
        Skip::of(SkipReason::RackPaused, "ada")
    );
}

/// Its worker died with the claim, its message became a dead letter, and the sweep sends the task again.
#[tokio::test]
async fn a_submit_that_the_sweep_brings_back_goes_on() {
    let world = World::start().await;
    let rack = world.rack("r1", 2).await;
    let record = rack.cycle().await;
    let [lost, arrived] = &submits(&record)[..] else {
        panic!()
    };
    for (task, kind) in [
        (lost, FaultKind::ResetBefore),
        (arrived, FaultKind::ResetAfter),
    ] {
        rack.lab.inject(Fault::new("POST /v1/job", kind));
        assert!(rack.submit_once(&Letter::submit(task)).await.is_err());
        let swept = Submit {
            swept: true,
            ..task.clone()
        };
        rack.deliver_submit(&Letter::submit(&swept)).await.unwrap();
        rack.follow(task).await;
    }
    let record = rack.ended(record.cycle).await;
    assert!(
        record
            .outcomes
            .values()
            .all(|outcome| *outcome == Outcome::Passed)
    );
    assert_eq!(rack.posts(), 3);
}

#[tokio::test]
async fn its_own_claim_is_left_alone_until_it_has_settled() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    let claim = Claim::Submitting(claim_of(task, ago(-3600)));
    rack.change(&task.machine, |record| record.claim = claim.clone())
        .await;
    let Err(TaskError::Retry { after, .. }) = rack.submit_once(&Letter::submit(task)).await else {
        panic!("it went on");
    };
    assert!(
        after > Duration::from_secs(3590) && after <= Duration::from_secs(3601) + TIMING.margin
    );
    assert_eq!(rack.machine(&task.machine).await.claim, claim);
    assert_eq!((rack.posts(), rack.requests("GET /v1/job/{}")), (0, 0));
}

/// The GET took so long that a POST might outlive the claim.
#[tokio::test]
async fn it_does_not_post_when_little_of_the_settle_time_is_left() {
    let world = World::start().await;
    let mut rack = world.rack_as("r1", 1, |_| {}).await;
    rack.limit_testflinger(2 * TIMING.settle);
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    let slow = Fault {
        delay_ms: (TIMING.settle - TIMING.post_limit).as_millis() as u64,
        ..Fault::new("GET /v1/job/{}", FaultKind::Latency)
    };
    rack.lab.inject(slow);
    let letter = Letter::submit(task).again();
    let Err(TaskError::Retry { after, why, .. }) = rack.submit_once(&letter).await else {
        panic!("it posted");
    };
    assert!(why.contains("settle time"), "{why}");
    assert!(after >= TIMING.settle);
    assert_eq!(rack.posts(), 0);
    rack.deliver_submit(&letter.again()).await.unwrap();
    rack.follow(task).await;
    rack.ended(record.cycle).await;
    assert_eq!(rack.posts(), 1);
}

/// The bucket was rolled back: the job is in Testflinger, its agent works on it, and the record knows nothing of it, nor
/// when it was submitted. What is told of that anew has another time, and the broker folds it with what was told before.
#[tokio::test]
async fn a_redelivery_finds_a_job_that_the_record_does_not_know() {
    let world = World::with_window(Duration::from_secs(600)).await;
    let rack = world.rack_by_hand("r1", 2).await;
    let record = rack.cycle().await;
    for (task, state) in submits(&record).iter().zip(["waiting", "provision"]) {
        rack.run(task).await;
        let change = AgentChange {
            state: Some(Some(state.into())),
            ..AgentChange::default()
        };
        rack.lab
            .change_agent(task.machine.as_str(), change)
            .unwrap();
        rack.change(&task.machine, |record| record.claim = Claim::Idle)
            .await;
        rack.deliver_submit(&Letter::submit(task).again())
            .await
            .unwrap();
        rack.report(task, "complete", phases([("provision", 0)]))
            .await;
        rack.follow(task).await;
    }
    let record = rack.ended(record.cycle).await;
    assert!(
        record
            .outcomes
            .values()
            .all(|outcome| *outcome == Outcome::Passed)
    );
    assert_eq!(rack.posts(), 2);
}
