//! SIGTERM: what was begun is finished, nothing else is taken.

use std::time::Duration;

use lab::{Fault, FaultKind};
use model::machine::Claim;
use testkit::until;
use tests::{SOON, System, machines};

/// The default grace, and what a busy machine adds.
const GRACE: Duration = Duration::from_secs(40);

#[tokio::test]
async fn a_worker_finishes_what_it_began_and_ends_well() {
    let mut system = System::start(&["--racks", "1", "--machines", "6", "--speed", "300"]).await;
    system.add_rack("r1").await;
    let slow = Fault {
        delay_ms: 600,
        count: 0,
        ..Fault::new("POST /v1/job", FaultKind::Latency)
    };
    system.lab.inject(&slow).await;
    let mut worker = system.spawn("w1", &["worker", "--name", "w1", "--concurrency", "2"]);
    system.tick(b"r1").await;
    until(SOON, "a submit is under way", async || {
        system.lab.stats().await.faults.contains_key("latency")
    })
    .await;
    worker.terminate().await;
    let status = worker.ended(GRACE).await;
    assert_eq!(status.code(), Some(0), "{}", worker.log());

    // Nothing hangs in between: each submit was done or not begun.
    let submitted = system.lab.stats().await.jobs_submitted;
    assert!((1..6).contains(&submitted), "{submitted}");
    let machines_records = system.ledger.machines().entries(">").await.unwrap();
    let running = machines_records
        .values()
        .filter(|entry| matches!(entry.value.claim, Claim::Running(_)))
        .count();
    assert_eq!(running as u64, submitted, "{machines_records:#?}");
    system.lab.clear_faults().await;

    let mut scheduler = system.scheduler();
    let mut heir = system.worker("w2");
    let cycle = system.until_finished(1, SOON).await;
    system
        .assert_one_job_each(&[cycle], &machines("r1", 6))
        .await;
    for process in [&mut heir, &mut scheduler] {
        process.terminate().await;
        let status = process.ended(GRACE).await;
        assert_eq!(status.code(), Some(0), "{}", process.log());
    }
    let lab = system.lab_process();
    lab.terminate().await;
    assert_eq!(lab.ended(GRACE).await.code(), Some(0), "{}", lab.log());
}

#[tokio::test]
async fn a_worker_that_cannot_finish_within_the_grace_ends_all_the_same() {
    let mut system = System::start(&["--racks", "1", "--machines", "1", "--speed", "300"]).await;
    // 3 seconds here: longer than the grace.
    for limit in ["RACKTICK_HTTP_TOTAL", "RACKTICK_HTTP_FIRST_BYTE"] {
        system.set(limit, "15m");
    }
    system.set("RACKTICK_SETTLE", "45m");
    system.add_rack("r1").await;
    let hang = Fault::new("POST /v1/job", FaultKind::HangAfter);
    system.lab.inject(&hang).await;
    let mut worker = system.spawn("w1", &["worker", "--name", "w1", "--grace", "1s"]);
    system.tick(b"r1").await;
    until(SOON, "a submit hangs", async || {
        system.lab.stats().await.faults.contains_key("hang_after")
    })
    .await;
    worker.terminate().await;
    let status = worker.ended(GRACE).await;
    assert_eq!(status.code(), Some(0), "{}", worker.log());
    // It was cut off, not waited for.
    let claims = system.ledger.machines().entries(">").await.unwrap();
    let claim = claims.values().next().map(|entry| &entry.value.claim);
    assert!(matches!(claim, Some(Claim::Submitting(_))), "{claims:?}");

    let _heir = system.worker("w2");
    let cycle = system.until_finished(1, SOON).await;
    system
        .assert_one_job_each(&[cycle], &machines("r1", 1))
        .await;
}
