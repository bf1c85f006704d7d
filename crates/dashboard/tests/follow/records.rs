//! The fleet as the buckets hold it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bus::{Bus, Written};
use dashboard::records::Records;
use jiff::Timestamp;
use ledger::Ledger;
use model::cycle::{CycleRecord, Fate, MissedCause, Origin, Planned};
use model::id::{CycleId, JobId};
use model::machine::{Claim, MachineRecord, Running};
use model::name::{MachineName, RackName};
use model::outcome::Outcome;
use model::subject::key;
use model::task::Pace;
use serde_json::{Value, json};
use testkit::Broker;

fn rack() -> RackName {
    RackName::new("r1").unwrap()
}

fn machine(name: &str) -> MachineName {
    MachineName::new(name).unwrap()
}

/// Written right after its tick came.
async fn write(ledger: &Ledger, fate: impl FnOnce(Timestamp) -> Fate) -> CycleRecord {
    /// Slots of one second are one cycle.
    static SLOT: AtomicI64 = AtomicI64::new(1);
    let slot = Timestamp::from_second(SLOT.fetch_add(1, Ordering::Relaxed)).unwrap();
    let now = Timestamp::now();
    let cycle = CycleRecord {
        v: CycleRecord::VERSION,
        rack: rack(),
        cycle: CycleId::of_slot(&rack(), slot),
        origin: Origin::Slot { slot },
        ticked_at: now,
        fate: fate(now),
        outcomes: BTreeMap::new(),
        settled_at: None,
        closed: true,
    };
    let key = key::cycle(&rack(), cycle.cycle);
    let written = ledger.cycles().create(&key, &cycle).await.unwrap();
    assert!(matches!(written, Written::Done(_)), "{key} is there");
    cycle
}

fn planned(machines: &[&str], now: Timestamp) -> Fate {
    let minute = Duration::from_secs(60);
    Fate::Planned(Planned {
        at: now,
        deploy_by: now + minute,
        spread: Duration::ZERO,
        deploy: machines.iter().map(|name| (machine(name), now)).collect(),
        skip: BTreeMap::new(),
        pace: Pace {
            first_look: minute,
            look_every: minute,
            deadline: minute,
        },
        job: json!({}),
    })
}

async fn miss(ledger: &Ledger, times: usize) -> CycleRecord {
    let missed = |_| Fate::Missed {
        cause: MissedCause::Paused,
    };
    for _ in 1..times {
        write(ledger, missed).await;
    }
    write(ledger, missed).await
}

/// A machine that works for a cycle.
async fn claim(ledger: &Ledger, name: &str, cycle: &CycleRecord) {
    let name = machine(name);
    let record = MachineRecord {
        claim: Claim::Running(Running {
            job: JobId::of(cycle.cycle, &name),
            cycle: cycle.cycle,
            rack: rack(),
            submitted_at: cycle.ticked_at,
            deadline: cycle.ticked_at,
            deploy_by: cycle.ticked_at,
            renewed: false,
            doubled: None,
            verdict: None,
            cancel: None,
        }),
        ..MachineRecord::default()
    };
    let machines = ledger.machines();
    machines
        .create(&key::machine(&name), &record)
        .await
        .unwrap();
}

async fn spoil(bus: &Bus) -> String {
    let key = key::cycle(&rack(), CycleId::of_slot(&rack(), Timestamp::UNIX_EPOCH));
    let bucket = bus.bucket::<Raw>("cycles");
    bucket.create(&key, &Raw(json!("no record"))).await.unwrap();
    key
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Raw(Value);

impl model::record::Record for Raw {
    const LATEST: u8 = 1;

    fn version(&self) -> u8 {
        1
    }

    fn is_over(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn of_many_cycles_those_are_read_that_say_how_the_racks_are() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let ledger = Ledger::new(bus.clone());
    // Long ago, and one still at work, while the other waits for its spread. Later cycles were written in masses, and one
    // of them, which is over, cannot be read.
    let old = write(&ledger, |now| planned(&["m3"], now)).await;
    claim(&ledger, "m3", &old).await;
    let waiting = write(&ledger, |now| planned(&["m4"], now)).await;
    let unreadable = spoil(&bus).await;
    miss(&ledger, 30).await;
    // The latest decisions are older than the rack's pause.
    let mut decided = write(&ledger, |now| planned(&["m1", "m2"], now)).await;
    let last = miss(&ledger, 9).await;
    // What is written last need not be the latest cycle.
    for name in ["m1", "m2"] {
        decided.account(&machine(name), &Outcome::Passed, Timestamp::now());
    }
    let cycles = ledger.cycles();
    let key = key::cycle(&rack(), decided.cycle);
    let revision = cycles.get(&key).await.unwrap().unwrap().revision;
    cycles.update(&key, &decided, revision).await.unwrap();

    let records = Records::read(&ledger).await.unwrap();
    let fleet = records.fleet(Timestamp::now());
    let card = &fleet.racks[0];
    assert_eq!(card.last.as_ref().unwrap().cycle, last.cycle);
    let running: Vec<CycleId> = card.running.iter().map(|cycle| cycle.cycle).collect();
    assert_eq!(running, [old.cycle, waiting.cycle]);
    let mut cells: Vec<_> = card
        .cells
        .iter()
        .map(|cell| cell.machine.as_str())
        .collect();
    cells.sort_unstable();
    assert_eq!(cells, ["m1", "m2", "m3", "m4"]);
    assert!(records.unreadable_cycles().is_empty(), "it was read");

    let records = Records::read_rack(&ledger, &rack()).await.unwrap();
    let view = records.rack(&rack(), Timestamp::now()).unwrap();
    assert_eq!(view.cycles.items.len(), 20);
    assert_eq!(view.cycles.items[0].cycle, last.cycle);
    assert!(records.unreadable_cycles().is_empty(), "it was read");
    let running: Vec<CycleId> = view.running.iter().map(|cycle| cycle.cycle).collect();
    assert_eq!(running, [old.cycle, waiting.cycle]);
    assert_eq!(view.machines.len(), 4, "those of the fleet's view");

    // Nothing else says what was decided: every cycle is read for it.
    cycles.delete(&key, None).await.unwrap();
    let records = Records::read_rack(&ledger, &rack()).await.unwrap();
    let view = records.rack(&rack(), Timestamp::now()).unwrap();
    assert_eq!(view.machines[0].cell.machine, machine("m3"));
    assert_eq!(view.running[0].cycle, old.cycle);
    assert!(records.unreadable_cycles().contains(&unreadable));
}
