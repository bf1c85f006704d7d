//! Taking, keeping and acknowledging.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bus::Outgoing;
use bus::runtime::{Delivery, End, TaskError};
use jiff::{SignedDuration, Timestamp};
use model::name::RackName;
use model::subject::Subject;
use model::task::TaskKind;
use tokio::sync::Barrier;
use tokio::time::{Instant, sleep, timeout};

use super::*;

async fn done(_: Delivery) -> Result<(), TaskError> {
    Ok(())
}

#[tokio::test]
async fn every_task_is_done_once_and_acknowledged_for_good() {
    let (_broker, bus) = broker(Duration::from_secs(10), 20).await;
    ticks(&bus, 500).await;
    let running = take(&bus, 16, SOON, done);
    running.calls.reach(500).await;
    let calls = running.calls.clone();
    running.stop().await;
    assert_eq!(calls.counts().len(), 500);
    assert!(calls.attempts().iter().all(|attempt| *attempt == 1));
    // Confirmed: the broker has let go of them by the time the runtime has ended.
    assert_eq!(left(&bus).await, 0);
}

#[tokio::test]
async fn all_hands_work_and_never_more() {
    let (_broker, bus) = broker(Duration::from_secs(10), 20).await;
    ticks(&bus, 40).await;
    let (busy, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    // Nobody gets past it until four are there.
    let barrier = Arc::new(Barrier::new(4));
    let running = take(&bus, 4, SOON, {
        let most = Arc::clone(&most);
        move |_| {
            let (busy, most, barrier) =
                (Arc::clone(&busy), Arc::clone(&most), Arc::clone(&barrier));
            async move {
                most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let together = timeout(SOON, barrier.wait()).await;
                busy.fetch_sub(1, Ordering::SeqCst);
                together
                    .map(|_| ())
                    .map_err(|_| TaskError::reject("four never came together"))
            }
        }
    });
    none_left(&bus).await;
    assert_eq!(running.stop().await.aborted, 0);
    assert_eq!(most.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_slow_handler_keeps_its_message_and_those_behind_it_are_not_taken_early() {
    let (_broker, bus) = broker(Duration::from_secs(1), 20).await;
    ticks(&bus, 6).await;
    let running = take(&bus, 2, SOON, |_| async {
        // Longer than twice the time after which the broker would give the message away.
        sleep(Duration::from_millis(2500)).await;
        Ok(())
    });
    none_left(&bus).await;
    // Neither the two at work nor the four that waited were delivered a second time.
    assert_eq!(running.calls.attempts(), [1; 6]);
}

#[tokio::test]
async fn a_retry_comes_back_after_its_delay() {
    let (_broker, bus) = broker(Duration::from_secs(10), 20).await;
    let start = Instant::now();
    tick(&bus, "r1").await;
    let running = take(&bus, 4, SOON, |delivery| async move {
        match delivery.attempt {
            1 => Err(TaskError::retry(Duration::from_millis(1500), "not yet")),
            _ => Ok(()),
        }
    });
    none_left(&bus).await;
    assert!(start.elapsed() >= Duration::from_millis(1500));
    assert_eq!(running.calls.attempts(), [1, 2]);
}

#[tokio::test]
async fn a_delivery_says_where_the_message_comes_from() {
    let (_broker, bus) = broker(Duration::from_secs(10), 20).await;
    let rack = RackName::new("r7").unwrap();
    let slot = Subject::Slot {
        rack: rack.clone(),
        slot: "2026-11-21T06:00:00Z".parse().unwrap(),
    };
    let before = Timestamp::now() - SignedDuration::from_secs(1);
    let armed = Outgoing::new(slot.clone(), "r7")
        .at(before, Subject::Tick)
        .first_only();
    bus.publish(armed).await.unwrap();
    let running = take(&bus, 4, SOON, done);
    running.calls.reach(1).await;
    tick(&bus, "r8").await;
    running.calls.reach(2).await;
    let [fired, manual] = running.calls.deliveries().try_into().unwrap();
    assert_eq!((fired.scheduler, manual.scheduler), (Some(slot), None));
    assert_eq!(
        (fired.subject.as_str(), manual.subject.as_str()),
        ("rack.tick", "rack.tick")
    );
    assert!(
        fired.stored_at > before
            && manual.stored_at > fired.stored_at
            && manual.sequence > fired.sequence
    );
    assert!(
        fired.stream_created < fired.stored_at && fired.stream_created == manual.stream_created
    );
    assert!(!fired.last);
}

#[tokio::test]
async fn two_workers_share_the_tasks() {
    let (broker, bus) = broker(Duration::from_secs(10), 20).await;
    let slowly = |_| async {
        // Work takes a while, so that neither is done with all of it before the other has begun.
        sleep(Duration::from_millis(5)).await;
        Ok(())
    };
    let one = take(&bus, 4, SOON, slowly);
    let two = take(&broker.connect().await, 4, SOON, slowly);
    ticks(&bus, 200).await;
    none_left(&bus).await;
    let (one, two) = (one.calls.racks().len(), two.calls.racks().len());
    assert_eq!(one + two, 200);
    assert!(one > 20 && two > 20, "{one} and {two}");
}

/// What an observer was told, in order.
#[derive(Default)]
struct Seen(std::sync::Mutex<Vec<String>>);

impl bus::runtime::Observer for Seen {
    fn began(&self, kind: TaskKind, attempt: u32, waited: Option<Duration>) {
        let waited = if waited.is_some() {
            " after a wait"
        } else {
            ""
        };
        let said = format!("{} {attempt}{waited}", kind.as_str());
        self.0.lock().unwrap().push(said);
    }

    fn ended(&self, _: TaskKind, end: End, _: Duration) {
        self.0.lock().unwrap().push(end.as_str().into());
    }
}

#[tokio::test]
async fn whoever_watches_is_told_of_every_delivery_and_its_end() {
    let (_broker, bus) = broker(Duration::from_secs(10), 20).await;
    ticks(&bus, 1).await;
    let seen = Arc::new(Seen::default());
    let handler = Do {
        work: async |delivery: Delivery| match delivery.attempt {
            1 => Err(TaskError::retry(Duration::ZERO, "not yet")),
            2 => panic!("oh"),
            3 => Err(TaskError::reject("never")),
            _ => Ok(()),
        },
        calls: Calls::default(),
    };
    let runtime = Runtime::new(bus.clone(), "test").observed(vec![seen.clone()]);
    let (stop, stopped) = oneshot::channel::<()>();
    let runtime = runtime.register::<Tick, _>(handler, 4);
    let running = tokio::spawn(runtime.run(async { drop(stopped.await) }, SOON));
    none_left(&bus).await;
    drop(stop);
    running.await.unwrap();
    let wanted = [
        "tick 1 after a wait",
        "again",
        "tick 2",
        "again",
        "tick 3",
        "dead",
    ];
    assert_eq!(*seen.0.lock().unwrap(), wanted);
}
