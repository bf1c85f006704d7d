#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use model::cycle::CycleRecord;
use model::machine::{CancelCause, CancelRequest};
use model::outcome::{Phase, Skip, SkipReason};
use serde_json::json;

use super::*;
use crate::sample::{self, before, cycle, failed, has_all, line, machine, now, planned};

const NAME: &str = "m01";

fn of() -> CycleRecord {
    cycle("r1", 60, planned(60, &[NAME], &[]))
}

fn shown(facts: Vec<(i64, Fact)>) -> String {
    let of = of();
    let (history, _folder) = sample::history_of(&of, facts);
    let job = sample::job(&of, NAME).job;
    let view = history.read(|reading| reading.job(job)).unwrap();
    text(&view.unwrap(), None, now())
}

fn submitted() -> (i64, Fact) {
    let fact = Fact::JobSubmitted {
        job: sample::job(&of(), NAME),
        deadline: before(5),
        image: Default::default(),
    };
    (50, fact)
}

fn progressed(minutes: i64, state: &str) -> (i64, Fact) {
    let fact = Fact::JobProgressed {
        job: sample::job(&of(), NAME),
        state: state.into(),
    };
    (minutes, fact)
}

fn overdue() -> Fact {
    Fact::JobOverdue {
        job: sample::job(&of(), NAME),
        deadline: before(5),
    }
}

#[test]
fn a_job_at_work_is_said_with_its_looks_and_its_deadline() {
    let looks = vec![
        submitted(),
        progressed(40, "setup"),
        progressed(30, "provision"),
    ];
    let at_work = shown(looks.clone());
    for (name, wanted) in [
        ("machine", "machine m01"),
        ("rack", "rack r1"),
        ("state", "state ▶ provision"),
        ("submitted", "submitted 2026-11-28T11:10:00Z (50m ago)"),
        ("overdue", "overdue 2026-11-28T11:55:00Z (5m ago)"),
        (
            "2026-11-28T11:20:00Z",
            "2026-11-28T11:20:00Z (40m ago) setup",
        ),
    ] {
        assert_eq!(line(&at_work, name), wanted, "{at_work}");
    }
    let late = shown([looks, vec![(4, overdue())]].concat());
    assert_eq!(line(&late, "state"), "state ▶ provision, overdue");
    assert_eq!(
        line(&shown(vec![submitted()]), "state"),
        "state ▶ submitted"
    );
}

#[test]
fn a_job_that_is_over_is_said_with_who_cancelled_it_and_the_device() {
    let finished = Fact::JobFinished {
        job: sample::job(&of(), NAME),
        verdict: failed(),
        statuses: BTreeMap::from([(Phase::Setup, 0), (Phase::Provision, 7)]),
        submitted_at: Some(before(50)),
        cancel: Some(CancelRequest {
            cause: CancelCause::Asked,
            by: "ann".into(),
            why: "wrong image".into(),
            at: before(25),
        }),
        device: Some(json!({"agent_name": "host7", "nothing": null, "slots": 3})),
        evidence: None,
    };
    let doubled = Fact::JobDoubled {
        job: sample::job(&of(), NAME),
        entries: 2,
    };
    let over = shown(vec![
        submitted(),
        progressed(40, "provision"),
        (30, doubled),
        (22, overdue()),
        (20, finished),
    ]);
    for (name, wanted) in [
        (
            "state",
            "state ✖ failed in provision, exit status 7, seen 2 times in Testflinger",
        ),
        ("over", "over 2026-11-28T11:40:00Z (20m ago)"),
        (
            "cancelled by",
            "cancelled by ann at 2026-11-28T11:35:00Z: wrong image",
        ),
        ("agent name", "agent name host7"),
        ("slots", "slots 3"),
        ("setup", "setup 0 -"),
        ("provision", "provision 7 20m"),
    ] {
        assert_eq!(line(&over, name), wanted, "{over}");
    }
    assert!(
        !over.contains("nothing") && !over.contains("overdue"),
        "{over}"
    );
}

#[test]
fn why_no_event_tells_of_a_job_is_said() {
    let unheard = |outcome| {
        unheard(&Candidate {
            job: sample::job(&of(), NAME).job,
            machine: machine(NAME),
            since: before(60),
            outcome,
        })
    };
    has_all(&unheard(None), &["not submitted yet"]);
    let skip = Skip::new(SkipReason::TooLate);
    has_all(
        &unheard(Some(Outcome::Skipped(skip))),
        &["never submitted, the machine was left alone: too_late: "],
    );
    has_all(
        &unheard(Some(failed())),
        &[
            "keeps no events of it any more",
            "failed in provision, exit status 7",
        ],
    );
}
