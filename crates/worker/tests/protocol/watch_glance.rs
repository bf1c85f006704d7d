//! Looks that do not read the claim: what they know is enough for a job at work, and whatever happened since they were
//! armed is seen by a look that reads.

use std::sync::Arc;

use bus::runtime::Handler as _;
use jiff::Timestamp;
use ledger::{Cancelled, Ledger};
use model::cycle::CycleRecord;
use model::machine::{CancelCause, CancelRequest};
use model::outcome::Outcome;
use model::task::{Submit, Watch};

use crate::world::{Letter, Rack, World, phases, submits};

const ACTION: &str = "POST /v1/job/{}/action";

/// A job in Testflinger that is in provision, and its cycle.
async fn at_work(world: &World, name: &str) -> (Arc<Rack>, CycleRecord, Submit) {
    let rack = Arc::new(world.rack_by_hand(name, 1).await);
    let record = rack.cycle().await;
    let task = submits(&record)[0].clone();
    rack.run(&task).await;
    rack.report(&task, "provision", phases([])).await;
    (rack, record, task)
}

async fn cancel(rack: &Rack, record: &CycleRecord, task: &Submit) {
    let request = CancelRequest {
        cause: CancelCause::Asked,
        by: "ada".into(),
        why: "wrong image".into(),
        at: Timestamp::now(),
    };
    let asked = rack.ledger().cancel(record, &task.machine, &request).await;
    assert_eq!(asked.unwrap(), Cancelled::Asked);
}

async fn deliver(rack: &Rack, look: &Letter<Watch>) {
    rack.deliver_watch(look).await.unwrap();
}

/// Whether the look that waits reads the claim.
async fn next_reads(rack: &Rack, task: &Submit) -> bool {
    let next = rack.waiting_look(task).await.expect("a look waits");
    next.deadline.is_none()
}

#[tokio::test]
async fn looks_at_a_job_at_work_follow_each_other_without_the_claim() {
    let world = World::start().await;
    let (rack, record, task) = at_work(&world, "r1").await;
    for number in 0..3 {
        assert!(!next_reads(&rack, &task).await);
        let look = rack.fire(&task).await.unwrap();
        assert_eq!(look.task.look, number);
        deliver(&rack, &look).await;
    }
    // Nothing is there to be read.
    let before = rack.machine(&task.machine).await;
    rack.change(&task.machine, |record| *record = Default::default())
        .await;
    deliver(&rack, &rack.fire(&task).await.unwrap()).await;
    assert!(!next_reads(&rack, &task).await);
    rack.change(&task.machine, |record| *record = before.clone())
        .await;
    rack.report(&task, "complete", phases([("provision", 0)]))
        .await;
    rack.follow(&task).await;
    let record = rack.ended(record.cycle).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Passed);
}

/// The look is in some worker's hands when the cancel comes, and arms the next one after it.
#[tokio::test]
async fn a_cancel_during_a_look_is_seen_by_the_next_one() {
    let world = World::start().await;
    let (rack, record, task) = at_work(&world, "r1").await;
    let look = rack.fire(&task).await.unwrap();
    cancel(&rack, &record, &task).await;
    deliver(&rack, &look).await;
    assert!(next_reads(&rack, &task).await);
    deliver(&rack, &rack.fire(&task).await.unwrap()).await;
    assert_eq!(rack.requests(ACTION), 1);
    rack.follow(&task).await;
    let record = rack.ended(record.cycle).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Cancelled);
}

/// The cancel's own look was handled before the one that knows nothing of it.
#[tokio::test]
async fn a_cancel_that_overtakes_a_look_is_not_forgotten() {
    let world = World::start().await;
    let (rack, record, task) = at_work(&world, "r1").await;
    let look = rack.fire(&task).await.unwrap();
    cancel(&rack, &record, &task).await;
    deliver(&rack, &rack.fire(&task).await.unwrap()).await;
    assert!(next_reads(&rack, &task).await);
    // The agent's next report overwrites the cancel, so each look has to repeat it.
    rack.report(&task, "provision", phases([])).await;
    deliver(&rack, &look).await;
    assert!(next_reads(&rack, &task).await);
    deliver(&rack, &rack.fire(&task).await.unwrap()).await;
    assert_eq!(rack.requests(ACTION), 2);
    rack.follow(&task).await;
    let record = rack.ended(record.cycle).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Cancelled);
}

/// Both looks are in workers' hands, and the one that knows nothing of the cancel arms first.
#[tokio::test]
async fn a_cancels_look_takes_the_place_of_one_that_knows_nothing_of_it() {
    let world = World::start().await;
    let (rack, record, task) = at_work(&world, "r1").await;
    let look = rack.fire(&task).await.unwrap();
    cancel(&rack, &record, &task).await;
    let reading = rack.fire(&task).await.unwrap();
    deliver(&rack, &look).await;
    assert!(!next_reads(&rack, &task).await);
    deliver(&rack, &reading).await;
    assert!(next_reads(&rack, &task).await);
    rack.follow(&task).await;
    let record = rack.ended(record.cycle).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Cancelled);
}

/// The acknowledgement was lost, or the worker was too slow: the same look again, when the next one waits already.
#[tokio::test]
async fn a_look_that_comes_again_reads_and_leaves_one_look() {
    let world = World::start().await;
    let (rack, record, task) = at_work(&world, "r1").await;
    let look = rack.fire(&task).await.unwrap();
    deliver(&rack, &look).await;
    deliver(&rack, &look.clone().again()).await;
    assert!(next_reads(&rack, &task).await);
    // A broker that came back from a crash may count from one again.
    deliver(&rack, &look).await;
    assert!(next_reads(&rack, &task).await);
    rack.report(&task, "complete", phases([("provision", 0)]))
        .await;
    rack.follow(&task).await;
    deliver(&rack, &look.again()).await;
    assert_eq!(rack.waiting_look(&task).await, None);
    rack.ended(record.cycle).await;
}

/// Of two looks at one job, the second outlives it: it ends by itself, whatever is left of the job.
#[tokio::test]
async fn a_look_that_outlives_its_job_ends() {
    let world = World::start().await;
    let (rack, record, task) = at_work(&world, "r1").await;
    let look = rack.fire(&task).await.unwrap();
    rack.report(&task, "complete", phases([("provision", 0)]))
        .await;
    deliver(&rack, &look).await;
    rack.ended(record.cycle).await;
    deliver(&rack, &look).await;
    assert_eq!(rack.waiting_look(&task).await, None);
    rack.change(&task.machine, |record| record.forget(|_, _| true))
        .await;
    deliver(&rack, &look).await;
    assert_eq!(rack.waiting_look(&task).await, None);
    rack.ended(record.cycle).await;
}

async fn submit_and_end(rack: &Rack, task: &Submit, ledger: &Ledger) -> Letter<Watch> {
    let letter = Letter::submit(task);
    let submitter = rack.submitter_on(ledger.clone());
    submitter
        .handle(letter.task, &letter.delivery)
        .await
        .unwrap();
    rack.report(task, "complete", phases([("provision", 0)]))
        .await;
    rack.fire(task).await.unwrap()
}

/// The worker that submitted the job remembers its record, and settles it on that.
#[tokio::test]
async fn a_remembered_record_is_settled_on_and_reported_once() {
    let world = World::start().await;
    let rack = Arc::new(world.rack_by_hand("r1", 1).await);
    let record = rack.cycle().await;
    let task = submits(&record)[0].clone();
    let ledger = rack.ledger();
    let look = submit_and_end(&rack, &task, &ledger).await;
    let watcher = rack.watcher_on(ledger);
    for _ in 0..2 {
        watcher
            .handle(look.task.clone(), &look.delivery)
            .await
            .unwrap();
    }
    assert_eq!(rack.machine(&task.machine).await.verdicts.len(), 1);
    rack.ended(record.cycle).await;
}

/// Somebody asked to cancel it since: the compare-and-set notices, and the verdict says so.
#[tokio::test]
async fn a_remembered_record_that_changed_is_read_again() {
    let world = World::start().await;
    let rack = Arc::new(world.rack_by_hand("r1", 1).await);
    let record = rack.cycle().await;
    let task = submits(&record)[0].clone();
    let ledger = rack.ledger();
    let look = submit_and_end(&rack, &task, &ledger).await;
    cancel(&rack, &record, &task).await;
    let watcher = rack.watcher_on(ledger);
    watcher
        .handle(look.task.clone(), &look.delivery)
        .await
        .unwrap();
    let settled = &rack.machine(&task.machine).await.settled[&task.job];
    assert_eq!(settled.outcome, Outcome::Cancelled);
    assert_eq!(settled.cancel.as_ref().unwrap().by, "ada");
    // The look that the cancel armed finds the end.
    rack.follow(&task).await;
    rack.ended(record.cycle).await;
}
