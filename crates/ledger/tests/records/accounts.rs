//! Outcomes into the cycle.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use jiff::{SignedDuration, Timestamp};
use ledger::Ledger;
use model::event::{Event, Fact};
use model::name::MachineName;
use model::outcome::Outcome;
use tokio::task::JoinSet;

use crate::desk::Desk;

async fn account(ledger: &Ledger, desk: &Desk, machine: &MachineName, outcome: &Outcome) {
    let (rack, cycle) = (&desk.record.rack, desk.record.cycle);
    let at = Timestamp::now();
    ledger
        .account(rack, cycle, machine, outcome, at)
        .await
        .unwrap();
}

/// Drops a future when it suspends for the n-th time.
async fn killed_at<F: Future>(n: usize, future: F) -> Option<F::Output> {
    let mut left = n;
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            left = left.saturating_sub(1);
            if left == 0 {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        }
    })
    .await
}

#[tokio::test]
async fn outcomes_from_many_workers_at_once_are_all_there_and_the_cycle_ends_once() {
    const MACHINES: usize = 120;
    let desk = Desk::open(MACHINES, 30).await;
    let ledgers: Vec<Ledger> = (0..5).map(|_| desk.ledger()).collect();
    let start = Timestamp::now();
    let mut tasks = JoinSet::new();
    for (n, machine) in desk.machines().into_iter().enumerate() {
        // Each is reported by two workers, because its message was delivered twice.
        for ledger in [&ledgers[n % 5], &ledgers[(n + 2) % 5]] {
            let (ledger, machine) = (ledger.clone(), machine.clone());
            let outcome = if n % 3 == 0 {
                Outcome::Cancelled
            } else {
                Outcome::Passed
            };
            let settled = desk.settled(outcome, start + SignedDuration::from_millis(n as i64));
            let job = desk.job(&machine);
            tasks.spawn(async move { ledger.report(&machine, job, &settled).await });
        }
    }
    for reported in tasks.join_all().await {
        reported.unwrap();
    }
    let record = desk.now().await;
    assert!(record.closed);
    assert_eq!(record.open().count(), 0);
    assert_eq!(
        record.settled_at,
        Some(start + SignedDuration::from_millis(MACHINES as i64 - 1))
    );

    let finished = desk.events("finished").await;
    let ends: Vec<_> = finished
        .iter()
        .filter(|stored| stored.subject == "event.cycle.r1.finished")
        .collect();
    assert_eq!(ends.len(), 1);
    assert_eq!(
        finished.last().unwrap().sequence,
        ends[0].sequence,
        "told before the last job"
    );
    let Fact::CycleFinished { counts, .. } = Event::from_json(&ends[0].body).unwrap().fact else {
        panic!()
    };
    assert_eq!(
        (counts.outcomes["cancelled"], counts.outcomes["passed"]),
        (40, 80)
    );
}

#[tokio::test]
async fn an_outcome_that_is_set_stays() {
    let desk = Desk::open(2, 30).await;
    let machines = desk.machines();
    account(&desk.ledger(), &desk, &machines[0], &Outcome::Passed).await;
    let first = desk.now().await;
    account(&desk.ledger(), &desk, &machines[0], &Outcome::Cancelled).await;
    // A machine that the cycle never meant to deploy.
    let stranger = MachineName::new("m999").unwrap();
    account(&desk.ledger(), &desk, &stranger, &Outcome::Passed).await;
    assert_eq!(desk.now().await, first);
    account(&desk.ledger(), &desk, &machines[1], &Outcome::Passed).await;
    let closed = desk.now().await;
    assert!(closed.closed);
    account(&desk.ledger(), &desk, &machines[1], &Outcome::Cancelled).await;
    assert_eq!(desk.now().await, closed);
}

#[tokio::test]
async fn closing_again_tells_nothing_new() {
    let desk = Desk::open(1, 30).await;
    let (rack, cycle) = (&desk.record.rack, desk.record.cycle);
    desk.ledger().close(rack, cycle).await.unwrap();
    assert!(!desk.now().await.closed, "a machine is open");
    account(&desk.ledger(), &desk, &desk.machines()[0], &Outcome::Passed).await;
    let closed = desk.now().await;
    let told = desk.events("finished").await;
    for ledger in [desk.ledger(), desk.ledger()] {
        ledger.close(rack, cycle).await.unwrap();
    }
    assert_eq!(desk.now().await, closed);
    assert_eq!(desk.events("finished").await, told);
}

/// The worker died between the last outcome and the end of the cycle.
#[tokio::test]
async fn a_complete_cycle_that_was_not_closed_is_closed_by_whoever_comes_next() {
    for by_close in [true, false] {
        let desk = Desk::open(1, 30).await;
        let machine = &desk.machines()[0];
        let mut complete = desk.record.clone();
        complete.account(machine, &Outcome::Passed, Timestamp::now());
        let key = model::subject::key::cycle(&complete.rack, complete.cycle);
        let entry = desk.ledger().cycles().get(&key).await.unwrap().unwrap();
        desk.ledger()
            .cycles()
            .update(&key, &complete, entry.revision)
            .await
            .unwrap();
        if by_close {
            desk.ledger()
                .close(&complete.rack, complete.cycle)
                .await
                .unwrap();
        } else {
            account(&desk.ledger(), &desk, machine, &Outcome::Passed).await;
        }
        assert!(desk.now().await.closed);
        assert_eq!(desk.events("finished").await.len(), 1);
    }
}

/// Handlers of one process share its ledger. Whoever writes for many can be dropped at any await; whoever was told that
/// its outcome is written must be right, and a redelivery must find out that it is not.
#[tokio::test]
async fn an_outcome_is_never_taken_for_written_because_another_handler_died() {
    const DEATHS: usize = 7;
    const AT_ONCE: usize = 4;
    let desk = Desk::open(DEATHS * DEATHS * AT_ONCE + 1, 30).await;
    let machines = desk.machines();
    let ledger = desk.ledger();
    let account = async |machine| account(&ledger, &desk, machine, &Outcome::Passed).await;
    for (round, machines) in machines[1..].chunks(AT_ONCE).enumerate() {
        // The first holds the others up, and dies; the second has what all of them brought, and dies.
        let first = killed_at(round / DEATHS + 1, account(&machines[0]));
        let second = killed_at(round % DEATHS + 1, account(&machines[1]));
        let others = async { tokio::join!(account(&machines[2]), account(&machines[3])) };
        tokio::join!(first, second, others);
        let written = desk.now().await.outcomes;
        for machine in &machines[2..] {
            assert!(
                written.contains_key(machine),
                "{machine} is lost, round {round}"
            );
        }
        // Delivered again to the same process.
        for machine in &machines[..2] {
            account(machine).await;
            assert!(
                desk.now().await.outcomes.contains_key(machine),
                "round {round}"
            );
        }
    }
    account(&machines[0]).await;
    assert!(desk.now().await.closed);
}

#[tokio::test]
async fn an_outcome_of_a_cycle_without_a_record_harms_nobody() {
    let desk = Desk::open(1, 30).await;
    let machine = &desk.machines()[0];
    let mut settled = desk.settled(Outcome::Passed, Timestamp::now());
    settled.rack = model::name::RackName::new("r2").unwrap();
    desk.ledger()
        .report(machine, desk.job(machine), &settled)
        .await
        .unwrap();
    assert_eq!(desk.now().await, desk.record);
    assert_eq!(desk.events("finished").await.len(), 1);
}
