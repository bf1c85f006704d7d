//! Workers die at any moment, and nothing is lost and nothing done twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lab::{Fault, FaultKind};
use model::event::Fact;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use testkit::until;
use tests::{System, machines};
use tokio::time::sleep;

/// Cycles of two racks side by side.
const ROUNDS: usize = 5;
const MACHINES: usize = 4;
/// A dead worker's messages come again after the broker's ack_wait of 10 s, and more than one may hit the same message.
const ROUND: Duration = Duration::from_secs(100);

/// Another one each time, unless a run is to be repeated.
fn seed() -> u64 {
    let seed = match std::env::var("RACKTICK_TEST_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::rng().random::<u64>(),
    };
    eprintln!("RACKTICK_TEST_SEED={seed}");
    seed
}

#[tokio::test]
async fn ten_cycles_while_workers_are_killed_at_random() {
    let mut chance = StdRng::seed_from_u64(seed());
    let count = MACHINES.to_string();
    let system = System::start(&["--racks", "2", "--machines", &count, "--speed", "300"]).await;
    // Answers take their time, so that deaths strike between asking and knowing.
    let slow = Fault {
        delay_ms: 100,
        count: 0,
        ..Fault::new("all", FaultKind::Latency)
    };
    system.lab.inject(&slow).await;
    for rack in ["r1", "r2"] {
        system.add_rack(rack).await;
    }
    let _scheduler = system.scheduler();
    let mut workers = [
        system.worker("w1"),
        system.worker("w2"),
        system.worker("w3"),
    ];
    let over = AtomicBool::new(false);
    let rounds = async {
        for round in 1..=ROUNDS {
            system.until_agents_wait().await;
            for rack in ["r1", "r2"] {
                system.tick(rack.as_bytes()).await;
            }
            system.until_finished(2 * round, ROUND).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let deaths = async {
        let mut deaths = 0;
        while !over.load(Ordering::Relaxed) {
            // The chaos itself; nothing is awaited by it.
            sleep(Duration::from_millis(chance.random_range(200..2500))).await;
            let worker = &mut workers[chance.random_range(0..3)];
            worker.kill_9().await;
            *worker = system.worker(worker.name());
            deaths += 1;
        }
        deaths
    };
    let ((), deaths) = tokio::join!(rounds, deaths);
    eprintln!("{deaths} workers were killed");
    assert!(deaths >= ROUNDS, "{deaths}");

    let finished = system.finished().await;
    assert_eq!(finished.len(), 2 * ROUNDS);
    let stats = system.lab.stats().await;
    assert_eq!(stats.machines_with_two_jobs_in_one_cycle, 0, "{stats:?}");
    assert_eq!(stats.jobs_with_same_id, 0, "{stats:?}");
    assert_eq!(stats.most_live_jobs_on_a_machine, 1, "{stats:?}");
    for rack in ["r1", "r2"] {
        let machines = machines(rack, MACHINES);
        let cycles = system.cycles(rack).await;
        assert_eq!(cycles.len(), ROUNDS);
        for record in cycles {
            assert!(
                record.closed && record.open().next().is_none(),
                "{record:?}"
            );
            let jobs = &stats.jobs_by_cycle[&record.cycle.to_string()];
            assert_eq!(
                jobs.keys().collect::<Vec<_>>(),
                machines.iter().collect::<Vec<_>>()
            );
        }
    }
    assert_eq!(system.dead_letters().await, []);
    system.until_quiet().await;
}

/// Every request may be refused, cut off, answered with nonsense, or done without an answer.
#[tokio::test]
async fn cycles_while_a_third_of_all_requests_fails() {
    let seed = (seed() % 1_000_000).to_string();
    let lab = [
        "--racks",
        "1",
        "--machines",
        "6",
        "--speed",
        "300",
        "--seed",
    ];
    let system = System::start(&[&lab[..], &[&seed]].concat()).await;
    system.add_rack("r1").await;
    for kind in [
        FaultKind::Status,
        FaultKind::ResetBefore,
        FaultKind::ResetAfter,
        FaultKind::Truncate,
        FaultKind::Malformed,
        FaultKind::Html,
        FaultKind::HangAfter,
    ] {
        let fault = Fault {
            count: 0,
            probability: 0.05,
            ..Fault::new("all", kind)
        };
        system.lab.inject(&fault).await;
    }
    let _scheduler = system.scheduler();
    let _workers = [system.worker("w1"), system.worker("w2")];
    // Three cycles, and more until each kind has struck, which it does sooner or later. One whose tick failed again and
    // again for as long as it is tried is given up, and says so.
    let mut ticks = 0;
    while system.finished().await.len() < 3 || system.lab.stats().await.faults.len() < 7 {
        assert!(ticks < 20, "a kind never strikes, or no cycle finishes");
        system.until_agents_wait().await;
        system.tick(b"r1").await;
        ticks += 1;
        until(ROUND, "the cycle has ended", async || {
            let events = system.events().await;
            let ends = events.iter().filter(|event| {
                matches!(
                    event.fact,
                    Fact::CycleFinished { .. } | Fact::CycleFailed { .. }
                )
            });
            ends.count() == ticks
        })
        .await;
    }
    let cycles = system.finished().await;
    system
        .assert_one_job_each(&cycles, &machines("r1", 6))
        .await;
    assert_eq!(system.dead_letters().await, []);
    system.until_quiet().await;
}
