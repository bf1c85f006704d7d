//! Each invariant is broken once, in facts that are otherwise good, and has to be seen.

mod lost;
mod twice;

use std::time::Duration;

use jiff::Timestamp;
use model::cycle::Origin;
use model::machine::MachineRecord;
use model::outcome::{Skip, SkipReason};
use model::task::Pace;
use serde_json::json;

use super::*;
use crate::facts::{Job, Owed, Told};

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn rack() -> RackName {
    RackName::new("r1").unwrap()
}

fn machine(name: &str) -> MachineName {
    MachineName::new(name).unwrap()
}

fn cycle_id() -> CycleId {
    CycleId::of_slot(&rack(), time(0))
}

/// The job of the one machine that is deployed.
fn job() -> JobId {
    JobId::of(cycle_id(), &machine("deployed"))
}

fn told(fact: Fact) -> Told {
    let event = Event {
        time: time(9),
        rack: rack(),
        cycle: cycle_id(),
        fact,
    };
    Told {
        subject: event.subject().to_string(),
        id: event.id(),
        event: Some(event),
    }
}

fn finished(verdict: Outcome) -> Told {
    told(Fact::JobFinished {
        job: model::event::Job {
            machine: machine("deployed"),
            job: job(),
        },
        verdict,
        statuses: BTreeMap::new(),
        submitted_at: None,
        cancel: None,
        device: None,
        evidence: None,
    })
}

fn skipped(name: &str, reason: SkipReason) -> Told {
    told(Fact::MachineSkipped {
        machine: machine(name),
        skip: Skip::new(reason),
    })
}

/// One cycle of a rack with two machines: one passed, the other has no agent.
fn good() -> Facts {
    let pace = Pace {
        first_look: Duration::from_secs(1),
        look_every: Duration::from_secs(1),
        deadline: Duration::from_secs(10),
    };
    let planned = Planned {
        at: time(1),
        deploy_by: time(100),
        spread: Duration::ZERO,
        deploy: [(machine("deployed"), time(1))].into(),
        skip: [(machine("skipped"), Skip::new(SkipReason::NoAgent))].into(),
        pace,
        job: json!({}),
    };
    let record = CycleRecord {
        v: CycleRecord::VERSION,
        rack: rack(),
        cycle: cycle_id(),
        origin: Origin::Manual {
            by: None,
            reason: None,
        },
        ticked_at: time(0),
        fate: Fate::Planned(planned),
        outcomes: [(machine("deployed"), Outcome::Passed)].into(),
        settled_at: Some(time(8)),
        closed: true,
    };
    let counts = record.counts();
    Facts {
        settle: Duration::from_secs(5),
        post_limit: Duration::from_secs(1),
        racks: [(rack(), [machine("deployed"), machine("skipped")].into())].into(),
        owed: vec![Owed {
            rack: rack(),
            cycle: Some(cycle_id()),
        }],
        cycles: vec![record],
        machines: [(machine("deployed"), MachineRecord::default())].into(),
        events: vec![
            skipped("skipped", SkipReason::NoAgent),
            finished(Outcome::Passed),
            told(Fact::CycleFinished {
                counts,
                duration: Duration::from_secs(8),
            }),
        ],
        posted: [(cycle_id(), [(machine("deployed"), 1)].into())].into(),
        jobs: vec![Job {
            id: job().to_string(),
            created_at: time(2),
        }],
        read_at: time(200),
        ..Facts::default()
    }
}

/// What is wrong with good facts after this was done to them, by name and number.
#[track_caller]
fn wrong(doctor: impl FnOnce(&mut Facts)) -> Vec<(&'static str, usize)> {
    let mut facts = good();
    doctor(&mut facts);
    let findings = invariants(&facts);
    let found = findings.must_be_zero.iter();
    for name in findings.must_be_zero.keys() {
        assert!(MUST_BE_ZERO.contains(name), "{name} is not in the report");
    }
    for name in findings.counted_apart.keys() {
        assert!(COUNTED_APART.contains(name), "{name} is not in the report");
    }
    found.map(|(name, lines)| (*name, lines.len())).collect()
}

fn apart(doctor: impl FnOnce(&mut Facts)) -> Vec<(&'static str, usize)> {
    let mut facts = good();
    doctor(&mut facts);
    let findings = invariants(&facts);
    assert!(findings.is_ok(), "{:?}", findings.must_be_zero);
    let found = findings.counted_apart.iter();
    found.map(|(name, lines)| (*name, lines.len())).collect()
}

#[test]
fn good_facts_are_good() {
    assert_eq!(wrong(|_| {}), []);
    assert_eq!(apart(|_| {}), []);
}
