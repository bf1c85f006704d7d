#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use model::cycle::{CycleRecord, MissedCause, Origin};
use model::event::Fact;
use model::outcome::{Counts, Outcome, Skip, SkipReason};

use super::*;
use crate::sample::{self, before, has_all, job, line, machine, now, planned};

fn of() -> CycleRecord {
    sample::cycle("r1", 60, planned(60, &["m01", "m02"], &[]))
}

fn shown(facts: Vec<(i64, Fact)>) -> String {
    let of = of();
    let (history, _folder) = sample::history_of(&of, facts);
    let view = history.read(|reading| reading.cycle(of.cycle)).unwrap();
    text(&view.unwrap(), now())
}

fn started() -> (i64, Fact) {
    let origin = Origin::Manual {
        by: Some("ann".into()),
        reason: Some("new firmware".into()),
    };
    (60, Fact::CycleStarted { origin })
}

fn decided(deploy: usize) -> (i64, Fact) {
    let fact = Fact::CyclePlanned {
        deploy,
        skip: BTreeMap::from([(SkipReason::NoAgent, 1)]),
        deploy_by: before(-30),
        spread: Duration::from_secs(3600),
    };
    (59, fact)
}

fn left_alone() -> (i64, Fact) {
    let fact = Fact::MachineSkipped {
        machine: machine("m03"),
        skip: Skip::new(SkipReason::NoAgent),
    };
    (58, fact)
}

fn submitted(name: &str) -> (i64, Fact) {
    let fact = Fact::JobSubmitted {
        job: job(&of(), name),
        deadline: before(-200),
        image: Default::default(),
    };
    (50, fact)
}

fn passed(name: &str) -> (i64, Fact) {
    let fact = Fact::JobFinished {
        job: job(&of(), name),
        verdict: Outcome::Passed,
        statuses: BTreeMap::new(),
        submitted_at: None,
        cancel: None,
        device: None,
        evidence: None,
    };
    (40, fact)
}

#[test]
fn a_cycle_under_way_is_said_with_what_it_waits_for() {
    let shown = shown(vec![
        started(),
        decided(3),
        left_alone(),
        submitted("m01"),
        submitted("m02"),
        passed("m01"),
    ]);
    for (name, wanted) in [
        ("rack", "rack r1"),
        ("begun", "begun 2026-11-28T11:00:00Z (1h ago)"),
        ("started by", "started by ann: new firmware"),
        ("state", "state running, 1 of 3 jobs are over"),
        ("waits for", "waits for 1 submit and 1 job to end"),
        ("decided", "decided 2026-11-28T11:01:00Z (59m ago)"),
        (
            "submits until",
            "submits until 2026-11-28T12:30:00Z (in 30m)",
        ),
        ("machines", "machines passed 1, skipped 1"),
        (
            "left alone",
            "left alone 1 no_agent: Testflinger has no agent of this name.",
        ),
        ("m01", "m01 deploy ● passed"),
        ("m02", "m02 deploy ▶ submitted"),
        (
            "m03",
            "m03 – left alone: no_agent: Testflinger has no agent of this name.",
        ),
    ] {
        assert_eq!(line(&shown, name), wanted, "{shown}");
    }
    has_all(
        &shown,
        &["1 machine to deploy not listed yet: no job of theirs is submitted"],
    );
}

#[test]
fn attempts_that_failed_stand_among_what_happened() {
    let retrying = |minutes, attempt| {
        let fact = Fact::CycleRetrying {
            attempt,
            cause: "unavailable".into(),
            message: "MAAS answered 503".into(),
            next_at: before(minutes - 5),
        };
        (minutes, fact)
    };
    let facts = vec![started(), retrying(59, 1), retrying(50, 2)];
    let planning = shown(facts.clone());
    assert_eq!(line(&planning, "state"), "state planning");
    assert_eq!(
        line(&planning, "waits for"),
        "waits for the next attempt at 11:15:00 UTC (unavailable: MAAS answered 503)"
    );
    let gave_up = Fact::CycleFailed {
        attempts: 2,
        cause: "unavailable".into(),
        message: "MAAS answered 503".into(),
    };
    let failed = shown([facts, vec![(45, gave_up)]].concat());
    assert_eq!(
        line(&failed, "state"),
        "state failed after 2 attempts: unavailable: MAAS answered 503"
    );
    assert!(!failed.contains("waits for"), "{failed}");
    let happened: Vec<&str> = failed
        .lines()
        .skip_while(|line| !line.starts_with("AT "))
        .skip(1)
        .collect();
    let wanted = [
        "cycle.started",
        "attempt 1 failed  unavailable: MAAS answered 503",
        "attempt 2 failed  unavailable: MAAS answered 503",
        "cycle.failed",
    ];
    assert_eq!(happened.len(), wanted.len(), "{failed}");
    for (line, wanted) in happened.iter().zip(wanted) {
        has_all(line, &[wanted]);
    }
}

#[test]
fn how_a_cycle_ended_is_said() {
    let finished = Fact::CycleFinished {
        counts: Counts::of(&[Outcome::Passed]),
        duration: Duration::from_secs(1200),
    };
    let ended = shown(vec![
        started(),
        decided(1),
        submitted("m01"),
        passed("m01"),
        (40, finished),
    ]);
    assert_eq!(line(&ended, "state"), "state finished in 20m");
    let missed = Fact::TickMissed {
        origin: of().origin,
        cause: MissedCause::Late,
    };
    let missed = shown(vec![(60, missed)]);
    assert_eq!(
        line(&missed, "state"),
        "state missed: it was taken up too late"
    );
    assert_eq!(line(&missed, "started by"), "started by schedule");
}
