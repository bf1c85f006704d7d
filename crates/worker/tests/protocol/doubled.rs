//! A submit that arrives later than anything sent may: the one race that only Testflinger could close. It is told, it
//! costs no verdict, and the machine stays claimed until nothing of the job can work on it.

use std::sync::Arc;
use std::time::Duration;

use model::event::Fact;
use model::machine::{CancelCause, CancelRequest, Claim};
use model::outcome::{Outcome, SkipReason};
use model::task::Submit;
use testkit::{LateLine, until};
use tokio::join;

use crate::world::{Letter, Rack, TIMING, World, each, killed_at, skipped, submits};

const LIST: &str = "GET /v1/queues/{}/jobs";
/// So late that another attempt has asked and posted.
const LATE: Duration = Duration::from_secs(4);
/// Awaits of a look at a doubled job, and some more.
const AWAITS: usize = 40;

/// Submits the machine's job; the first submit is held up, and the second attempt's arrives before it.
async fn submit_twice(rack: &Arc<Rack>, task: &Submit) {
    let deliveries = rack.deliver_submit(&Letter::submit(task)).await.unwrap();
    assert_eq!(deliveries, 2);
}

async fn until_doubled(rack: &Arc<Rack>, times: u64) {
    until(
        Duration::from_secs(30),
        "the late submits are there",
        async || rack.lab.stats().jobs_with_same_id == times,
    )
    .await;
}

async fn entries(rack: &Rack, task: &Submit) -> Vec<usize> {
    let told = rack.events(task.cycle, "job", "doubled").await;
    told.into_iter()
        .filter_map(|event| match event.fact {
            Fact::JobDoubled { job, entries } if job.machine == task.machine => Some(entries),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_submit_held_up_for_too_long_is_told_and_cancelled_after_the_verdict() {
    let world = World::start().await;
    let mut rack = world.rack_as("r1", 1, |_| {}).await;
    let line = LateLine::to(rack.lab.address(), 1, LATE).await;
    rack.reach_testflinger_by(&line);
    let rack = Arc::new(rack);
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    submit_twice(&rack, task).await;
    until_doubled(&rack, 1).await;
    let look = rack.fire(task).await.unwrap();
    rack.deliver_watch(&look).await.unwrap();
    // The job is complete, and something of it waits: the machine is not free.
    let claim = rack.machine(&task.machine).await.claim;
    let Claim::Running(claim) = claim else {
        panic!("{claim:?}")
    };
    assert_eq!(claim.verdict.unwrap().outcome, Outcome::Passed);
    assert_eq!(rack.requests("POST /v1/job/{}/action"), 1);
    // The cycle after this one leaves the machine alone.
    let next = rack.cycle().await;
    assert!(submits(&next).is_empty());
    rack.follow(task).await;
    assert_eq!(entries(&rack, task).await, [2]);
    let record = rack.ended_doubled(record.cycle, 1).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Passed);
    let states = rack.lab.stats().jobs_by_state;
    assert_eq!((states["complete"], states["cancelled"]), (1, 1));
}

#[tokio::test]
async fn a_look_at_a_doubled_job_killed_at_any_await_tells_it_once_and_settles_once() {
    let world = World::start().await;
    let mut rack = world.rack_as("r1", AWAITS, |_| {}).await;
    let line = LateLine::to(rack.lab.address(), AWAITS, LATE).await;
    rack.reach_testflinger_by(&line);
    let rack = Arc::new(rack);
    let record = rack.cycle().await;
    each(&rack, submits(&record), async |rack, task| {
        submit_twice(&rack, &task).await;
    })
    .await;
    until_doubled(&rack, AWAITS as u64).await;
    let cases = submits(&record).into_iter().zip(1..);
    let survived = each(&rack, cases, async |rack, (task, n)| {
        let look = rack.fire(&task).await.unwrap();
        let survived = killed_at(n, rack.watch_once(&look)).await.is_some();
        rack.deliver_watch(&look.again()).await.unwrap();
        rack.follow(&task).await;
        assert_eq!(entries(&rack, &task).await, [2]);
        survived
    })
    .await;
    assert!(survived.contains(&false) && survived.contains(&true));
    let record = rack.ended_doubled(record.cycle, AWAITS as u64).await;
    let outcomes: Vec<&Outcome> = record.outcomes.values().collect();
    assert_eq!(outcomes, [&Outcome::Passed; AWAITS]);
    assert_eq!(rack.lab.stats().jobs_by_state.get("waiting"), None);
}

/// Whoever sent it waits for the answer all the time, and gets it when the job is over.
#[tokio::test]
async fn a_submit_that_arrives_after_the_verdict_is_told_and_cancelled() {
    let world = World::start().await;
    let mut rack = world.rack_as("r1", 1, |_| {}).await;
    let line = LateLine::to(rack.lab.address(), 1, LATE).await;
    rack.reach_testflinger_within(&line, 2 * LATE);
    let rack = Arc::new(rack);
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    let letter = Letter::submit(task);
    let again = letter.clone().again();
    let overtaking = async {
        until(LATE, "the first attempt has its claim", async || {
            line.held() == 1
        })
        .await;
        rack.deliver_submit(&again).await.unwrap();
        rack.follow(task).await;
        assert_eq!(rack.lab.stats().jobs_with_same_id, 0);
        rack.ended(record.cycle).await;
    };
    let (first, ()) = join!(rack.deliver_submit(&letter), overtaking);
    assert_eq!(first, Ok(1));
    assert_eq!(rack.lab.stats().jobs_with_same_id, 1);
    rack.follow(task).await;
    assert_eq!(entries(&rack, task).await, [2]);
    assert_eq!(rack.lab.stats().jobs_by_state["cancelled"], 1);
    rack.ended_doubled(record.cycle, 1).await;
}

#[tokio::test]
async fn a_submit_that_arrives_after_it_was_given_up_is_told_and_cancelled() {
    let world = World::start().await;
    let mut rack = world.rack_as("r1", 1, |_| {}).await;
    let line = LateLine::to(rack.lab.address(), 1, LATE).await;
    rack.reach_testflinger_within(&line, 2 * LATE);
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    let letter = Letter::submit(task);
    let again = letter.clone().again();
    let giving_up = async {
        until(LATE, "the first attempt has its claim", async || {
            line.held() == 1
        })
        .await;
        let request = CancelRequest {
            cause: CancelCause::Asked,
            by: "ann".into(),
            why: String::new(),
            at: jiff::Timestamp::now(),
        };
        let ledger = rack.ledger();
        ledger
            .cancel(&record, &task.machine, &request)
            .await
            .unwrap();
        rack.deliver_submit(&again).await.unwrap();
        let settled = &rack.machine(&task.machine).await.settled[&task.job];
        assert_eq!(skipped(&settled.outcome).reason, SkipReason::Cancelled);
        assert_eq!(rack.lab.stats().jobs_submitted, 0);
    };
    let (first, ()) = join!(rack.deliver_submit(&letter), giving_up);
    assert_eq!(first, Ok(1));
    rack.follow(task).await;
    assert_eq!(entries(&rack, task).await, [1]);
    assert_eq!(rack.lab.stats().jobs_by_state["cancelled"], 1);
    rack.ended_doubled(record.cycle, 1).await;
}

#[tokio::test]
async fn nobody_looks_for_a_second_one_unless_a_claim_was_renewed() {
    let world = World::start().await;
    for (name, times) in [("once", 0), ("renewed", 1)] {
        let mut rack = world.rack_as(name, 1, |_| {}).await;
        // Within the settle time: it is found, and not posted again.
        let line = LateLine::to(rack.lab.address(), times, 2 * TIMING.post_limit).await;
        rack.reach_testflinger_by(&line);
        let record = rack.cycle().await;
        let task = &submits(&record)[0];
        rack.deliver_submit(&Letter::submit(task)).await.unwrap();
        rack.follow(task).await;
        rack.ended(record.cycle).await;
        assert_eq!(rack.requests(LIST), times as u64, "{name}");
    }
}
