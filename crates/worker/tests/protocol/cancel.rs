//! A cancel at every point of a job's life. It is written into the machine's record first, and Testflinger is asked by
//! the job's own handlers.

use lab::{Fault, FaultKind};
use ledger::Cancelled;
use model::machine::Claim;
use model::outcome::{Outcome, Skip, SkipReason};

use crate::world::{Letter, World, killed_at, phases, submits};

const ACTION: &str = "POST /v1/job/{}/action";

#[tokio::test]
async fn before_the_claim_the_job_is_dropped() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    assert_eq!(rack.cancel(&record, task).await, Cancelled::Dropped);
    assert_eq!(rack.cancel(&record, task).await, Cancelled::AlreadyOver);
    rack.deliver_submit(&Letter::submit(task)).await.unwrap();
    let record = rack.ended(record.cycle).await;
    let dropped = Outcome::Skipped(Skip::of(SkipReason::Cancelled, "ada"));
    assert_eq!(record.outcomes[&task.machine], dropped);
    assert_eq!(rack.posts(), 0);
}

/// The other job keeps its claim.
#[tokio::test]
async fn a_job_that_waits_for_a_taken_machine_is_dropped() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let (first, second) = (rack.cycle().await, rack.cycle().await);
    let (other, task) = (&submits(&first)[0], &submits(&second)[0]);
    rack.run(other).await;
    assert_eq!(rack.cancel(&second, task).await, Cancelled::Dropped);
    assert_eq!(
        rack.machine(&task.machine).await.claim.job(),
        Some(other.job)
    );
    rack.follow(other).await;
    rack.ended(first.cycle).await;
    rack.ended(second.cycle).await;
}

/// The worker died before or while it posted; whoever comes after it finds the job absent, and posts nothing.
#[tokio::test]
async fn between_the_claim_and_the_post_the_job_is_given_up() {
    let world = World::start().await;
    let rack = world.rack("r1", 2).await;
    let record = rack.cycle().await;
    let [killed, lost] = &submits(&record)[..] else {
        panic!()
    };

    let mut awaits = 1;
    while rack.machine(&killed.machine).await.claim == Claim::Idle {
        killed_at(awaits, rack.submit_once(&Letter::submit(killed))).await;
        awaits += 1;
    }
    rack.lab
        .inject(Fault::new("POST /v1/job", FaultKind::ResetBefore));
    rack.submit_once(&Letter::submit(lost)).await.unwrap_err();

    for task in [killed, lost] {
        assert_eq!(rack.cancel(&record, task).await, Cancelled::Asked);
        rack.deliver_submit(&Letter::submit(task).again())
            .await
            .unwrap();
    }
    let record = rack.ended(record.cycle).await;
    let dropped = Outcome::Skipped(Skip::of(SkipReason::Cancelled, "ada"));
    assert!(record.outcomes.values().all(|outcome| *outcome == dropped));
    assert_eq!(rack.lab.stats().jobs_submitted, 0);
}

#[tokio::test]
async fn after_a_post_whose_answer_was_lost_the_first_look_asks_testflinger() {
    let world = World::start().await;
    let rack = world.rack_by_hand("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.lab
        .inject(Fault::new("POST /v1/job", FaultKind::ResetAfter));
    rack.submit_once(&Letter::submit(task)).await.unwrap_err();
    assert_eq!(rack.cancel(&record, task).await, Cancelled::Asked);
    rack.deliver_submit(&Letter::submit(task).again())
        .await
        .unwrap();
    assert!(rack.machine(&task.machine).await.claim.cancel().is_some());
    assert_eq!(rack.requests(ACTION), 0);
    rack.follow(task).await;
    assert!(rack.requests(ACTION) > 0);
    let record = rack.ended(record.cycle).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Cancelled);
}

#[tokio::test]
async fn a_running_job_is_looked_at_now_and_is_over_only_when_its_agent_let_go() {
    let world = World::start().await;
    let rack = world.rack_by_hand("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.run(task).await;
    rack.report(task, "provision", phases([])).await;
    rack.works_on(&task.machine, &task.job.to_string()).await;
    assert_eq!(rack.cancel(&record, task).await, Cancelled::Asked);
    rack.until_due(task).await;
    for looks in 1..=3 {
        let look = rack.fire(task).await.unwrap();
        rack.deliver_watch(&look).await.unwrap();
        assert_eq!(rack.requests(ACTION), looks, "every look asks again");
        assert_eq!(
            rack.machine(&task.machine).await.claim.job(),
            Some(task.job)
        );
    }
    rack.works_on(&task.machine, "").await;
    rack.follow(task).await;
    let record = rack.ended(record.cycle).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Cancelled);
    let finished = rack.events(record.cycle, "job", "finished").await;
    let text = String::from_utf8(finished[0].to_json()).unwrap();
    assert!(
        text.contains("\"by\":\"ada\"") && text.contains("wrong image"),
        "{text}"
    );
}

/// An agent's next report overwrites what Testflinger noted of a cancel.
#[tokio::test]
async fn a_cancel_that_testflinger_forgot_is_asked_for_again() {
    let world = World::start().await;
    let rack = world.rack_by_hand("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.run(task).await;
    rack.cancel(&record, task).await;
    rack.until_due(task).await;
    for looks in 1..=2 {
        let look = rack.fire(task).await.unwrap();
        rack.deliver_watch(&look).await.unwrap();
        assert_eq!(rack.requests(ACTION), looks);
        rack.report(task, "provision", phases([])).await;
    }
    rack.follow(task).await;
    assert_eq!(
        rack.ended(record.cycle).await.outcomes[&task.machine],
        Outcome::Cancelled
    );
}

/// It had passed when the request came; people were told that it is cancelled.
#[tokio::test]
async fn a_job_that_passed_meanwhile_is_cancelled_all_the_same() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.run(task).await;
    assert_eq!(rack.cancel(&record, task).await, Cancelled::Asked);
    rack.follow(task).await;
    assert_eq!(
        rack.ended(record.cycle).await.outcomes[&task.machine],
        Outcome::Cancelled
    );
}

#[tokio::test]
async fn a_job_that_is_over_stays_what_it_was() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    rack.run(task).await;
    rack.follow(task).await;
    // With the record as it was before, and as it is now.
    assert_eq!(rack.cancel(&record, task).await, Cancelled::AlreadyOver);
    let record = rack.ended(record.cycle).await;
    assert_eq!(rack.cancel(&record, task).await, Cancelled::AlreadyOver);
    assert_eq!(record.outcomes[&task.machine], Outcome::Passed);
}

#[tokio::test]
async fn every_look_asks_even_when_it_sees_nothing_and_even_before_the_claim_says_running() {
    let world = World::start().await;
    let rack = world.rack_by_hand("r1", 2).await;
    let record = rack.cycle().await;
    let [blind, submitting] = &submits(&record)[..] else {
        panic!()
    };
    rack.run(blind).await;
    rack.lab
        .inject(Fault::new("POST /v1/job", FaultKind::ResetAfter));
    rack.submit_once(&Letter::submit(submitting))
        .await
        .unwrap_err();
    rack.lab
        .inject(Fault::new("GET /v1/result/{}", FaultKind::Html));
    for task in [blind, submitting] {
        rack.cancel(&record, task).await;
        let asked = rack.requests(ACTION);
        rack.deliver_watch(&Letter::watch(&task.first_look()))
            .await
            .unwrap();
        assert_eq!(rack.requests(ACTION), asked + 1, "{}", task.machine);
        assert_eq!(
            rack.machine(&task.machine).await.claim.job(),
            Some(task.job)
        );
        rack.follow(task).await;
    }
    rack.deliver_submit(&Letter::submit(submitting).again())
        .await
        .unwrap();
    let record = rack.ended(record.cycle).await;
    assert!(
        record
            .outcomes
            .values()
            .all(|outcome| *outcome == Outcome::Cancelled)
    );
}
