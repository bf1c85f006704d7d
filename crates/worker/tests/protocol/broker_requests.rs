//! Every message that a handler publishes to the broker fails once: lost before its effect, its answer lost after it,
//! the connection cut before and after. A run without a fault counts them first, so none is left out. The message then
//! comes again, and everything must be as it must be.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use bus::runtime::Handler;
use lab::{Fault, FaultKind};
use ledger::Ledger;
use model::id::CycleId;
use model::machine::{CancelCause, CancelRequest, Claim};
use model::name::MachineName;
use model::task::{Submit, Tick, Watch};
use serde_json::Value;
use testkit::Failure;
use tokio::join;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::world::{Letter, Rack, World, ago, claim_of, last_slot, paused, phases, submits};

/// What a play has to end in.
struct End {
    cycles: Vec<CycleId>,
    doubled: u64,
}

impl From<CycleId> for End {
    fn from(cycle: CycleId) -> Self {
        Self {
            cycles: vec![cycle],
            doubled: 0,
        }
    }
}

/// How every machine of every cycle ended, without what differs from rack to rack.
async fn ends(rack: &Rack, end: End) -> Vec<Value> {
    let mut outcomes = Vec::new();
    for cycle in end.cycles {
        let record = rack.ended_doubled(cycle, end.doubled).await;
        let by_machine: BTreeMap<MachineName, _> = record.outcomes;
        for outcome in by_machine.values() {
            let mut outcome = serde_json::to_value(outcome).unwrap();
            outcome.as_object_mut().unwrap().remove("detail");
            outcomes.push(outcome);
        }
    }
    outcomes
}

/// Plays on a busy machine may be over before they come to the message: then they are played again.
const TIMES: usize = 5;
/// Cases of a play at a time. They mostly wait.
const AT_ONCE: usize = 8;

/// Plays the same for each message that is published in it over the ledger that is given, and for each way in which it
/// can fail. What the play prepares and what it does afterwards goes over a line without faults.
async fn each_message_fails<F>(
    world: &Arc<World>,
    name: &'static str,
    play: impl Fn(Arc<Rack>, Ledger) -> F + Copy + Send + 'static,
) where
    F: Future<Output = End> + Send + 'static,
{
    let (line, bus) = world.broker.connect_by_line().await;
    let rack = world.rack(&format!("{name}-0"), 1).await;
    let end = play(Arc::clone(&rack), Ledger::new(bus)).await;
    let expected = ends(&rack, end).await;
    let published = line.published();
    assert!(!published.is_empty(), "{name} publishes nothing");
    let mut cases = JoinSet::new();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    for (number, message) in published.iter().enumerate() {
        for failure in Failure::ALL {
            if !message.is_request && !failure.suits_unanswered() {
                continue;
            }
            let what = format!("{name}: {number} {} {failure:?}", message.subject);
            let (world, places) = (Arc::clone(world), Arc::clone(&places));
            let expected = expected.clone();
            let case = async move {
                let _place = places.acquire().await.unwrap();
                for time in 0..TIMES {
                    let (line, bus) = world.broker.connect_by_line().await;
                    let rack = format!("{name}-{number}-{failure:?}-{time}");
                    let rack = world.rack(&rack, 1).await;
                    line.fail(number, failure);
                    let end = play(Arc::clone(&rack), Ledger::new(bus)).await;
                    assert_eq!(ends(&rack, end).await, expected);
                    if line.struck() {
                        return;
                    }
                }
                panic!("there was no such message");
            };
            cases.spawn(async move {
                let outcome = tokio::spawn(case).await;
                outcome.err().map(|error| format!("{what}: {error}"))
            });
        }
    }
    let failed: Vec<String> = cases.join_all().await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

impl Rack {
    async fn submit_under(&self, ledger: Ledger, letter: &Letter<Submit>) {
        let handler = self.submitter_on(ledger);
        // Whatever it says, the message comes again.
        let _ = handler.handle(letter.task.clone(), &letter.delivery).await;
        self.deliver_submit(&letter.clone().again()).await.unwrap();
    }

    async fn watch_under(&self, ledger: Ledger, letter: &Letter<Watch>) {
        let handler = self.watcher_on(ledger);
        let _ = handler.handle(letter.task.clone(), &letter.delivery).await;
        self.deliver_watch(&letter.clone().again()).await.unwrap();
    }

    async fn tick_under(&self, ledger: Ledger, letter: &Letter<Tick>) {
        let handler = self.ticker_on(ledger);
        let _ = handler.handle(letter.task.clone(), &letter.delivery).await;
        self.deliver_tick(&letter.clone().again()).await.unwrap();
    }

    /// The one submit of a fresh cycle.
    async fn one(&self) -> Submit {
        submits(&self.cycle().await)[0].clone()
    }

    /// Submits and follows everything that a tick sent.
    async fn go_on(&self, cycle: CycleId) {
        let record = self.record(cycle).await.unwrap();
        for task in submits(&record) {
            self.deliver_submit(&Letter::submit(&task)).await.unwrap();
            self.follow(&task).await;
        }
    }

    /// An attempt of the task's own left its claim behind long ago.
    async fn claimed_long_ago(&self, task: &Submit, cancel: Option<CancelRequest>) {
        self.change(&task.machine, |record| {
            let mut claim = claim_of(task, ago(60));
            claim.cancel.clone_from(&cancel);
            record.claim = Claim::Submitting(claim);
        })
        .await;
    }
}

fn for_ever(target: &str, status: u16) -> Fault {
    Fault {
        status: Some(status),
        count: 0,
        ..Fault::new(target, FaultKind::Status)
    }
}

async fn submit_fresh(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.submit_under(ledger, &Letter::submit(&task)).await;
    rack.follow(&task).await;
    task.cycle.into()
}

/// The rack and the agent are read again.
async fn submit_doubtful(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.submit_under(ledger, &Letter::submit(&task).again())
        .await;
    rack.follow(&task).await;
    task.cycle.into()
}

async fn submit_lost_before(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.claimed_long_ago(&task, None).await;
    rack.submit_under(ledger, &Letter::submit(&task)).await;
    rack.follow(&task).await;
    task.cycle.into()
}

async fn submit_that_arrived_before(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.post(&task).await;
    rack.claimed_long_ago(&task, None).await;
    rack.submit_under(ledger, &Letter::submit(&task)).await;
    rack.follow(&task).await;
    task.cycle.into()
}

async fn submit_running(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.run(&task).await;
    rack.submit_under(ledger, &Letter::submit(&task).again())
        .await;
    rack.follow(&task).await;
    task.cycle.into()
}

async fn submit_settled(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.run(&task).await;
    rack.follow(&task).await;
    rack.submit_under(ledger, &Letter::submit(&task).again())
        .await;
    task.cycle.into()
}

async fn submit_cancelled(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    let cancel = CancelRequest {
        cause: CancelCause::Asked,
        by: "ada".into(),
        why: String::new(),
        at: ago(30),
    };
    rack.claimed_long_ago(&task, Some(cancel)).await;
    rack.submit_under(ledger, &Letter::submit(&task)).await;
    task.cycle.into()
}

async fn submit_never_there(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.claimed_long_ago(&task, None).await;
    let late = Submit {
        deploy_by: ago(1),
        ..task
    };
    rack.submit_under(ledger, &Letter::submit(&late)).await;
    late.cycle.into()
}

async fn submit_rejected(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.lab.inject(for_ever("POST /v1/job", 422));
    rack.submit_under(ledger, &Letter::submit(&task)).await;
    task.cycle.into()
}

async fn submit_too_late(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = Submit {
        deploy_by: ago(1),
        ..rack.one().await
    };
    rack.submit_under(ledger, &Letter::submit(&task)).await;
    task.cycle.into()
}

async fn submit_in_flight(rack: Arc<Rack>, ledger: Ledger) -> End {
    let (other, task) = (rack.one().await, rack.one().await);
    rack.run(&other).await;
    rack.submit_under(ledger, &Letter::submit(&task)).await;
    rack.follow(&other).await;
    End {
        cycles: vec![other.cycle, task.cycle],
        doubled: 0,
    }
}

async fn look_over(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.run(&task).await;
    let look = rack.fire(&task).await.unwrap();
    rack.watch_under(ledger, &look).await;
    rack.follow(&task).await;
    task.cycle.into()
}

/// Its evidence is kept before its verdict.
async fn look_not_passed(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.run(&task).await;
    rack.report(&task, "complete", phases([("provision", 1)]))
        .await;
    let look = rack.fire(&task).await.unwrap();
    rack.watch_under(ledger, &look).await;
    rack.follow(&task).await;
    task.cycle.into()
}

async fn look_settled(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.run(&task).await;
    rack.follow(&task).await;
    let look = Letter::watch(&task.first_look());
    rack.watch_under(ledger, &look).await;
    task.cycle.into()
}

async fn look_forgotten(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.run(&task).await;
    rack.follow(&task).await;
    rack.change(&task.machine, |record| record.forget(|_, _| true))
        .await;
    let look = Letter::watch(&task.first_look());
    rack.watch_under(ledger, &look).await;
    task.cycle.into()
}

/// Nothing is known of the job; the look is repeated later.
async fn look_failed(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.run(&task).await;
    let look = rack.fire(&task).await.unwrap();
    rack.lab.inject(for_ever("/v1/result", 503));
    rack.watch_under(ledger, &look).await;
    rack.lab.clear_faults();
    rack.follow(&task).await;
    task.cycle.into()
}

/// It is told, cancelled, and looked at again until its agent has let go.
async fn look_overdue(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.run(&task).await;
    rack.change(&task.machine, |record| {
        if let Claim::Running(claim) = &mut record.claim {
            claim.deadline = ago(1);
        }
    })
    .await;
    rack.lab.inject(Fault {
        count: 2,
        ..for_ever("/v1/result", 503)
    });
    let look = rack.fire(&task).await.unwrap();
    let twice_over = Watch {
        pace: model::task::Pace {
            deadline: std::time::Duration::ZERO,
            ..look.task.pace
        },
        ..look.task.clone()
    };
    rack.watch_under(ledger, &Letter::watch(&twice_over)).await;
    rack.follow(&task).await;
    assert_eq!(rack.events(task.cycle, "job", "overdue").await.len(), 1);
    task.cycle.into()
}

async fn look_gone(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.run(&task).await;
    for target in ["/v1/result", "/v1/job/"] {
        rack.lab.inject(for_ever(target, 204));
    }
    let look = rack.fire(&task).await.unwrap();
    let second = Watch {
        absent: 1,
        ..look.task
    };
    rack.watch_under(ledger, &Letter::watch(&second)).await;
    rack.follow(&task).await;
    task.cycle.into()
}

/// A job that Testflinger has twice, from the first look at it on.
async fn look_doubled(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.post(&task).await;
    rack.claimed_long_ago(&task, None).await;
    rack.deliver_submit(&Letter::submit(&task)).await.unwrap();
    rack.post(&task).await;
    let look = rack.fire(&task).await.unwrap();
    rack.watch_under(ledger, &look).await;
    rack.follow(&task).await;
    End {
        cycles: vec![task.cycle],
        doubled: 1,
    }
}

async fn look_late(rack: Arc<Rack>, ledger: Ledger) -> End {
    let task = rack.one().await;
    rack.run(&task).await;
    rack.follow(&task).await;
    rack.post(&task).await;
    let late = Watch {
        late: true,
        ..task.first_look()
    };
    rack.watch_under(ledger, &Letter::watch(&late)).await;
    rack.follow(&task).await;
    End {
        cycles: vec![task.cycle],
        doubled: 1,
    }
}

async fn tick_deploys(rack: Arc<Rack>, ledger: Ledger) -> End {
    let letter = Letter::tick(&rack.name);
    rack.tick_under(ledger, &letter).await;
    rack.go_on(letter.cycle()).await;
    letter.cycle().into()
}

async fn tick_skips_all(rack: Arc<Rack>, ledger: Ledger) -> End {
    rack.add(&paused()).await;
    let letter = Letter::tick(&rack.name);
    rack.tick_under(ledger, &letter).await;
    letter.cycle().into()
}

async fn tick_missed(rack: Arc<Rack>, ledger: Ledger) -> End {
    rack.add(&paused()).await;
    let letter = rack.slot_tick(last_slot());
    rack.tick_under(ledger, &letter).await;
    letter.cycle().into()
}

async fn tick_put_off(rack: Arc<Rack>, ledger: Ledger) -> End {
    let letter = Letter::tick(&rack.name);
    rack.lab.inject(for_ever("/MAAS", 503));
    rack.tick_under(ledger, &letter).await;
    rack.lab.clear_faults();
    let retry = rack.waiting_retry(letter.cycle()).await.unwrap();
    rack.deliver_tick(&retry).await.unwrap();
    rack.go_on(letter.cycle()).await;
    letter.cycle().into()
}

#[tokio::test]
async fn each_message_of_a_submit_fails_once() {
    let world = Arc::new(World::start().await);
    join!(
        each_message_fails(&world, "fresh", submit_fresh),
        each_message_fails(&world, "doubtful", submit_doubtful),
        each_message_fails(&world, "lost", submit_lost_before),
        each_message_fails(&world, "arrived", submit_that_arrived_before),
        each_message_fails(&world, "running", submit_running),
    );
}

#[tokio::test]
async fn each_message_of_a_submit_that_ends_without_a_job_fails_once() {
    let world = Arc::new(World::start().await);
    join!(
        each_message_fails(&world, "settled", submit_settled),
        each_message_fails(&world, "cancelled", submit_cancelled),
        each_message_fails(&world, "never", submit_never_there),
        each_message_fails(&world, "rejected", submit_rejected),
        each_message_fails(&world, "late", submit_too_late),
        each_message_fails(&world, "taken", submit_in_flight),
    );
}

#[tokio::test]
async fn each_message_of_a_look_fails_once() {
    let world = Arc::new(World::start().await);
    join!(
        each_message_fails(&world, "over", look_over),
        each_message_fails(&world, "not-passed", look_not_passed),
        each_message_fails(&world, "settled", look_settled),
        each_message_fails(&world, "forgotten", look_forgotten),
        each_message_fails(&world, "failed", look_failed),
        each_message_fails(&world, "overdue", look_overdue),
        each_message_fails(&world, "gone", look_gone),
        each_message_fails(&world, "doubled", look_doubled),
        each_message_fails(&world, "late", look_late),
    );
}

#[tokio::test]
async fn each_message_of_a_tick_fails_once() {
    let world = Arc::new(World::start().await);
    join!(
        each_message_fails(&world, "deploys", tick_deploys),
        each_message_fails(&world, "skips", tick_skips_all),
        each_message_fails(&world, "missed", tick_missed),
        each_message_fails(&world, "off", tick_put_off),
    );
}
