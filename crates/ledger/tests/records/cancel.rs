//! A cancel by what the machine's record says.

use std::time::Duration;

use jiff::Timestamp;
use ledger::{Cancelled, submit_task};
use model::cycle::{CycleRecord, Fate, MissedCause};
use model::machine::{CancelCause, CancelRequest, Claim, Running, Submitting};
use model::name::MachineName;
use model::outcome::{Outcome, Skip, SkipReason};
use model::subject::{Subject, filter, stream};
use testkit::until;
use uuid::Uuid;

use crate::desk::Desk;

fn request(by: &str) -> CancelRequest {
    CancelRequest {
        cause: CancelCause::Asked,
        by: by.into(),
        why: "wrong image".into(),
        at: Timestamp::now(),
    }
}

fn dropped(by: &str) -> Outcome {
    Outcome::Skipped(Skip::of(SkipReason::Cancelled, by))
}

impl Desk {
    async fn cancel(&self, machine: &MachineName, by: &str) -> Cancelled {
        self.ledger()
            .cancel(&self.record, machine, &request(by))
            .await
            .unwrap()
    }

    fn submitting(&self, machine: &MachineName) -> Submitting {
        Submitting {
            job: self.job(machine),
            cycle: self.record.cycle,
            rack: self.record.rack.clone(),
            by: "w1".into(),
            attempt: Uuid::from_u128(7),
            until: Timestamp::now(),
            deploy_by: Timestamp::now(),
            renewed: false,
            cancel: None,
        }
    }

    fn running(&self, machine: &MachineName) -> Running {
        let Submitting {
            job,
            cycle,
            rack,
            deploy_by,
            ..
        } = self.submitting(machine);
        let now = Timestamp::now();
        Running {
            job,
            cycle,
            rack,
            submitted_at: now,
            deadline: now,
            deploy_by,
            renewed: false,
            doubled: None,
            verdict: None,
            cancel: None,
        }
    }
}

#[tokio::test]
async fn a_job_without_a_claim_is_dropped_and_told() {
    let desk = Desk::open(2, 30).await;
    let machines = desk.machines();
    let (machine, taken) = (&machines[0], &machines[1]);
    let other = Claim::Submitting(Submitting {
        job: desk.job(machine),
        ..desk.submitting(taken)
    });
    desk.change(taken, |record| record.claim = other.clone())
        .await;
    for machine in [machine, taken] {
        assert_eq!(desk.cancel(machine, "ada").await, Cancelled::Dropped);
        let settled = desk.machine(machine).await.settled;
        assert_eq!(settled[&desk.job(machine)].outcome, dropped("ada"));
    }
    assert_eq!(desk.machine(taken).await.claim, other);
    assert!(desk.now().await.closed);
    assert_eq!(desk.events("skipped").await.len(), 2);
    assert_eq!(desk.events("finished").await.len(), 1);
}

#[tokio::test]
async fn a_claimed_job_is_marked_and_the_first_request_stays() {
    let desk = Desk::open(2, 30).await;
    let machines = desk.machines();
    let claims = [
        Claim::Submitting(desk.submitting(&machines[0])),
        Claim::Running(desk.running(&machines[1])),
    ];
    for (machine, claim) in machines.iter().zip(claims) {
        desk.change(machine, |record| record.claim = claim.clone())
            .await;
        assert_eq!(desk.cancel(machine, "ada").await, Cancelled::Asked);
        assert_eq!(desk.cancel(machine, "grace").await, Cancelled::Asked);
        let claim = desk.machine(machine).await.claim;
        assert_eq!(claim.job(), Some(desk.job(machine)));
        assert_eq!(claim.cancel().unwrap().by, "ada");
    }
    assert_eq!(desk.now().await, desk.record);
}

#[tokio::test]
async fn a_running_job_is_looked_at_now_instead_of_later() {
    let desk = Desk::open(2, 30).await;
    let machines = desk.machines();
    let Fate::Planned(planned) = &desk.record.fate else {
        panic!()
    };
    let look = submit_task(&desk.record, planned, &machines[0]).first_look();
    desk.change(&machines[0], |record| {
        record.claim = Claim::Running(desk.running(&machines[0]))
    })
    .await;
    desk.change(&machines[1], |record| {
        record.claim = Claim::Submitting(desk.submitting(&machines[1]))
    })
    .await;
    let later = Timestamp::now() + jiff::SignedDuration::from_hours(1);
    desk.ledger().arm_look(&look, later).await.unwrap();
    for machine in &machines {
        desk.cancel(machine, "ada").await;
    }
    let due = Subject::Watch {
        rack: look.rack.clone(),
        machine: look.machine.clone(),
    }
    .to_string();
    until(Duration::from_secs(10), "a look is due", async || {
        let waiting = desk
            .bus
            .subjects(stream::TASK, filter::WAITING_LOOKS)
            .await
            .unwrap();
        let ready = desk
            .bus
            .subjects(stream::TASK, filter::WATCHES)
            .await
            .unwrap();
        waiting.is_empty() && ready.keys().eq([&due])
    })
    .await;
}

#[tokio::test]
async fn what_is_over_stays_what_it_was() {
    let desk = Desk::open(2, 30).await;
    let machines = desk.machines();
    let settled = desk.settled(Outcome::Passed, Timestamp::now());
    let job = desk.job(&machines[0]);
    desk.change(&machines[0], |record| {
        record.settled.insert(job, settled.clone());
    })
    .await;
    assert_eq!(
        desk.cancel(&machines[0], "ada").await,
        Cancelled::AlreadyOver
    );

    // Forgotten by the machine, and known to the cycle.
    let mut known = desk.record.clone();
    known.account(&machines[1], &Outcome::Passed, Timestamp::now());
    let cancelled = desk
        .ledger()
        .cancel(&known, &machines[1], &request("ada"))
        .await
        .unwrap();
    assert_eq!(cancelled, Cancelled::AlreadyOver);
    assert!(desk.machine(&machines[1]).await.settled.is_empty());

    let missed = CycleRecord {
        fate: Fate::Missed {
            cause: MissedCause::Late,
        },
        ..desk.record.clone()
    };
    let cancelled = desk
        .ledger()
        .cancel(&missed, &machines[1], &request("ada"))
        .await
        .unwrap();
    assert_eq!(cancelled, Cancelled::AlreadyOver);
    assert!(desk.events("skipped").await.is_empty());
}

/// Its fate may have been forgotten by then, and the caller's copy of the cycle may be old.
#[tokio::test]
async fn a_job_that_nobody_may_submit_any_more_is_not_settled_by_a_cancel() {
    let desk = Desk::open(2, -1).await;
    let machines = desk.machines();
    assert_eq!(
        desk.cancel(&machines[0], "ada").await,
        Cancelled::AlreadyOver
    );
    assert!(desk.machine(&machines[0]).await.settled.is_empty());
    // One that was submitted in time can be cancelled at any time.
    desk.change(&machines[1], |record| {
        record.claim = Claim::Running(desk.running(&machines[1]))
    })
    .await;
    assert_eq!(desk.cancel(&machines[1], "ada").await, Cancelled::Asked);
}

#[tokio::test]
async fn two_cancels_and_a_claim_at_once_agree() {
    let desk = Desk::open(20, 30).await;
    let machines = desk.machines();
    for machine in &machines {
        let claim = async {
            let ledger = desk.ledger();
            let mut entry = ledger.machine(machine).await.unwrap();
            let mut claim = desk.submitting(machine);
            claim.deploy_by = Timestamp::MAX;
            entry.record.take(claim, Timestamp::now()).ok()?;
            Some(ledger.write_machine(machine, &entry).await.unwrap())
        };
        let (ada, grace, claimed) = tokio::join!(
            desk.cancel(machine, "ada"),
            desk.cancel(machine, "grace"),
            claim
        );
        let record = desk.machine(machine).await;
        if record.claim == Claim::Idle {
            assert!(!matches!(claimed, Some(bus::Written::Done(_))));
            assert!(
                [ada, grace].contains(&Cancelled::Dropped)
                    && !([ada, grace].contains(&Cancelled::Asked))
            );
        } else {
            assert!(record.settled.is_empty() && record.claim.cancel().is_some());
            assert_eq!([ada, grace], [Cancelled::Asked; 2]);
        }
    }
}
