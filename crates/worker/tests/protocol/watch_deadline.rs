//! Looks at a job whose deadline is over: it is cancelled, told to be overdue once, and keeps the machine until its end.

use std::time::Duration;

use jiff::Timestamp;
use lab::{Fault, FaultKind};
use model::machine::{CancelCause, CancelRequest, Claim};
use model::outcome::{LostCause, Outcome};

use crate::world::{World, phases, submits};

const RESULT: &str = "GET /v1/result/{}";
const ACTION: &str = "POST /v1/job/{}/action";

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
        rack.look(task).await;
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
    rack.look(task).await;
    rack.look(task).await;
    assert!(rack.is_claimed(task).await);
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
    rack.look(task).await;
    rack.look(task).await;
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
    rack.look(task).await;
    rack.look(task).await;
    assert_eq!(rack.events(record.cycle, "job", "overdue").await.len(), 1);
    let claim = rack.machine(&task.machine).await.claim;
    assert_eq!(claim.cancel().unwrap().by, "ann");
}
