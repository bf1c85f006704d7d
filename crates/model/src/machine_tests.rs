use std::time::Duration;

use super::*;
use crate::name::MachineName;
use crate::outcome::{Skip, SkipReason};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn rack() -> RackName {
    RackName::new("r1").unwrap()
}

fn job(n: i64) -> (CycleId, JobId) {
    let cycle = CycleId::of_slot(&rack(), at(n));
    (cycle, JobId::of(cycle, &MachineName::new("m1").unwrap()))
}

fn claim(n: i64, attempt: u128) -> Submitting {
    let (cycle, job) = job(n);
    Submitting {
        job,
        cycle,
        rack: rack(),
        by: "w1".into(),
        attempt: Uuid::from_u128(attempt),
        until: at(300),
        deploy_by: at(1800),
        renewed: false,
        cancel: None,
    }
}

fn settled(n: i64, outcome: Outcome) -> Settled {
    Settled {
        cycle: job(n).0,
        rack: rack(),
        outcome,
        at: at(10),
        deploy_by: at(1800),
        submitted_at: None,
        statuses: BTreeMap::new(),
        device: None,
        evidence: None,
        doubled: None,
        cancel: None,
    }
}

fn claimed() -> MachineRecord {
    let mut record = MachineRecord::default();
    record.take(claim(1, 1), at(0)).unwrap();
    record
}

fn cancel() -> CancelRequest {
    CancelRequest {
        cause: CancelCause::Asked,
        by: "ann".into(),
        why: String::new(),
        at: at(5),
    }
}

#[test]
fn nobody_takes_over_the_claim_of_another_job_however_old() {
    let mut record = claimed();
    assert!(record.take(claim(2, 2), at(1000)).is_err());
    assert!(
        record
            .renew(job(2).1, "w2", Uuid::from_u128(2), at(1300), at(1000))
            .is_err()
    );
    assert_eq!(record, claimed());
}

#[test]
fn a_settled_job_is_never_taken_again() {
    let mut record = claimed();
    record
        .conclude(job(1).1, settled(1, Outcome::Passed))
        .unwrap();
    assert_eq!(record.claim, Claim::Idle);
    assert!(record.take(claim(1, 2), at(20)).is_err());
    assert!(record.take(claim(2, 2), at(20)).is_ok());
}

#[test]
fn nothing_is_claimed_after_deploy_by() {
    assert!(
        MachineRecord::default()
            .take(claim(1, 1), at(1800))
            .is_err()
    );
}

#[test]
fn a_claim_is_renewed_only_after_the_settle_time_and_keeps_the_cancel() {
    let mut record = claimed();
    record.ask_to_cancel(job(1).1, cancel()).unwrap();
    assert!(
        record
            .renew(job(1).1, "w2", Uuid::from_u128(2), at(600), at(300))
            .is_err()
    );
    record
        .renew(job(1).1, "w2", Uuid::from_u128(2), at(600), at(301))
        .unwrap();
    assert_eq!(record.claim.cancel(), Some(&cancel()));
}

#[test]
fn only_the_owning_attempt_gives_up() {
    let refused = Outcome::Rejected {
        status: 422,
        message: String::new(),
    };
    let mut record = claimed();
    assert!(
        record
            .give_up(job(1).1, Uuid::from_u128(2), settled(1, refused.clone()))
            .is_err()
    );
    record
        .give_up(job(1).1, Uuid::from_u128(1), settled(1, refused))
        .unwrap();
    assert_eq!(record.claim, Claim::Idle);
    assert!(record.verdicts.is_empty(), "a refusal is no verdict");
}

#[test]
fn running_keeps_the_cancel_and_a_running_job_cannot_be_given_up() {
    let mut record = claimed();
    record.ask_to_cancel(job(1).1, cancel()).unwrap();
    record.run(job(1).1, at(1), at(14_400)).unwrap();
    assert_eq!(record.claim.cancel(), Some(&cancel()));
    assert!(
        record
            .give_up(job(1).1, Uuid::from_u128(1), settled(1, Outcome::Cancelled))
            .is_err()
    );
    assert!(record.run(job(1).1, at(1), at(14_400)).is_err());
}

#[test]
fn a_skip_leaves_the_other_jobs_claim_alone_and_is_written_once() {
    let mut record = claimed();
    let skip = Outcome::Skipped(Skip::of(SkipReason::InFlight, job(1).1.to_string()));
    record
        .leave_out(job(2).1, settled(2, skip.clone()))
        .unwrap();
    assert_eq!(record.claim.job(), Some(job(1).1));
    assert!(
        record
            .leave_out(job(2).1, settled(2, Outcome::Cancelled))
            .is_err()
    );
    assert_eq!(record.settled[&job(2).1].outcome, skip);
    assert!(
        record.leave_out(job(1).1, settled(1, skip)).is_err(),
        "it holds the claim"
    );
}

#[test]
fn the_first_cancel_request_stays() {
    let mut record = claimed();
    record.ask_to_cancel(job(1).1, cancel()).unwrap();
    record
        .ask_to_cancel(
            job(1).1,
            CancelRequest {
                by: "bob".into(),
                ..cancel()
            },
        )
        .unwrap();
    assert_eq!(record.claim.cancel(), Some(&cancel()));
    assert!(record.ask_to_cancel(job(2).1, cancel()).is_err());
}

#[test]
fn verdicts_are_kept_up_to_a_bound() {
    let mut record = MachineRecord::default();
    for n in 0..100 {
        record.take(claim(n, 1), at(0)).unwrap();
        record
            .conclude(job(n).1, settled(n, Outcome::Passed))
            .unwrap();
    }
    assert_eq!(record.verdicts.len(), 30);
    assert_eq!(record.verdicts[29].job, job(99).1);
    record.forget(|_, settled| {
        at(1801).duration_since(settled.deploy_by) > Duration::ZERO.try_into().unwrap()
    });
    assert!(record.settled.is_empty());
}

#[test]
fn a_renewed_claim_stays_doubtful_when_it_runs() {
    let mut record = claimed();
    assert!(!record.claim.may_be_doubled());
    record
        .renew(job(1).1, "w2", Uuid::from_u128(2), at(600), at(301))
        .unwrap();
    assert!(record.claim.may_be_doubled());
    record.run(job(1).1, at(302), at(14_400)).unwrap();
    assert!(record.claim.may_be_doubled());
}

#[test]
fn what_was_seen_of_a_doubled_job_first_stays() {
    let (job, first) = (
        job(1).1,
        Doubled {
            at: at(400),
            entries: 2,
        },
    );
    let later = Doubled {
        at: at(500),
        entries: 3,
    };
    let mut record = claimed();
    assert!(record.note_doubled(job, first).is_err(), "it may be absent");
    record.run(job, at(1), at(14_400)).unwrap();
    assert!(
        record
            .keep_verdict(job, settled(1, Outcome::Passed))
            .is_err()
    );
    record.note_doubled(job, first).unwrap();
    record.note_doubled(job, later).unwrap();
    record
        .keep_verdict(job, settled(1, Outcome::Passed))
        .unwrap();
    record
        .keep_verdict(job, settled(1, Outcome::Cancelled))
        .unwrap();
    let Claim::Running(claim) = &record.claim else {
        panic!("{record:?}")
    };
    let kept = claim.verdict.as_deref().unwrap();
    assert_eq!(
        (claim.doubled, &kept.outcome),
        (Some(first), &Outcome::Passed)
    );
    record.conclude(job, settled(1, Outcome::Passed)).unwrap();
    record.note_doubled(job, first).unwrap();
    record.note_doubled(job, later).unwrap();
    assert_eq!(record.settled[&job].doubled, Some(first));
}
