//! A small lab: one cycle that is over, and one that is under way.

use std::collections::BTreeMap;
use std::time::Duration;

use dashboard::history::{History, Writer};
use jiff::Timestamp;
use model::cycle::Origin;
use model::event::{Event, Fact, Job};
use model::id::{CycleId, JobId};
use model::image::Image;
use model::name::{MachineName, RackName};
use model::outcome::{Counts, FailCause, Outcome, Phase, Skip, SkipReason};
use tempfile::TempDir;

use crate::support::write;
pub(crate) struct Lab {
    _folder: TempDir,
    pub(crate) history: History,
    _writer: Writer,
}

pub(crate) fn at(text: &str) -> Timestamp {
    format!("2026-11-21T{text}Z").parse().unwrap()
}

pub(crate) fn rack() -> RackName {
    RackName::new("r7").unwrap()
}

pub(crate) fn node(number: usize) -> MachineName {
    MachineName::new(format!("node{number}")).unwrap()
}

pub(crate) fn cycle(slot: &str) -> CycleId {
    CycleId::of_slot(&rack(), at(slot))
}

pub(crate) fn job(slot: &str, number: usize) -> Job {
    let machine = node(number);
    Job {
        job: JobId::of(cycle(slot), &machine),
        machine,
    }
}

pub(crate) fn failed() -> Outcome {
    Outcome::Failed {
        cause: FailCause::Phase,
        phase: Some(Phase::Provision),
        exit_code: Some(1),
    }
}

/// The cycles of 06:00, finished, and of 12:00, under way.
pub(crate) fn events() -> Vec<Event> {
    let mut events = Vec::new();
    let mut tell = |slot: &str, time: &str, fact| {
        events.push(Event {
            time: at(time),
            rack: rack(),
            cycle: cycle(slot),
            fact,
        });
    };
    for (slot, hour) in [("06:00:00", "06"), ("12:00:00", "12")] {
        let time = |minutes: &str| format!("{hour}:{minutes}");
        let origin = Origin::Slot { slot: at(slot) };
        tell(slot, &time("00:01"), Fact::CycleStarted { origin });
        let planned = Fact::CyclePlanned {
            deploy: 3,
            skip: BTreeMap::from([(SkipReason::NoAgent, 1)]),
            deploy_by: at(&time("59:00")),
            spread: Duration::from_secs(600),
        };
        tell(slot, &time("00:02"), planned);
        let (machine, skip) = (node(3), Skip::of(SkipReason::NoAgent, "node3"));
        tell(slot, &time("00:02"), Fact::MachineSkipped { machine, skip });
        for (number, minute) in [(1, "01:00"), (2, "02:00")] {
            let submitted = Fact::JobSubmitted {
                job: job(slot, number),
                deadline: at("23:00:00"),
                image: Image {
                    distro: Some("noble".into()),
                    kernel: None,
                },
            };
            tell(slot, &time(minute), submitted);
        }
        for (state, minute) in [("waiting", "06:00"), ("provision", "11:00")] {
            let (job, state) = (job(slot, 1), state.to_owned());
            tell(slot, &time(minute), Fact::JobProgressed { job, state });
        }
    }
    let finished = |job, verdict| Fact::JobFinished {
        job,
        verdict,
        statuses: BTreeMap::from([(Phase::Setup, 0), (Phase::Provision, 0)]),
        submitted_at: Some(at("06:01:00")),
        cancel: None,
        device: None,
        evidence: None,
    };
    let (first, second) = ("06:00:00", "12:00:00");
    tell(first, "06:41:00", finished(job(first, 1), Outcome::Passed));
    tell(first, "06:42:00", finished(job(first, 2), failed()));
    let rejected = Fact::JobRejected {
        job: job(first, 4),
        status: 422,
        message: "no".into(),
    };
    tell(first, "06:10:00", rejected);
    let outcomes = BTreeMap::from([
        ("passed", 1),
        ("failed", 1),
        ("rejected", 1),
        ("skipped", 1),
    ]);
    let counts = Counts {
        outcomes: outcomes
            .into_iter()
            .map(|(word, count)| (word.to_owned(), count))
            .collect(),
        reasons: BTreeMap::from([(SkipReason::NoAgent, 1)]),
    };
    let duration = Duration::from_secs(42 * 60);
    tell(
        first,
        "06:42:00.5",
        Fact::CycleFinished { counts, duration },
    );
    tell(second, "12:40:00", finished(job(second, 2), failed()));
    events
}

pub(crate) fn lab() -> Lab {
    let folder = tempfile::tempdir().unwrap();
    let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
    write(&mut writer, &events(), 100);
    Lab {
        _folder: folder,
        history,
        _writer: writer,
    }
}
