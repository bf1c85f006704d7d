//! What a submit does by what it finds: its job's fate, another job's claim, the time, the agent.

use std::time::Duration;

use bus::runtime::TaskError;
use jiff::{SignedDuration, Timestamp};
use lab::{AgentChange, Fault, FaultKind};
use model::id::JobId;
use model::machine::{Claim, Running, Submitting};
use model::name::MachineName;
use model::outcome::{LostCause, Outcome, Skip, SkipReason};
use model::rack::{Pause, RackRecord};
use model::schedule::Schedule;
use model::task::Submit;
use uuid::Uuid;

use crate::world::{Letter, Rack, TIMING, World, ago, phases, submits};

fn skipped(outcome: &Outcome) -> &Skip {
    match outcome {
        Outcome::Skipped(skip) => skip,
        other => panic!("not skipped: {other:?}"),
    }
}

/// A claim of another job.
fn foreign(task: &Submit, until: Timestamp) -> Submitting {
    Submitting {
        job: JobId::of(task.cycle, &MachineName::new("another").unwrap()),
        cycle: task.cycle,
        rack: task.rack.clone(),
        by: "w2".into(),
        attempt: Uuid::from_u128(7),
        until,
        deploy_by: task.deploy_by,
        cancel: None,
    }
}

/// The claim that an attempt of the task's own left behind.
fn own(task: &Submit, until: Timestamp) -> Claim {
    Claim::Submitting(Submitting {
        job: task.job,
        ..foreign(task, until)
    })
}

fn posts(rack: &Rack) -> u64 {
    rack.requests("POST /v1/job")
}

#[tokio::test]
async fn run_twice_it_posts_once_and_tells_the_same() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    let letter = Letter::submit(task);
    assert_eq!(rack.deliver_submit(&letter).await, Ok(1));
    assert_eq!(rack.deliver_submit(&letter.again()).await, Ok(2));
    assert_eq!(posts(&rack), 1);
    assert_eq!(rack.events(record.cycle, "job", "submitted").await.len(), 1);
    rack.follow(task).await;
    rack.ended(record.cycle).await;
}

#[tokio::test]
async fn delivered_again_after_its_end_it_submits_nothing() {
    let world = World::start().await;
    let rack = world.rack("r1", 2).await;
    let record = rack.cycle().await;
    let [task, other] = &submits(&record)[..] else {
        panic!()
    };
    rack.run(task).await;
    rack.follow(task).await;
    let verdict = rack.machine(&task.machine).await;
    assert_eq!(verdict.claim, Claim::Idle);
    // Once while the cycle is open, and once when it is closed.
    rack.deliver_submit(&Letter::submit(task).again())
        .await
        .unwrap();
    rack.run(other).await;
    rack.follow(other).await;
    rack.deliver_submit(&Letter::submit(task)).await.unwrap();
    assert_eq!(rack.machine(&task.machine).await, verdict);
    assert_eq!(posts(&rack), 2);
    rack.ended(record.cycle).await;
}

#[tokio::test]
async fn delivered_again_after_its_fate_was_forgotten_it_submits_nothing() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.run(task).await;
    rack.follow(task).await;
    let before = rack.ended(record.cycle).await;
    // M10, long after the time until which the job might be submitted.
    rack.change(&task.machine, |record| record.forget(|_, _| true))
        .await;
    let late = Submit {
        deploy_by: ago(3600),
        ..task.clone()
    };
    rack.deliver_submit(&Letter::submit(&late).again())
        .await
        .unwrap();
    assert_eq!(rack.ended(record.cycle).await, before);
    assert!(rack.machine(&task.machine).await.settled.is_empty());
    assert_eq!(posts(&rack), 1);
}

#[tokio::test]
async fn after_deploy_by_it_is_too_late() {
    let world = World::start().await;
    let rack = world.rack("r1", 2).await;
    let record = rack.cycle().await;
    for (task, claimed) in submits(&record).iter().zip([false, true]) {
        if claimed {
            // Whoever else has the machine: this job is too late for it.
            let claim = foreign(task, ago(-60));
            rack.change(&task.machine, |record| {
                record.claim = Claim::Submitting(claim.clone())
            })
            .await;
        }
        let late = Submit {
            deploy_by: ago(1),
            ..task.clone()
        };
        assert_eq!(rack.deliver_submit(&Letter::submit(&late)).await, Ok(1));
        assert_eq!(
            rack.machine(&task.machine).await.claim == Claim::Idle,
            !claimed
        );
    }
    let record = rack.ended(record.cycle).await;
    for outcome in record.outcomes.values() {
        assert_eq!(skipped(outcome).reason, SkipReason::TooLate);
    }
    assert_eq!(posts(&rack), 0);
}

#[tokio::test]
async fn after_deploy_by_an_attempt_that_never_arrived_is_given_up_and_one_that_did_is_followed() {
    let world = World::start().await;
    let rack = world.rack("r1", 2).await;
    let record = rack.cycle().await;
    let [absent, there] = &submits(&record)[..] else {
        panic!()
    };
    rack.lab
        .inject(Fault::new("POST /v1/job", FaultKind::ResetBefore));
    assert!(rack.submit_once(&Letter::submit(absent)).await.is_err());
    rack.lab
        .inject(Fault::new("POST /v1/job", FaultKind::ResetAfter));
    assert!(rack.submit_once(&Letter::submit(there)).await.is_err());
    for task in [absent, there] {
        let late = Submit {
            deploy_by: ago(1),
            ..task.clone()
        };
        rack.deliver_submit(&Letter::submit(&late).again())
            .await
            .unwrap();
        rack.follow(task).await;
    }
    let record = rack.ended(record.cycle).await;
    assert_eq!(
        skipped(&record.outcomes[&absent.machine]).reason,
        SkipReason::TooLate
    );
    assert_eq!(record.outcomes[&there.machine], Outcome::Passed);
    assert_eq!(posts(&rack), 2);
}

#[tokio::test]
async fn a_claim_of_another_job_is_never_taken_over() {
    let world = World::start().await;
    let rack = world.rack("r1", 3).await;
    let record = rack.cycle().await;
    let tasks = submits(&record);
    let hour = SignedDuration::from_hours(1);
    for (task, kind) in tasks.iter().zip(["fresh", "old", "running"]) {
        let now = Timestamp::now();
        let other = foreign(
            task,
            if kind == "old" {
                now - hour
            } else {
                now + hour
            },
        );
        let claim = match kind {
            "running" => Claim::Running(Running {
                job: other.job,
                cycle: other.cycle,
                rack: other.rack.clone(),
                submitted_at: now - hour,
                deadline: now - hour,
                deploy_by: other.deploy_by,
                cancel: None,
            }),
            _ => Claim::Submitting(other.clone()),
        };
        rack.change(&task.machine, |record| record.claim = claim.clone())
            .await;
        assert_eq!(
            rack.deliver_submit(&Letter::submit(task)).await,
            Ok(1),
            "{kind}"
        );
        let record = rack.machine(&task.machine).await;
        assert_eq!(record.claim, claim, "{kind}");
        let skip = skipped(&record.settled[&task.job].outcome);
        assert_eq!(
            *skip,
            Skip::of(SkipReason::InFlight, other.job.to_string()),
            "{kind}"
        );
    }
    rack.ended(record.cycle).await;
    assert_eq!(posts(&rack), 0);
}

#[tokio::test]
async fn a_skip_stays_a_skip_when_the_other_job_ends() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let (first, second) = (rack.cycle().await, rack.cycle().await);
    let (other, task) = (&submits(&first)[0], &submits(&second)[0]);
    rack.run(other).await;
    rack.deliver_submit(&Letter::submit(task)).await.unwrap();
    rack.follow(other).await;
    assert_eq!(rack.machine(&task.machine).await.claim, Claim::Idle);
    rack.deliver_submit(&Letter::submit(task).again())
        .await
        .unwrap();
    let second = rack.ended(second.cycle).await;
    let skip = skipped(&second.outcomes[&task.machine]);
    assert_eq!(*skip, Skip::of(SkipReason::InFlight, other.job.to_string()));
    assert_eq!(posts(&rack), 1);
    rack.ended(first.cycle).await;
}

#[tokio::test]
async fn a_task_that_no_tick_sent_is_rejected() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];

    let cycle = Letter::tick(&rack.name).cycle();
    let unknown = Submit {
        cycle,
        job: JobId::of(cycle, &task.machine),
        ..task.clone()
    };
    let why = rack
        .deliver_submit(&Letter::submit(&unknown))
        .await
        .unwrap_err();
    assert!(why.starts_with("unknown_cycle"), "{why}");

    let foreign = Submit {
        job: JobId::of(cycle, &task.machine),
        ..task.clone()
    };
    let why = rack
        .deliver_submit(&Letter::submit(&foreign))
        .await
        .unwrap_err();
    assert!(why.contains("is not the job of r1-m01"), "{why}");

    assert_eq!(rack.machine(&task.machine).await.claim, Claim::Idle);
    assert_eq!(posts(&rack), 0);
}

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
    assert_eq!(posts(&rack), 0);
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
    let every = Schedule::Every {
        every: Duration::from_secs(6 * 3600),
        splay: None,
    };
    let mut paused = RackRecord::new(every, Timestamp::now());
    paused.paused = Some(Pause {
        by: "ada".into(),
        why: String::new(),
        at: Timestamp::now(),
    });
    rack.add(&paused).await;
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
    assert_eq!(posts(&rack), 3);
}

#[tokio::test]
async fn its_own_claim_is_left_alone_until_it_has_settled() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    let claim = own(task, ago(-3600));
    rack.change(&task.machine, |record| record.claim = claim.clone())
        .await;
    let Err(TaskError::Retry { after, .. }) = rack.submit_once(&Letter::submit(task)).await else {
        panic!("it went on");
    };
    assert!(
        after > Duration::from_secs(3590) && after <= Duration::from_secs(3601) + TIMING.margin
    );
    assert_eq!(rack.machine(&task.machine).await.claim, claim);
    assert_eq!((posts(&rack), rack.requests("GET /v1/job/{}")), (0, 0));
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
    assert_eq!(posts(&rack), 0);
    rack.deliver_submit(&letter.again()).await.unwrap();
    rack.follow(task).await;
    rack.ended(record.cycle).await;
    assert_eq!(posts(&rack), 1);
}

/// The bucket was rolled back: the job is in Testflinger, its agent works on it, and the record knows nothing of it.
#[tokio::test]
async fn a_redelivery_finds_a_job_that_the_record_does_not_know() {
    let world = World::start().await;
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
    assert_eq!(posts(&rack), 2);
}

#[tokio::test]
async fn a_job_that_testflinger_lost_is_not_posted_again() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.run(task).await;
    rack.lab.forget_job(&task.job.to_string()).unwrap();
    rack.deliver_submit(&Letter::submit(task).again())
        .await
        .unwrap();
    rack.follow(task).await;
    let record = rack.ended(record.cycle).await;
    assert_eq!(
        record.outcomes[&task.machine],
        Outcome::Lost {
            cause: LostCause::Gone
        }
    );
    assert_eq!(posts(&rack), 1);
}
