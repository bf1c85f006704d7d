use super::*;

fn result(state: &str, statuses: &[(Phase, i64)]) -> ResultDocument {
    ResultDocument {
        state: state.into(),
        statuses: statuses.iter().copied().collect(),
    }
}

fn request(cause: CancelCause) -> CancelRequest {
    CancelRequest {
        cause,
        by: "alice".into(),
        why: String::new(),
        at: "2026-11-21T06:00:00Z".parse().unwrap(),
    }
}

fn failed(cause: FailCause, phase: Phase, exit_code: i64) -> Outcome {
    Outcome::Failed {
        cause,
        phase: Some(phase),
        exit_code: Some(exit_code),
    }
}

const NOT_PROVISIONED: Outcome = Outcome::Failed {
    cause: FailCause::NotProvisioned,
    phase: None,
    exit_code: None,
};

#[test]
fn a_job_that_provisioned_and_failed_nowhere_has_passed() {
    for state in ["complete", "completed"] {
        assert_eq!(
            verdict(&result(state, &[(Phase::Provision, 0)]), None),
            Outcome::Passed
        );
    }
    let all: Vec<(Phase, i64)> = Phase::ALL.iter().map(|phase| (*phase, 0)).collect();
    assert_eq!(verdict(&result("complete", &all), None), Outcome::Passed);
}

#[test]
fn complete_says_nothing_about_success() {
    assert_eq!(verdict(&result("complete", &[]), None), NOT_PROVISIONED);
    assert_eq!(
        verdict(
            &result("complete", &[(Phase::Setup, 0), (Phase::Test, 0)]),
            None
        ),
        NOT_PROVISIONED
    );
}

#[test]
fn the_first_phase_with_a_non_zero_status_is_the_one_that_failed() {
    let statuses = [
        (Phase::Reserve, 9),
        (Phase::Test, 3),
        (Phase::Provision, 0),
        (Phase::Setup, 0),
    ];
    assert_eq!(
        verdict(&result("complete", &statuses), None),
        failed(FailCause::Phase, Phase::Test, 3)
    );
    for phase in Phase::ALL.iter().filter(|phase| **phase != Phase::Cleanup) {
        let verdict = verdict(
            &result("complete", &[(Phase::Provision, 0), (*phase, 1)]),
            None,
        );
        assert_eq!(verdict, failed(FailCause::Phase, *phase, 1));
    }
}

#[test]
fn statuses_that_mean_something_have_a_cause_of_their_own() {
    let provision = |status| verdict(&result("complete", &[(Phase::Provision, status)]), None);
    assert_eq!(
        provision(247),
        failed(FailCause::Killed, Phase::Provision, 247)
    );
    assert_eq!(
        provision(46),
        failed(FailCause::RecoveryFailed, Phase::Provision, 46)
    );
    assert_eq!(
        provision(-9),
        failed(FailCause::Phase, Phase::Provision, -9)
    );
}

#[test]
fn the_status_of_cleanup_does_not_count() {
    let passed = result("complete", &[(Phase::Provision, 0), (Phase::Cleanup, 247)]);
    assert_eq!(verdict(&passed, None), Outcome::Passed);
    assert_eq!(
        verdict(&result("complete", &[(Phase::Cleanup, 1)]), None),
        NOT_PROVISIONED
    );
}

#[test]
fn a_cancel_that_was_asked_for_or_seen_decides_whatever_the_phases_say() {
    let documents = [
        result("complete", &[(Phase::Provision, 0)]),
        result("complete", &[(Phase::Provision, 247)]),
        result("cancelled", &[]),
        result("complete", &[]),
    ];
    for document in &documents {
        for cause in [CancelCause::Asked, CancelCause::Seen] {
            assert_eq!(verdict(document, Some(&request(cause))), Outcome::Cancelled);
        }
        let late = verdict(document, Some(&request(CancelCause::Deadline)));
        assert_eq!(
            late,
            Outcome::Lost {
                cause: LostCause::Deadline
            }
        );
    }
}

#[test]
fn a_job_that_ends_in_the_state_cancelled_was_cancelled() {
    assert_eq!(
        verdict(&result("cancelled", &[(Phase::Provision, 0)]), None),
        Outcome::Cancelled
    );
}

#[test]
fn a_job_that_is_gone_is_lost() {
    assert_eq!(
        gone(),
        Outcome::Lost {
            cause: LostCause::Gone
        }
    );
}
