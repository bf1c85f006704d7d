//! The same message once more.

use model::subject::{Subject, stream};
use testkit::until;
use tests::{SOON, System, machines, nats};

#[tokio::test]
async fn a_submit_published_again_after_its_job_is_done_submits_nothing() {
    let system = System::start(&["--racks", "1", "--machines", "2", "--speed", "300"]).await;
    system.add_rack("r1").await;
    // Only ticks at first, to get hold of the submits' bodies.
    let mut ticker = system.spawn("ticker", &["worker", "--only", "tick"]);
    system.tick(b"r1").await;
    let all = machines("r1", 2);
    let subjects: Vec<String> = all
        .iter()
        .map(|machine| format!("task.submit.r1.{machine}"))
        .collect();
    until(SOON, "the submits are out", async || {
        let stored = system.bus.subjects(stream::TASK, "task.submit.>").await;
        stored.unwrap().len() == subjects.len()
    })
    .await;
    let mut bodies = Vec::new();
    for subject in &subjects {
        assert!(matches!(subject.parse().unwrap(), Subject::Submit { .. }));
        let message = system.bus.last_on(stream::TASK, subject).await.unwrap();
        bodies.push(message.unwrap().body);
    }
    ticker.terminate().await;
    assert!(ticker.ended(SOON).await.success());
    assert_eq!(system.lab.stats().await.jobs_submitted, 0);

    let worker = system.worker("w1");
    let cycle = system.until_finished(1, SOON).await;
    system.until_quiet().await;
    system.assert_one_job_each(&[cycle], &all).await;
    let before = system.events().await;

    for (subject, body) in subjects.iter().zip(&bodies) {
        nats::publish(&system.broker.url(), subject, body).await;
    }
    until(SOON, "the repeated submits are done with", async || {
        let stored = system.bus.subjects(stream::TASK, ">").await;
        stored.unwrap().is_empty()
    })
    .await;
    system.assert_one_job_each(&[cycle], &all).await;
    assert_eq!(system.events().await, before);
    assert_eq!(system.dead_letters().await, []);
    drop(worker);
}
