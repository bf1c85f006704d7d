//! A worker dies between any two of the steps that speak with the outside.

use std::time::Duration;

use futures_util::future::join_all;
use lab::{Fault, FaultKind};
use testkit::until;
use tests::{SOON, System, machines};

/// The messages of a dead worker come again after the broker's ack_wait of 10 s; a submit then waits for the settle
/// time as well.
const LIMIT: Duration = Duration::from_secs(90);

const POST: &str = "POST /v1/job";

/// One cycle of two machines. When the fault strikes, the worker is killed, and another one goes on.
async fn one_job_each_despite(fault: Fault) {
    let system = System::start(&["--racks", "1", "--machines", "2", "--speed", "300"]).await;
    system.add_rack("r1").await;
    system.lab.inject(&fault).await;
    let mut worker = system.worker("w1");
    system.tick(b"r1").await;
    until(SOON, &format!("{fault:?} strikes"), async || {
        !system.lab.stats().await.faults.is_empty()
    })
    .await;
    worker.kill_9().await;
    let _heir = system.worker("w2");
    let cycle = system.until_finished(1, LIMIT).await;
    system
        .assert_one_job_each(&[cycle], &machines("r1", 2))
        .await;
    assert_eq!(system.dead_letters().await, [], "{fault:?}");
    system.until_quiet().await;
}

async fn each_of(faults: impl IntoIterator<Item = Fault>) {
    join_all(faults.into_iter().map(one_job_each_despite)).await;
}

#[tokio::test]
async fn killed_while_the_tick_reads_its_inputs() {
    each_of([
        Fault::new("/MAAS", FaultKind::Hang),
        Fault::new("/v1/agents", FaultKind::Hang),
    ])
    .await;
}

#[tokio::test]
async fn killed_when_the_post_did_not_arrive() {
    each_of([
        Fault::new(POST, FaultKind::ResetBefore),
        Fault::new(POST, FaultKind::Hang),
    ])
    .await;
}

#[tokio::test]
async fn killed_when_the_post_was_done_and_the_answer_lost() {
    each_of([
        Fault::new(POST, FaultKind::ResetAfter),
        Fault::new(POST, FaultKind::HangAfter),
        Fault {
            delay_ms: 700,
            ..Fault::new(POST, FaultKind::Latency)
        },
    ])
    .await;
}

#[tokio::test]
async fn killed_while_a_look_reads_the_result() {
    each_of([
        Fault::new("/v1/result", FaultKind::Hang),
        Fault::new("/v1/result", FaultKind::ResetAfter),
    ])
    .await;
}

/// The second attempt at a submit asks whether the first arrived, and dies while it asks.
#[tokio::test]
async fn killed_again_while_asking_whether_the_first_attempt_arrived() {
    let system = System::start(&["--racks", "1", "--machines", "2", "--speed", "300"]).await;
    system.add_rack("r1").await;
    system
        .lab
        .inject(&Fault::new(POST, FaultKind::HangAfter))
        .await;
    system
        .lab
        .inject(&Fault::new(POST, FaultKind::ResetBefore))
        .await;
    let mut worker = system.worker("w1");
    system.tick(b"r1").await;
    let struck = async |kind: &str| system.lab.stats().await.faults.contains_key(kind);
    until(SOON, "both POSTs are lost, one of them done", async || {
        struck("hang_after").await && struck("reset_before").await
    })
    .await;
    worker.kill_9().await;
    let asking = Fault {
        method: Some("GET".into()),
        ..Fault::new("/v1/job/", FaultKind::Hang)
    };
    system.lab.inject(&asking).await;
    let mut heir = system.worker("w2");
    until(SOON, "the heir asks", async || struck("hang").await).await;
    heir.kill_9().await;
    let _last = system.worker("w3");
    let cycle = system.until_finished(1, LIMIT).await;
    system
        .assert_one_job_each(&[cycle], &machines("r1", 2))
        .await;
    assert_eq!(system.dead_letters().await, []);
    system.until_quiet().await;
}
