//! Records as a worker leaves them.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use model::cycle::{CycleRecord, Fate, Origin, Planned};
use model::id::{CycleId, JobId};
use model::machine::{Claim, MachineRecord, Running, Settled, Submitting};
use model::outcome::{Outcome, Skip, SkipReason};
use model::task::Pace;
use serde_json::json;
use uuid::Uuid;

use crate::stage::{machine, rack};

/// A cycle of rack `r1` that was planned at some time, with a job for each machine, due at once.
pub(crate) fn cycle(planned_at: Timestamp, machines: &[&str]) -> CycleRecord {
    let rack = rack("r1");
    CycleRecord {
        v: CycleRecord::VERSION,
        cycle: CycleId::of_slot(&rack, planned_at),
        rack,
        origin: Origin::Slot { slot: planned_at },
        ticked_at: planned_at,
        fate: Fate::Planned(Planned {
            at: planned_at,
            deploy_by: planned_at + Duration::from_secs(1800),
            spread: Duration::ZERO,
            deploy: machines
                .iter()
                .map(|name| (machine(name), planned_at))
                .collect(),
            skip: BTreeMap::from([(machine("spare"), Skip::new(SkipReason::Excluded))]),
            pace: Pace {
                first_look: Duration::from_secs(300),
                look_every: Duration::from_secs(300),
                deadline: Duration::from_secs(14400),
            },
            job: json!({}),
        }),
        outcomes: BTreeMap::new(),
        settled_at: None,
        closed: false,
    }
}

pub(crate) fn planned(record: &CycleRecord) -> &Planned {
    match &record.fate {
        Fate::Planned(planned) => planned,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn planned_mut(record: &mut CycleRecord) -> &mut Planned {
    match &mut record.fate {
        Fate::Planned(planned) => planned,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn job(record: &CycleRecord, name: &str) -> JobId {
    JobId::of(record.cycle, &machine(name))
}

/// The machine's job of the cycle is in Testflinger.
pub(crate) fn running(record: &CycleRecord, name: &str) -> MachineRecord {
    MachineRecord {
        claim: Claim::Running(Running {
            job: job(record, name),
            cycle: record.cycle,
            rack: record.rack.clone(),
            submitted_at: record.ticked_at,
            deadline: record.ticked_at + Duration::from_secs(14400),
            deploy_by: planned(record).deploy_by,
            renewed: false,
            doubled: None,
            verdict: None,
            cancel: None,
        }),
        ..MachineRecord::default()
    }
}

/// An attempt of the machine's job is on its way.
pub(crate) fn submitting(record: &CycleRecord, name: &str) -> MachineRecord {
    MachineRecord {
        claim: Claim::Submitting(Submitting {
            job: job(record, name),
            cycle: record.cycle,
            rack: record.rack.clone(),
            by: "w1".into(),
            attempt: Uuid::nil(),
            until: record.ticked_at,
            deploy_by: planned(record).deploy_by,
            renewed: false,
            cancel: None,
        }),
        ..MachineRecord::default()
    }
}

/// The machine's job of the cycle passed.
pub(crate) fn settled(record: &CycleRecord, name: &str) -> MachineRecord {
    let fate = Settled {
        cycle: record.cycle,
        rack: record.rack.clone(),
        outcome: Outcome::Passed,
        at: Timestamp::now(),
        deploy_by: planned(record).deploy_by,
        submitted_at: None,
        statuses: BTreeMap::new(),
        device: None,
        evidence: None,
        doubled: None,
        cancel: None,
    };
    MachineRecord {
        settled: BTreeMap::from([(job(record, name), fate)]),
        ..MachineRecord::default()
    }
}

/// Every machine of the cycle passed, and nobody told its end.
pub(crate) fn complete(mut record: CycleRecord) -> CycleRecord {
    let names: Vec<_> = planned(&record).deploy.keys().cloned().collect();
    for name in names {
        record.account(&name, &Outcome::Passed, record.ticked_at);
    }
    assert!(record.is_complete());
    record
}
