#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use model::cycle::CycleRecord;
use model::event::{Event, Fact};
use model::image::Image;
use model::outcome::{Outcome, Phase, Skip, SkipReason};

use super::*;
use crate::sample::{self, cycle, event, failed, has_all, job, line, planned};

const NAME: &str = "m01";

fn submitted(of: &CycleRecord, minutes: i64, distro: &str) -> Event {
    let fact = Fact::JobSubmitted {
        job: job(of, NAME),
        deadline: crate::sample::before(minutes - 240),
        image: Image {
            distro: Some(distro.into()),
            kernel: None,
        },
    };
    event(of, minutes, fact)
}

fn finished(of: &CycleRecord, minutes: i64, verdict: Outcome) -> Event {
    let is_passed = verdict == Outcome::Passed;
    let fact = Fact::JobFinished {
        job: job(of, NAME),
        statuses: BTreeMap::from([(Phase::Provision, if is_passed { 0 } else { 7 })]),
        verdict,
        submitted_at: None,
        cancel: None,
        device: None,
        evidence: None,
    };
    event(of, minutes, fact)
}

#[test]
fn a_machine_is_said_with_its_failure_and_what_was_different_before() {
    let cycles = [500, 400, 300, 200, 100]
        .map(|minutes| cycle("r1", minutes, planned(minutes, &[NAME], &[])));
    let [first, second, third, fourth, fifth] = &cycles;
    let silent = Skip::of(SkipReason::AgentSilent, "silent");
    let skipped = Fact::MachineSkipped {
        machine: job(fourth, NAME).machine,
        skip: silent,
    };
    let (history, _folder) = sample::history(&[
        submitted(first, 490, "jammy"),
        finished(first, 460, Outcome::Passed),
        submitted(second, 390, "noble"),
        finished(second, 360, failed()),
        submitted(third, 290, "noble"),
        finished(third, 260, failed()),
        event(fourth, 199, skipped),
        submitted(fifth, 90, "noble"),
    ]);
    let view = history.read(|reading| reading.machine(&job(first, NAME).machine));
    let shown = text(&view.unwrap().unwrap(), None);
    for (name, wanted) in [
        ("machine", "machine m01".to_owned()),
        ("racks", "racks r1".into()),
        (
            "health",
            "health ✖ failing: It failed at least twice in a row.".into(),
        ),
        ("since", "since 2026-11-28T06:00:00Z, 2 in a row".into()),
        ("deployed last", "deployed last 2026-11-28T04:20:00Z".into()),
        ("last decision", "last decision deploy".into()),
        (
            "job now",
            format!("job now {} (submitted)", job(fifth, NAME).job),
        ),
        (
            "last failure",
            format!(
                "last failure: job {} failed in provision, exit status 7, 2026-11-28T07:40:00Z",
                job(third, NAME).job
            ),
        ),
        ("distro", "distro noble jammy differs".into()),
    ] {
        assert_eq!(line(&shown, name), wanted, "{shown}");
    }
    // The newest first.
    let decisions: Vec<&str> = shown
        .lines()
        .skip_while(|line| !line.starts_with("DECIDED AT"))
        .skip(1)
        .collect();
    assert_eq!(decisions.len(), 5, "{shown}");
    assert!(decisions[0].ends_with("deploy  submitted") || decisions[0].contains("submitted"));
    has_all(
        decisions[1],
        &["r1", "left alone: agent_silent: ", " (silent).", "-"],
    );
    has_all(
        decisions[2],
        &["deploy", "failed in provision, exit status 7"],
    );
    has_all(decisions[4], &["deploy", "passed"]);
    let table = "PHASE      EXIT STATUS  TOOK ABOUT";
    has_all(&shown, &[table]);
    assert!(
        line(&shown, "provision").starts_with("provision 7"),
        "{shown}"
    );
}

#[test]
fn a_machine_that_never_deployed_is_said_so() {
    let only = cycle("r1", 100, planned(100, &[NAME], &[]));
    let later = cycle("r1", 50, planned(50, &[], &[]));
    let skipped = Fact::MachineSkipped {
        machine: job(&only, NAME).machine,
        skip: Skip::new(SkipReason::InFlight),
    };
    let (history, _folder) =
        sample::history(&[submitted(&only, 90, "noble"), event(&later, 49, skipped)]);
    let view = history.read(|reading| reading.machine(&job(&only, NAME).machine));
    let shown = text(&view.unwrap().unwrap(), None);
    assert_eq!(
        line(&shown, "deployed last"),
        "deployed last never, as far back as events reach"
    );
    assert!(line(&shown, "last decision").starts_with("last decision left alone: in_flight: "));
    assert!(
        !shown.contains("since") && !shown.contains("last failure"),
        "{shown}"
    );
}
