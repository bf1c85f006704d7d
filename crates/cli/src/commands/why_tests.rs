#![allow(clippy::unwrap_used, reason = "a test may panic")]

use model::event::Event;
use model::outcome::Outcome;

use super::*;
use crate::sample::{self, before, cycle, event, has_all, job, line, machine, now, planned};

const NAME: &str = "m01";

fn skipped(of: &CycleRecord, minutes: i64, skip: &Skip) -> Event {
    let machine = machine(NAME);
    let skip = skip.clone();
    event(of, minutes, Fact::MachineSkipped { machine, skip })
}

#[test]
fn a_submit_that_is_to_come_is_a_decision_of_its_own() {
    let mut open = cycle("r1", 20, planned(19, &[NAME, "m02"], &[]));
    let waiting = waits(open.clone(), &machine(NAME)).unwrap();
    assert_eq!(waiting.due_at, Some(before(-11)));
    assert_eq!(waiting.decision.at, before(19));
    assert!(waits(open.clone(), &machine("m03")).is_none());
    open.account(&machine(NAME), &Outcome::Passed, now());
    assert!(waits(open.clone(), &machine(NAME)).is_none());
    assert!(waits(open, &machine("m02")).is_some());
}

#[test]
fn decisions_come_the_newest_first_and_none_twice() {
    let slots: Vec<CycleRecord> = [300, 200, 100]
        .map(|minutes| cycle("r1", minutes, planned(minutes, &[NAME], &[])))
        .into();
    let silent = Skip {
        heard_at: Some(before(290)),
        ..Skip::of(SkipReason::AgentSilent, "silent")
    };
    let submitted = Fact::JobSubmitted {
        job: job(&slots[1], NAME),
        deadline: before(-10),
        image: Default::default(),
    };
    let (history, _folder) = sample::history(&[
        skipped(&slots[0], 250, &silent),
        event(&slots[1], 190, submitted),
    ]);
    let view = || {
        let view = history.read(|reading| reading.machine(&machine(NAME)));
        view.unwrap()
    };
    // No event tells of the last; of the one before one does, and its record is open as well.
    let waiting = || {
        let open = slots[1..].iter().cloned();
        open.filter_map(|cycle| waits(cycle, &machine(NAME)))
            .collect()
    };
    let heard = BTreeMap::from([(slots[0].cycle, silent.clone())]);
    let of = |last| Why::of(&machine(NAME), view(), waiting(), &heard, last).unwrap();
    let why = of(5);
    let cycles: Vec<CycleId> = why.decisions.iter().map(|one| one.decision.cycle).collect();
    assert_eq!(cycles, [slots[2].cycle, slots[1].cycle, slots[0].cycle]);
    assert_eq!(of(2).decisions.len(), 2);
    assert_eq!(why.decisions[0].due_at, Some(before(70)));
    assert_eq!(why.decisions[1].due_at, None);
    assert!(why.decisions[1].decision.job.is_some());
    let rule = why.decisions[2].rule.as_ref().unwrap();
    assert_eq!(
        (rule.age_seconds, rule.heard_at),
        (Some(40 * 60), silent.heard_at)
    );

    let shown = text(&why, now());
    assert_eq!(
        line(&shown, "submit due"),
        "submit due 2026-11-28T10:50:00Z (1h 10m ago)"
    );
    assert_eq!(line(&shown, "saw"), "saw silent");
    has_all(
        &shown,
        &[
            "became    ▶ submitted",
            &format!("of rack {}", slots[0].rack),
            "the agent's word of 2026-11-28T07:10:00Z (40m old then)",
            "? unknown: Nothing was proved yet.",
        ],
    );
    assert!(Why::of(&machine(NAME), None, Vec::new(), &heard, 5).is_none());
    let alone = Why::of(&machine(NAME), None, waiting(), &heard, 5).unwrap();
    assert!(alone.health.is_none() && alone.decisions.len() == 2);
}
