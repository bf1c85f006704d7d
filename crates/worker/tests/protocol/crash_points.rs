//! Every row of the protocol's table of crash points, and the tests that drive it. "Killed" means dropped at an await:
//! the request before it is on its way, the step after it is not begun. Killing at every await therefore covers "before
//! the effect", "after the effect" and "effect done, reply lost" of every step.
//!
//! | at | driven by |
//! | --- | --- |
//! | T3 create | `a_tick_killed_at_any_await_is_one_cycle`, `tick::a_tick_overtaken_by_its_redelivery_drops_its_own_plan`, `tick_slots::a_slot_that_is_too_old_by_now_goes_on_from_its_record` |
//! | T5 batch | `a_tick_killed_at_any_await_is_one_cycle`, `tick::copies_of_submits_after_the_window_submit_nothing_twice`, `tick::inside_the_window_a_repeated_batch_is_no_failure` |
//! | T6 finish | `a_tick_with_nothing_to_deploy_killed_at_any_await_ends_its_cycle` |
//! | S2 claim | `a_submit_killed_at_any_await_is_one_job` |
//! | S2 by another delivery | `two_deliveries_of_a_submit_at_once_are_one_job`, `two_redeliveries_that_waited_for_the_same_attempt_are_one_job` |
//! | S4 POST lost on the way | `submit_answers::a_post_that_never_arrived_is_posted_once_more` |
//! | S4 POST done, reply lost | `submit_answers::a_post_whose_answer_was_lost_is_not_posted_again` |
//! | S4 POST arrives late, within S | `submit_answers::a_post_that_arrives_late_is_not_posted_again` |
//! | S4 refused | `submit_answers::a_refusal_for_good_is_an_outcome`, `submit_answers::a_refusal_under_a_renewed_claim_settles_nothing` |
//! | S5 running, S6 wait | `a_submit_killed_at_any_await_is_one_job`, `a_submit_killed_at_any_await_is_told_although_its_job_is_over`, `submit::run_twice_it_posts_once_and_tells_the_same` |
//! | S8 ack lost, J over meanwhile | `submit::delivered_again_after_its_end_it_submits_nothing` |
//! | S8 ack lost, after M10 | `submit::delivered_again_after_its_fate_was_forgotten_it_submits_nothing` |
//! | M8 skip written, then crash; J' over meanwhile | `submit::a_skip_stays_a_skip_when_the_other_job_ends` , `a_skip_killed_at_any_await_stays_a_skip` |
//! | S4 POST arrives late, after S | `doubled` |
//! | W5 ack lost | `watch::run_twice_it_is_one_verdict`, `watch_glance::a_look_that_comes_again_reads_and_leaves_one_look` |
//! | W1 left out: claim changed meanwhile | `watch_glance` |
//! | W2 two looks at once | `two_looks_at_once_are_one_verdict` |
//! | W3b verdict; R1, R2, R3, R4 | `a_look_killed_at_any_await_is_one_verdict`, `a_look_killed_at_any_await_tells_of_evidence_that_is_kept`, `a_look_frozen_at_any_await_leaves_the_evidence_that_is_told_of` |
//! | wait fires twice; wait left over after the end | `watch::a_look_after_the_end_arms_nothing` |
//! | cancel before S2, between S2 and S4, S4 and S5, running, over | `cancel` |
//! | J' meets submitting{J}, J's worker dead | `submit::a_claim_of_another_job_is_never_taken_over` |
//! | any message to the broker, lost or its reply lost | `broker_requests` |
//! | any write whose reply is lost | `a_broker_killed_under_submits_and_looks_costs_no_job_and_doubles_none` |
//! | dead letter of submit with claim held | `submit_doubt::a_submit_that_the_sweep_brings_back_goes_on` |

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lab::{Fault, FaultKind};
use model::evidence::Keeping;
use model::outcome::{Outcome, SkipReason};
use model::subject::{filter, key, stream};
use tokio::join;
use tokio::sync::Semaphore;

use crate::world::{Letter, Rack, World, each, killed_at, phases, planned, submits};

/// More awaits than any handler has; the tests fail when it no longer is.
const AWAITS: usize = 40;
/// The same for looks that keep evidence, which read more of Testflinger, and of the broker.
const EVIDENCE_AWAITS: usize = 64;
/// Cycles until a kill strikes where it should.
const MOST_CYCLES: usize = 5;
/// The same for ticks, which have fewer and cost more.
const TICK_AWAITS: usize = 32;

#[tokio::test]
async fn a_submit_killed_at_any_await_is_one_job() {
    let world = World::start().await;
    let rack = world.rack("r1", AWAITS).await;
    let record = rack.cycle().await;
    let cases = submits(&record).into_iter().zip(1..);
    let survived = each(&rack, cases, async |rack, (task, n)| {
        let letter = Letter::submit(&task);
        let survived = killed_at(n, rack.submit_once(&letter)).await.is_some();
        rack.deliver_submit(&letter.again()).await.unwrap();
        rack.follow(&task).await;
        survived
    })
    .await;
    all_awaits(&survived);
    let record = rack.ended(record.cycle).await;
    let outcomes: Vec<&Outcome> = record.outcomes.values().collect();
    assert_eq!(outcomes, [&Outcome::Passed; AWAITS]);
}

/// It did everything but tell: the look that it armed finds the job over before the message comes again.
#[tokio::test]
async fn a_submit_killed_at_any_await_is_told_although_its_job_is_over() {
    let world = World::start().await;
    let rack = world.rack("r1", AWAITS).await;
    let mut is_over_before = false;
    // Which await is the n-th is up to the machine, so a cycle may strike none between the job and its event.
    for _ in 0..MOST_CYCLES {
        is_over_before = told_although_over(&rack).await;
        if is_over_before {
            break;
        }
    }
    assert!(is_over_before, "no job was over before it was told");
}

/// A cycle whose submits are each killed at another await. Whether any job was over before it was told.
async fn told_although_over(rack: &Arc<Rack>) -> bool {
    let record = rack.cycle().await;
    let cases = submits(&record).into_iter().zip(1..);
    let over_before = each(rack, cases, async |rack, (task, n)| {
        let letter = Letter::submit(&task);
        killed_at(n, rack.submit_once(&letter)).await;
        if rack.lab.job(&task.job.to_string()).is_some() {
            let now = Timestamp::now();
            rack.change(&task.machine, |record| {
                // It may have done this itself.
                let _ = record.run(task.job, now, now + task.pace.deadline);
            })
            .await;
            let look = task.first_look();
            rack.ledger().arm_look(&look, now).await.unwrap();
        }
        rack.follow(&task).await;
        let over = rack
            .machine(&task.machine)
            .await
            .settled
            .contains_key(&task.job);
        let told = rack.events(task.cycle, "job", "submitted").await;
        let told = told
            .iter()
            .any(|event| event.fact.machine() == Some(&task.machine));
        rack.deliver_submit(&letter.again()).await.unwrap();
        rack.follow(&task).await;
        over && !told
    })
    .await;
    rack.ended(record.cycle).await;
    over_before.contains(&true)
}

#[tokio::test]
async fn two_deliveries_of_a_submit_at_once_are_one_job() {
    let world = World::start().await;
    let rack = world.rack("r1", AWAITS).await;
    let record = rack.cycle().await;
    let cases = submits(&record).into_iter().zip(1..);
    each(&rack, cases, async |rack, (task, n)| {
        let letter = Letter::submit(&task);
        // The first holder is n awaits ahead of the second, and dies there or goes on beside it.
        let ahead = async { rack.deliver_submit(&letter).await.unwrap() };
        let again = letter.clone().again();
        let behind = async { rack.deliver_submit(&again).await.unwrap() };
        if n % 2 == 0 {
            join!(ahead, behind);
        } else {
            let (_, _) = join!(killed_at(n, ahead), behind);
        }
        rack.follow(&task).await;
    })
    .await;
    let record = rack.ended(record.cycle).await;
    let outcomes: Vec<&Outcome> = record.outcomes.values().collect();
    assert_eq!(outcomes, [&Outcome::Passed; AWAITS]);
}

/// The POST was lost. Both wait for the first attempt to settle, and both would find the job absent.
#[tokio::test]
async fn two_redeliveries_that_waited_for_the_same_attempt_are_one_job() {
    let world = World::start().await;
    let rack = world.rack("r1", AWAITS).await;
    let record = rack.cycle().await;
    rack.lab.inject(Fault {
        count: AWAITS as u64,
        ..Fault::new("POST /v1/job", FaultKind::ResetBefore)
    });
    each(&rack, submits(&record), async |rack, task| {
        let letter = Letter::submit(&task);
        rack.submit_once(&letter).await.unwrap_err();
        let (second, third) = (letter.clone().again(), letter.again().again());
        let (second, third) = join!(rack.deliver_submit(&second), rack.deliver_submit(&third));
        second.and(third).unwrap();
        rack.follow(&task).await;
    })
    .await;
    let record = rack.ended(record.cycle).await;
    let outcomes: Vec<&Outcome> = record.outcomes.values().collect();
    assert_eq!(outcomes, [&Outcome::Passed; AWAITS]);
    assert_eq!(rack.posts(), 2 * AWAITS as u64);
}

#[tokio::test]
async fn a_skip_killed_at_any_await_stays_a_skip() {
    let world = World::start().await;
    let rack = world.rack("r1", AWAITS).await;
    let (first, second) = (rack.cycle().await, {
        // Planned before the first cycle's jobs had the machines.
        rack.cycle().await
    });
    let cases = submits(&first).into_iter().zip(submits(&second)).zip(1..);
    let survived = each(&rack, cases, async |rack, ((other, task), n)| {
        rack.run(&other).await;
        let letter = Letter::submit(&task);
        let survived = killed_at(n, rack.submit_once(&letter)).await.is_some();
        let skipped = rack
            .machine(&task.machine)
            .await
            .settled
            .contains_key(&task.job);
        // The other job ends meanwhile, so the machine is idle when the message comes again.
        rack.follow(&other).await;
        rack.deliver_submit(&letter.again()).await.unwrap();
        rack.follow(&task).await;
        (survived, skipped, task.machine)
    })
    .await;
    all_awaits(
        &survived
            .iter()
            .map(|(survived, ..)| *survived)
            .collect::<Vec<_>>(),
    );
    rack.ended(first.cycle).await;
    let second = rack.ended(second.cycle).await;
    for (_, skipped, machine) in survived {
        match &second.outcomes[&machine] {
            Outcome::Skipped(skip) => assert_eq!(skip.reason, SkipReason::InFlight),
            outcome => assert!(!skipped, "{machine} was skipped, and then {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_look_killed_at_any_await_is_one_verdict() {
    let world = World::start().await;
    let rack = world.rack("r1", AWAITS).await;
    let record = rack.cycle().await;
    let cases = submits(&record).into_iter().zip(1..);
    let survived = each(&rack, cases, async |rack, (task, n)| {
        rack.run(&task).await;
        let look = rack.fire(&task).await.unwrap();
        let survived = killed_at(n, rack.watch_once(&look)).await.is_some();
        rack.deliver_watch(&look.again()).await.unwrap();
        rack.follow(&task).await;
        survived
    })
    .await;
    all_awaits(&survived);
    let record = rack.ended(record.cycle).await;
    let outcomes: Vec<&Outcome> = record.outcomes.values().collect();
    assert_eq!(outcomes, [&Outcome::Passed; AWAITS]);
}

/// Its job did not pass: whoever tells the verdict, tells of evidence that is in the bucket.
#[tokio::test]
async fn a_look_killed_at_any_await_tells_of_evidence_that_is_kept() {
    let world = World::start().await;
    let rack = world.rack("r1", EVIDENCE_AWAITS).await;
    let record = rack.cycle().await;
    let cases = submits(&record).into_iter().zip(1..);
    let survived = each(&rack, cases, async |rack, (task, n)| {
        rack.run(&task).await;
        rack.report(&task, "complete", phases([("provision", 1)]))
            .await;
        let look = rack.fire(&task).await.unwrap();
        let survived = killed_at(n, rack.watch_once(&look)).await.is_some();
        rack.deliver_watch(&look.again()).await.unwrap();
        let settled = &rack.machine(&task.machine).await.settled[&task.job];
        let Some(Keeping::Kept { digest, .. }) = &settled.evidence else {
            panic!("{:?}", settled.evidence)
        };
        let objects = rack.bus.objects("evidence");
        let name = key::evidence(task.job, digest);
        let kept = objects.get(&name, 1 << 20).await.unwrap();
        assert_eq!(&kept.expect("it is in the bucket").digest, digest);
        survived
    })
    .await;
    all_awaits(&survived);
    rack.ended(record.cycle).await;
}

/// Its job did not pass, and the agent writes more while it is frozen: what it keeps late leaves alone what the verdict
/// of whoever took its place tells of.
#[tokio::test]
async fn a_look_frozen_at_any_await_leaves_the_evidence_that_is_told_of() {
    let world = World::start().await;
    let rack = world.rack("r1", EVIDENCE_AWAITS).await;
    let record = rack.cycle().await;
    let cases = submits(&record).into_iter().zip(1..);
    each(&rack, cases, async |rack, (task, n)| {
        rack.run(&task).await;
        rack.writes(&task, "output", "provision", "first\n").await;
        rack.report(&task, "complete", phases([("provision", 1)]))
            .await;
        let look = rack.fire(&task).await.unwrap();
        let mut frozen = Box::pin(rack.watch_once(&look));
        let ended = killed_at(n, &mut frozen).await.is_some();
        rack.writes(&task, "output", "provision", "first\nsecond\n")
            .await;
        rack.deliver_watch(&look.clone().again()).await.unwrap();
        if !ended {
            let _ = frozen.await;
        }
        let settled = &rack.machine(&task.machine).await.settled[&task.job];
        let Some(Keeping::Kept { digest, .. }) = &settled.evidence else {
            panic!("{:?}", settled.evidence)
        };
        let objects = rack.bus.objects("evidence");
        let name = key::evidence(task.job, digest);
        let kept = objects.get(&name, 1 << 20).await.unwrap();
        assert_eq!(&kept.expect("it is in the bucket").digest, digest, "{n}");
    })
    .await;
    rack.ended(record.cycle).await;
}

/// Its job is at work, so the look arms the next one.
#[tokio::test]
async fn a_look_killed_at_any_await_before_the_end_leaves_a_look() {
    let world = World::start().await;
    let rack = world
        .rack_as("r1", AWAITS, |lab| lab.instant = Some(3))
        .await;
    let rack = Arc::new(rack);
    let record = rack.cycle().await;
    let cases = submits(&record).into_iter().zip(1..);
    let survived = each(&rack, cases, async |rack, (task, n)| {
        rack.run(&task).await;
        let look = rack.fire(&task).await.unwrap();
        let survived = killed_at(n, rack.watch_once(&look)).await.is_some();
        rack.deliver_watch(&look.again()).await.unwrap();
        let settled = rack
            .machine(&task.machine)
            .await
            .settled
            .contains_key(&task.job);
        assert!(
            settled || rack.waiting_look(&task).await.is_some(),
            "nothing looks at {}",
            task.machine
        );
        rack.follow(&task).await;
        survived
    })
    .await;
    all_awaits(&survived);
    rack.ended(record.cycle).await;
}

#[tokio::test]
async fn two_looks_at_once_are_one_verdict() {
    let world = World::start().await;
    let rack = world.rack("r1", AWAITS).await;
    let record = rack.cycle().await;
    let cases = submits(&record).into_iter().zip(1..);
    each(&rack, cases, async |rack, (task, n)| {
        rack.run(&task).await;
        let look = rack.fire(&task).await.unwrap();
        let ahead = async { rack.deliver_watch(&look).await.unwrap() };
        let again = look.clone().again();
        let behind = async { rack.deliver_watch(&again).await.unwrap() };
        if n % 2 == 0 {
            join!(ahead, behind);
        } else {
            let (_, _) = join!(killed_at(n, ahead), behind);
        }
        rack.follow(&task).await;
    })
    .await;
    let record = rack.ended(record.cycle).await;
    let outcomes: Vec<&Outcome> = record.outcomes.values().collect();
    assert_eq!(outcomes, [&Outcome::Passed; AWAITS]);
}

/// Whatever a handler was writing then, it does not know whether it is written.
#[tokio::test]
async fn a_broker_killed_under_submits_and_looks_costs_no_job_and_doubles_none() {
    const AT_ONCE: usize = 8;
    let mut world = World::start().await;
    let rack = world.rack("r1", AWAITS).await;
    let record = rack.cycle().await;
    // One after the other, so that each kill meets every step.
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let cases = submits(&record)
        .into_iter()
        .map(|task| (task, Arc::clone(&places)));
    let work = each(&rack, cases, async |rack, (task, places)| {
        let _place = places.acquire().await.unwrap();
        rack.run(&task).await;
        rack.follow(&task).await;
    });
    let outages = async {
        for kills in 1..=3 {
            let posted = async || rack.posts() >= kills * 10;
            testkit::until(Duration::from_secs(30), "more are posted", posted).await;
            world.broker.kill_9().await;
            world.broker.restart().await;
        }
    };
    join!(work, outages);
    let record = rack.ended(record.cycle).await;
    let outcomes: Vec<&Outcome> = record.outcomes.values().collect();
    assert_eq!(outcomes, [&Outcome::Passed; AWAITS]);
}

#[tokio::test]
async fn a_tick_killed_at_any_await_is_one_cycle() {
    const MACHINES: usize = 3;
    let world = World::start().await;
    let rack = world.rack("r1", MACHINES).await;
    let survived = each(&rack, 1..=TICK_AWAITS, async |rack, n| {
        let mut letter = Letter::tick(&rack.name);
        letter.delivery.sequence = n as u64;
        let survived = killed_at(n, rack.tick_once(&letter)).await.is_some();
        let before = rack.record(letter.cycle()).await;
        rack.deliver_tick(&letter.clone().again()).await.unwrap();
        let record = rack.record(letter.cycle()).await.unwrap();
        if let Some(before) = before {
            assert_eq!(planned(&before), planned(&record), "planned anew");
        }
        (survived, record)
    })
    .await;
    all_awaits(
        &survived
            .iter()
            .map(|(survived, _)| *survived)
            .collect::<Vec<_>>(),
    );
    let sent = rack
        .bus
        .subjects(stream::TASK, filter::SUBMITS)
        .await
        .unwrap();
    assert_eq!(sent.len(), MACHINES);
    for (_, record) in survived {
        assert_eq!(planned(&record).deploy.len(), MACHINES);
        assert_eq!(rack.events(record.cycle, "cycle", "planned").await.len(), 1);
        // Every cycle but the first finds the machines taken, or free again, by the time its submits come.
        for task in submits(&record) {
            rack.deliver_submit(&Letter::submit(&task)).await.unwrap();
            rack.follow(&task).await;
        }
        rack.ended(record.cycle).await;
    }
}

#[tokio::test]
async fn a_tick_with_nothing_to_deploy_killed_at_any_await_ends_its_cycle() {
    let world = World::start().await;
    let rack = world
        .rack_as("r1", 0, |lab| {
            (lab.racks, lab.machines, lab.odd) = (1, 2, 2)
        })
        .await;
    let rack = Arc::new(rack);
    let survived = each(&rack, 1..=TICK_AWAITS, async |rack, n| {
        let mut letter = Letter::tick(&rack.name);
        letter.delivery.sequence = n as u64;
        let survived = killed_at(n, rack.tick_once(&letter)).await.is_some();
        rack.deliver_tick(&letter.clone().again()).await.unwrap();
        let record = rack.ended(letter.cycle()).await;
        assert_eq!(planned(&record).skip.len(), 2);
        assert_eq!(
            rack.events(record.cycle, "machine", "skipped").await.len(),
            2
        );
        survived
    })
    .await;
    all_awaits(&survived);
}

/// Some died, and the last one lived to its end: no await was left out.
fn all_awaits(survived: &[bool]) {
    assert!(survived.contains(&false), "none was killed");
    assert!(
        survived.contains(&true),
        "there are more than {} awaits",
        survived.len()
    );
}
