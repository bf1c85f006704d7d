//! Shutting down.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn what_was_begun_is_finished_and_the_rest_is_free_for_others_at_once() {
    let (broker, bus) = broker(Duration::from_secs(30), 20).await;
    ticks(&bus, 10).await;
    let gate = Arc::new(Semaphore::new(0));
    let running = take(&bus, 3, SOON, {
        let gate = Arc::clone(&gate);
        move |_| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(())
            }
        }
    });
    running.calls.reach(3).await;
    let calls = running.calls.clone();
    let stopping = tokio::spawn(running.stop());
    gate.add_permits(100);
    let drained = stopping.await.unwrap();
    assert_eq!(drained.aborted, 0);
    let begun = calls.racks().len();
    assert!((3..10).contains(&begun), "{begun} were begun");

    let start = Instant::now();
    let other = take(&broker.connect().await, 3, SOON, |_| async { Ok(()) });
    none_left(&bus).await;
    // Far sooner than `ack_wait`.
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(other.calls.racks().len() + begun, 10);
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_is_cut_off_and_comes_again() {
    let (_broker, bus) = broker(Duration::from_secs(1), 20).await;
    tick(&bus, "r1").await;
    let running = take(&bus, 3, Duration::from_millis(200), |_| {
        std::future::pending()
    });
    running.calls.reach(1).await;
    let drained = running.stop().await;
    assert_eq!((drained.aborted, drained.finished), (1, 0));
    let other = take(&bus, 3, SOON, |_| async { Ok(()) });
    none_left(&bus).await;
    assert_eq!(other.calls.attempts(), [2]);
}

#[tokio::test]
async fn an_idle_runtime_stops_at_once_and_one_without_work_too() {
    let (_broker, bus) = broker(Duration::from_secs(10), 20).await;
    let running = take(&bus, 3, SOON, |_| async { Ok(()) });
    tick(&bus, "r1").await;
    running.calls.reach(1).await;
    none_left(&bus).await;
    let start = Instant::now();
    assert_eq!(running.stop().await, Drained::default());
    Runtime::new(bus, "idle").run(async {}, SOON).await;
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}
