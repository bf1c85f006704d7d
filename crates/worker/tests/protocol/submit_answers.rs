//! Every way in which a POST can be answered, and every other call of a submit failed once.

use std::sync::Arc;
use std::time::Duration;

use lab::{Fault, FaultKind};
use model::machine::Claim;
use model::outcome::Outcome;
use model::task::Submit;
use tokio::join;
use tokio::task::JoinSet;

use crate::world::{Letter, Rack, TIMING, World, ago, submits};
use testkit::LateLine;

const POST: &str = "POST /v1/job";

fn status(status: u16) -> Fault {
    Fault {
        status: Some(status),
        ..Fault::new(POST, FaultKind::Status)
    }
}

/// Submits the one machine of a fresh rack under a fault, follows its job to the end, and checks that it passed.
async fn passes_under(rack: &Arc<Rack>, fault: Fault, change: impl FnOnce(Submit) -> Submit) {
    let record = rack.cycle().await;
    let task = change(submits(&record)[0].clone());
    rack.lab.inject(fault.clone());
    let deliveries = rack.deliver_submit(&Letter::submit(&task)).await.unwrap();
    assert!(deliveries > 1, "{fault:?} went unnoticed");
    rack.follow(&task).await;
    let record = rack.ended(record.cycle).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Passed, "{fault:?}");
    assert_eq!(rack.lab.stats().faults.values().sum::<u64>(), 1);
}

#[tokio::test]
async fn a_refusal_for_good_is_an_outcome() {
    let world = World::start().await;
    for code in [400, 422] {
        let rack = world.rack(&format!("r{code}"), 1).await;
        let record = rack.cycle().await;
        let task = &submits(&record)[0];
        rack.lab.inject(status(code));
        let letter = Letter::submit(task);
        assert_eq!(rack.deliver_submit(&letter).await, Ok(1));
        // Delivered again, nothing is posted, although Testflinger would take it now.
        assert_eq!(rack.deliver_submit(&letter.again()).await, Ok(2));
        let record = rack.ended(record.cycle).await;
        assert!(
            matches!(record.outcomes[&task.machine], Outcome::Rejected { status, .. } if status == code)
        );
        assert_eq!(rack.machine(&task.machine).await.claim, Claim::Idle);
        assert_eq!(rack.events(record.cycle, "job", "rejected").await.len(), 1);
        assert_eq!(rack.posts(), 1);
    }
}

#[tokio::test]
async fn any_other_answer_is_tried_again_and_comes_to_one_job() {
    let html = |code| Fault {
        status: Some(code),
        ..Fault::new(POST, FaultKind::Html)
    };
    let slow = Fault {
        delay_ms: 2 * TIMING.post_limit.as_millis() as u64,
        ..Fault::new(POST, FaultKind::Latency)
    };
    let codes = [401, 403, 404, 429, 500, 502, 503].map(status);
    // A proxy's page proves nothing, whatever its status.
    let pages = [200, 400, 422, 502].map(html);
    let kinds = [
        FaultKind::Hang,
        FaultKind::HangAfter,
        FaultKind::ResetBefore,
        FaultKind::ResetAfter,
        FaultKind::Truncate,
        FaultKind::Malformed,
        FaultKind::EmptyList,
        FaultKind::Null,
        FaultKind::Endless,
    ];
    let kinds = kinds.map(|kind| Fault::new(POST, kind));
    let world = World::start().await;
    let mut cases = JoinSet::new();
    for (n, fault) in codes
        .into_iter()
        .chain(pages)
        .chain(kinds)
        .chain([slow])
        .enumerate()
    {
        let rack = world.rack(&format!("r{n}"), 1).await;
        cases.spawn(async move { passes_under(&rack, fault, |task| task).await });
    }
    cases.join_all().await;
}

#[tokio::test]
async fn a_post_that_never_arrived_is_posted_once_more() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    passes_under(&rack, Fault::new(POST, FaultKind::ResetBefore), |task| task).await;
    assert_eq!(rack.posts(), 2);
}

#[tokio::test]
async fn a_post_whose_answer_was_lost_is_not_posted_again() {
    let kinds = [
        FaultKind::ResetAfter,
        FaultKind::HangAfter,
        FaultKind::Truncate,
        FaultKind::Malformed,
    ];
    let world = World::start().await;
    let mut cases = JoinSet::new();
    for kind in kinds {
        let rack = world.rack(&format!("{kind:?}"), 1).await;
        cases.spawn(async move {
            passes_under(&rack, Fault::new(POST, kind), |task| task).await;
            assert_eq!(rack.posts(), 1, "{kind:?}");
        });
    }
    cases.join_all().await;
}

#[tokio::test]
async fn a_post_that_arrives_late_is_not_posted_again() {
    let world = World::start().await;
    let mut rack = world.rack_as("r1", 1, |_| {}).await;
    // After we hung up, before the settle time is over.
    let late = LateLine::to(rack.lab.address(), 1, 2 * TIMING.post_limit).await;
    rack.reach_testflinger_by(&late);
    let record = rack.cycle().await;
    let task = &submits(&record)[0];
    let deliveries = rack.deliver_submit(&Letter::submit(task)).await.unwrap();
    assert_eq!((deliveries, late.held()), (2, 1));
    rack.follow(task).await;
    let record = rack.ended(record.cycle).await;
    assert_eq!(record.outcomes[&task.machine], Outcome::Passed);
    assert_eq!(rack.posts(), 1);
}

/// The first attempt hangs longer than its claim lasts, is refused in the end, and must not speak for the second.
#[tokio::test]
async fn a_refusal_under_a_renewed_claim_settles_nothing() {
    let settle_ms = TIMING.settle.as_millis() as u64;
    let world = World::start().await;
    let mut cases = JoinSet::new();
    // When the refusal comes, the second attempt has posted, or is posting.
    for (name, second_post) in [("posted", 0), ("posting", settle_ms)] {
        let mut rack = world.rack_as(name, 1, |_| {}).await;
        rack.limit_testflinger(10 * TIMING.settle);
        rack.lab.inject(Fault {
            delay_ms: settle_ms * 3 / 2,
            ..status(400)
        });
        rack.lab.inject(Fault {
            delay_ms: second_post,
            ..Fault::new(POST, FaultKind::Latency)
        });
        cases.spawn(async move {
            let record = rack.cycle().await;
            let task = &submits(&record)[0];
            let letter = Letter::submit(task);
            let again = letter.clone().again();
            let (first, second) = join!(rack.deliver_submit(&letter), rack.deliver_submit(&again));
            first.and(second).unwrap();
            rack.follow(task).await;
            let record = rack.ended(record.cycle).await;
            assert_eq!(record.outcomes[&task.machine], Outcome::Passed, "{name}");
            assert_eq!(rack.posts(), 2, "{name}");
        });
    }
    cases.join_all().await;
}

/// What a doubtful task asks before it claims, and what it asks before it posts.
#[tokio::test]
async fn every_other_call_of_a_submit_failed_once_is_made_again() {
    let kinds = [
        FaultKind::Status,
        FaultKind::Hang,
        FaultKind::ResetBefore,
        FaultKind::ResetAfter,
        FaultKind::EmptyList,
        FaultKind::Null,
        FaultKind::Html,
        FaultKind::Endless,
    ];
    let faults = |target: &'static str| kinds.map(|kind| Fault::new(target, kind));
    let agent = "GET /v1/agents/data/{}";
    // The answer about the job is a 204, which has no body to spoil.
    let bodies = [FaultKind::Truncate, FaultKind::Malformed].map(|kind| Fault::new(agent, kind));
    let world = World::start().await;
    let mut cases = JoinSet::new();
    for (n, fault) in faults(agent)
        .into_iter()
        .chain(bodies)
        .chain(faults("GET /v1/job/{}"))
        .enumerate()
    {
        let rack = world.rack(&format!("r{n}"), 1).await;
        cases.spawn(async move {
            passes_under(&rack, fault, |task| Submit {
                decided_at: ago(61),
                ..task
            })
            .await;
            assert_eq!(rack.posts(), 1);
        });
    }
    cases.join_all().await;
}

/// A server that asks for patience gets it.
#[tokio::test]
async fn retry_after_is_obeyed() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    rack.lab.inject(Fault {
        retry_after: Some(33),
        ..status(429)
    });
    let result = rack
        .submit_once(&Letter::submit(&submits(&record)[0]))
        .await;
    let Err(bus::runtime::TaskError::Retry { after, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(after, Duration::from_secs(33));
}
