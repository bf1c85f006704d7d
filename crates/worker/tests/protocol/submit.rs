//! What a submit does by what it finds: its job's fate, another job's claim, the time.

use bus::runtime::Handler;
use jiff::{SignedDuration, Timestamp};
use lab::{Fault, FaultKind};
use ledger::Cancelled;
use model::id::JobId;
use model::machine::{CancelCause, CancelRequest, Claim, Running, Submitting};
use model::name::MachineName;
use model::outcome::{LostCause, Outcome, Skip, SkipReason};
use model::task::Submit;

use crate::world::{Letter, World, ago, claim_of, skipped, submits};

/// A claim of another job.
fn foreign(task: &Submit, until: Timestamp) -> Submitting {
    Submitting {
        job: JobId::of(task.cycle, &MachineName::new("another").unwrap()),
        ..claim_of(task, until)
    }
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
    assert_eq!(rack.posts(), 1);
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
    assert_eq!(rack.posts(), 2);
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
    assert_eq!(rack.posts(), 1);
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
    assert_eq!(rack.posts(), 0);
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
    assert_eq!(rack.posts(), 2);
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
                renewed: false,
                doubled: None,
                verdict: None,
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
    assert_eq!(rack.posts(), 0);
}

/// The process that ran the tick may remember what the machines' records said then.
#[tokio::test]
async fn what_happened_to_a_machine_since_its_tick_counts() {
    let world = World::start().await;
    let rack = world.rack("r1", 3).await;
    let ledger = rack.ledger();
    let letter = Letter::tick(&rack.name);
    let tick = rack.ticker_on(ledger.clone());
    tick.handle(letter.task.clone(), &letter.delivery)
        .await
        .unwrap();
    let record = rack.record(letter.cycle()).await.unwrap();
    let [free, taken, dropped] = &submits(&record)[..] else {
        panic!()
    };
    let other = Claim::Submitting(foreign(taken, ago(-60)));
    rack.change(&taken.machine, |record| record.claim = other.clone())
        .await;
    let request = CancelRequest {
        cause: CancelCause::Asked,
        by: "ada".into(),
        why: String::new(),
        at: Timestamp::now(),
    };
    let another = rack.ledger();
    let cancelled = another.cancel(&record, &dropped.machine, &request);
    assert_eq!(cancelled.await.unwrap(), Cancelled::Dropped);

    for task in [free, taken, dropped] {
        let letter = Letter::submit(task);
        let submit = rack.submitter_on(ledger.clone());
        submit
            .handle(letter.task.clone(), &letter.delivery)
            .await
            .unwrap();
        rack.follow(task).await;
    }
    let record = rack.ended(record.cycle).await;
    assert_eq!(record.outcomes[&free.machine], Outcome::Passed);
    let reason = |task: &Submit| skipped(&record.outcomes[&task.machine]).reason;
    assert_eq!(
        (reason(taken), reason(dropped)),
        (SkipReason::InFlight, SkipReason::Cancelled)
    );
    assert_eq!(rack.machine(&taken.machine).await.claim, other);
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
    assert_eq!(rack.posts(), 1);
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
    assert_eq!(rack.posts(), 0);
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
    assert_eq!(rack.posts(), 1);
}
