//! Measures how long the program takes to say how a large fleet is. The broker gets the records of 10,000 machines in 20
//! racks, each with its last 30 verdicts, and of 2,400 cycles, one of each rack under way; then the program is asked:
//!
//! ```console
//! $ cargo build --release -p cli && cargo run --release -p cli --example measure_terminal
//! ```
//!
//! It asks the program that was built with it, or the one that is named as its argument.
#![allow(clippy::unwrap_used, reason = "a failure is to show")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bus::Written;
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use ledger::Ledger;
use model::cycle::{CycleRecord, Fate, Origin, Planned};
use model::id::{CycleId, JobId};
use model::machine::{Claim, MachineRecord, PastVerdict, Running};
use model::name::{MachineName, RackName};
use model::outcome::{FailCause, Outcome, Phase};
use model::subject::key;
use model::task::Pace;
use testkit::Broker;

const RACKS: usize = 20;
const MACHINES: usize = 500;
/// Of each rack.
const CYCLES: usize = 120;
/// From one cycle to the next.
const EVERY: SignedDuration = SignedDuration::from_hours(6);
/// How many verdicts a machine's record keeps.
const VERDICTS: usize = 30;
/// How many machines of a rack are at work.
const AT_WORK: usize = 100;
/// How many writes are under way at once.
const UNDER_WAY: usize = 64;
/// How often each question is asked.
const ASKED: usize = 11;

#[tokio::main]
async fn main() {
    testkit::prepare();
    let broker = Broker::start().await;
    let ledger = Ledger::new(broker.bus().await);
    let now = Timestamp::now();
    let began = Instant::now();
    let mut bytes = 0;
    for number in 1..=RACKS {
        bytes += fill(&ledger, &rack(number), now).await;
    }
    println!(
        "{} machines and {} cycles, {} MB of records, written in {:.0?}",
        RACKS * MACHINES,
        RACKS * CYCLES,
        bytes >> 20,
        began.elapsed()
    );
    let program = match std::env::args_os().nth(1) {
        Some(program) => PathBuf::from(program),
        None => {
            let this = std::env::current_exe().unwrap();
            // Beside the folder of the examples.
            this.ancestors().nth(2).unwrap().join("racktick")
        }
    };
    for question in [
        &["status"][..],
        &["status", "--output", "json"],
        &["status", "r01"],
        &["why", "r01-m001"],
        &["cancel", "r00"],
        &["cancel", "00000000-0000-4000-8000-000000000000"],
    ] {
        let mut took: Vec<Duration> = (0..ASKED)
            .map(|_| ask(&program, &broker, question))
            .collect();
        took.sort();
        println!(
            "{:>6.0?} (at most {:.0?})  racktick {}",
            took[ASKED / 2],
            took[ASKED - 1],
            question.join(" ")
        );
    }
}

/// Runs the program to its end.
fn ask(program: &Path, broker: &Broker, question: &[&str]) -> Duration {
    let began = Instant::now();
    Command::new(program)
        .args(question)
        .env_clear()
        .env("NATS_URL", broker.url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    began.elapsed()
}

fn rack(number: usize) -> RackName {
    RackName::new(format!("r{number:02}")).unwrap()
}

/// Writes the records of a rack and says how long they are.
async fn fill(ledger: &Ledger, rack: &RackName, now: Timestamp) -> usize {
    let names: Vec<MachineName> = (1..=MACHINES)
        .map(|number| MachineName::new(format!("{rack}-m{number:03}")).unwrap())
        .collect();
    // The oldest first.
    let slots: Vec<Timestamp> = (0..CYCLES)
        .rev()
        .map(|number| now - EVERY * i32::try_from(number).unwrap())
        .collect();
    let cycles: Vec<CycleRecord> = slots
        .iter()
        .enumerate()
        .map(|(number, slot)| cycle(rack, &names, *slot, number + 1 == CYCLES))
        .collect();
    let mut bytes = 0;
    for cycle in &cycles {
        bytes += serde_json::to_vec(cycle).unwrap().len();
        let key = key::cycle(rack, cycle.cycle);
        let written = ledger.cycles().create(&key, cycle).await.unwrap();
        assert!(matches!(written, Written::Done(_)));
    }
    let records: Vec<(String, MachineRecord)> = names
        .iter()
        .enumerate()
        .map(|(number, name)| (key::machine(name), machine(name, number, &cycles)))
        .collect();
    let lengths = records
        .iter()
        .map(|(_, record)| serde_json::to_vec(record).unwrap().len());
    bytes += lengths.sum::<usize>();
    let writes = records
        .iter()
        .map(|(key, record)| ledger.machines().create(key, record));
    let mut writes = futures_util::stream::iter(writes).buffer_unordered(UNDER_WAY);
    while let Some(written) = writes.next().await {
        assert!(matches!(written.unwrap(), Written::Done(_)));
    }
    bytes
}

/// A cycle that decided to deploy all; one that is under way lacks the outcomes of those at work.
fn cycle(rack: &RackName, names: &[MachineName], slot: Timestamp, is_open: bool) -> CycleRecord {
    let over = if is_open { AT_WORK } else { 0 };
    CycleRecord {
        v: CycleRecord::VERSION,
        rack: rack.clone(),
        cycle: CycleId::of_slot(rack, slot),
        origin: Origin::Slot { slot },
        ticked_at: slot,
        fate: Fate::Planned(Planned {
            at: slot,
            deploy_by: slot + SignedDuration::from_mins(90),
            spread: Duration::from_secs(3600),
            deploy: names.iter().map(|name| (name.clone(), slot)).collect(),
            skip: Default::default(),
            pace: Pace {
                first_look: Duration::from_secs(300),
                look_every: Duration::from_secs(300),
                deadline: Duration::from_secs(4 * 3600),
            },
            job: serde_json::json!({"provision_data": {"distro": "noble"}}),
        }),
        outcomes: names
            .iter()
            .enumerate()
            .skip(over)
            .map(|(number, name)| (name.clone(), outcome(number)))
            .collect(),
        settled_at: Some(slot + SignedDuration::from_mins(80)),
        closed: !is_open,
    }
}

/// One machine of fifty does not deploy.
fn outcome(machine: usize) -> Outcome {
    match machine % 50 {
        0 => Outcome::Failed {
            cause: FailCause::Phase,
            phase: Some(Phase::Provision),
            exit_code: Some(1),
        },
        _ => Outcome::Passed,
    }
}

fn machine(name: &MachineName, number: usize, cycles: &[CycleRecord]) -> MachineRecord {
    let (last, before) = cycles.split_last().unwrap();
    let claim = match number < AT_WORK {
        true => Claim::Running(Running {
            job: JobId::of(last.cycle, name),
            cycle: last.cycle,
            rack: last.rack.clone(),
            submitted_at: last.ticked_at,
            deadline: last.ticked_at + SignedDuration::from_hours(4),
            deploy_by: last.ticked_at + SignedDuration::from_mins(90),
            renewed: false,
            doubled: None,
            verdict: None,
            cancel: None,
        }),
        false => Claim::Idle,
    };
    let verdicts = before[before.len() - VERDICTS..].iter();
    MachineRecord {
        claim,
        verdicts: verdicts
            .map(|cycle| PastVerdict {
                job: JobId::of(cycle.cycle, name),
                cycle: cycle.cycle,
                outcome: outcome(number),
                at: cycle.ticked_at + SignedDuration::from_mins(30),
            })
            .collect(),
        ..MachineRecord::default()
    }
}
