//! The broker dies, restarts, and loses things.

use std::sync::Arc;

use bus::topology::ensure;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::*;

#[tokio::test]
async fn a_broker_killed_in_the_middle_loses_nothing() {
    let (mut broker, bus) = broker(Duration::from_secs(2), 20).await;
    ticks(&bus, 300).await;
    let running = take(&bus, 8, SOON, |_| async {
        // Work takes a while, so that the broker dies in the middle of it.
        sleep(Duration::from_millis(10)).await;
        Ok(())
    });
    for calls in [50, 150] {
        running.calls.reach(calls).await;
        broker.kill_9().await;
        broker.restart().await;
    }
    none_left(&bus).await;
    assert_eq!(running.calls.counts().len(), 300);
    tick(&bus, "later").await;
    none_left(&bus).await;
    assert_eq!(running.calls.counts()["later"], 1);
}

#[tokio::test]
async fn an_acknowledgement_outlives_a_restart_of_the_broker() {
    let (mut broker, bus) = broker(Duration::from_secs(30), 20).await;
    tick(&bus, "r1").await;
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
    running.calls.reach(1).await;
    broker.kill_9().await;
    gate.add_permits(1);
    broker.restart().await;
    none_left(&bus).await;
    assert_eq!(running.calls.attempts(), [1]);
    assert_eq!(running.stop().await.aborted, 0);
}

#[tokio::test]
async fn a_consumer_that_was_deleted_is_used_again_once_it_is_back() {
    let (broker, bus) = broker(Duration::from_secs(10), 20).await;
    let running = take(&bus, 3, SOON, |_| async { Ok(()) });
    tick(&bus, "r1").await;
    none_left(&bus).await;
    broker
        .request("$JS.API.CONSUMER.DELETE.RACK.tick", "")
        .await;
    tick(&bus, "r2").await;
    assert_eq!(left(&bus).await, 1);
    ensure(&bus, &Topology::declared(Retention::default()))
        .await
        .unwrap();
    none_left(&bus).await;
    assert_eq!(running.calls.racks(), ["r1", "r2"]);
}

#[tokio::test]
async fn a_runtime_waits_for_a_topology_that_does_not_exist_yet() {
    let broker = Broker::start().await;
    let bus = broker.connect().await;
    let running = take(&bus, 3, SOON, |_| async { Ok(()) });
    setup(&bus, &Topology::declared(Retention::default()))
        .await
        .unwrap();
    tick(&bus, "r1").await;
    running.calls.reach(1).await;
}

/// The broker would go on handing out messages to it, and nobody would take them.
#[tokio::test]
async fn a_subscription_that_ends_together_with_its_connection_is_not_taken_to_the_next() {
    let (broker, bus) = broker(Duration::from_secs(1), 20).await;
    let (line, by_line) = broker.connect_by_line().await;
    let running = take(&by_line, 1, SOON, |_| async { Ok(()) });
    tick(&bus, "r1").await;
    running.calls.reach(1).await;
    line.fall_silent();
    testkit::until(SOON, "a subscription ends in the silence", async || {
        line.ended_in_silence().is_some()
    })
    .await;
    tick(&bus, "r2").await;
    running.calls.reach(2).await;
    let ended = line.ended_in_silence().unwrap();
    assert!(!broker.is_heard(&ended).await, "{ended} is still heard");
}
