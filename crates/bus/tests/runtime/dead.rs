//! What cannot succeed is kept, and lets the rest through.

use bus::dead;
use model::dead::Body;
use model::task::Submit;

use super::*;

async fn letters(bus: &Bus, number: usize) -> Vec<dead::Kept> {
    testkit::until(SOON, "the dead letters", async || {
        dead::list(bus).await.unwrap().len() >= number
    })
    .await;
    let letters = dead::list(bus).await.unwrap();
    assert_eq!(letters.len(), number);
    letters
}

#[tokio::test]
async fn a_body_that_is_no_task_becomes_a_dead_letter_and_the_good_one_behind_it_is_done() {
    let (broker, bus) = broker(Duration::from_secs(10), 20).await;
    for body in ["no rack", "{\"rack\": 7}", "\u{1}"] {
        broker.request("rack.tick", body).await;
    }
    tick(&bus, "r1").await;
    let running = take(&bus, 1, SOON, |_| async { Ok(()) });
    none_left(&bus).await;
    assert_eq!(running.calls.racks(), ["r1"]);
    let letters = letters(&bus, 3).await;
    let first = &letters[0].letter;
    assert_eq!(
        (
            first.subject.as_str(),
            first.stream.as_str(),
            first.attempts
        ),
        ("rack.tick", "RACK", 1)
    );
    assert_eq!(
        (&first.body, first.by.as_str()),
        (&Body::Text("no rack".into()), "test")
    );
    assert!(
        first.reason.contains("`no rack` is not a rack name"),
        "{}",
        first.reason
    );
    assert_eq!(letters[2].letter.body.bytes().unwrap(), b"\x01");
}

#[tokio::test]
async fn a_message_fired_by_a_foreign_schedule_is_no_manual_tick() {
    let (broker, bus) = broker(Duration::from_secs(10), 20).await;
    broker
        .schedule(
            "rack.schedule.r1.soon",
            "r1",
            "@at 2020-01-01T00:00:00Z",
            "rack.tick",
        )
        .await;
    let running = take(&bus, 1, SOON, |_| async { Ok(()) });
    let reason = letters(&bus, 1).await.remove(0).letter.reason;
    assert!(
        reason.contains("foreign subject: `rack.schedule.r1.soon`"),
        "{reason}"
    );
    assert_eq!(running.calls.racks(), [""; 0]);
}

#[tokio::test]
async fn a_rejected_task_becomes_a_dead_letter_with_the_reason() {
    let (_broker, bus) = broker(Duration::from_secs(10), 20).await;
    tick(&bus, "r1").await;
    let running = take(&bus, 1, SOON, |_| async {
        Err(TaskError::reject("there is no such rack"))
    });
    let kept = letters(&bus, 1).await.remove(0);
    none_left(&bus).await;
    assert_eq!(
        (kept.letter.reason.as_str(), kept.letter.attempts),
        ("there is no such rack", 1)
    );
    assert_eq!(running.calls.attempts(), [1]);
    assert_eq!(dead::get(&bus, kept.sequence).await.unwrap().unwrap(), kept);
    assert!(dead::drop(&bus, kept.sequence).await.unwrap());
    assert!(!dead::drop(&bus, kept.sequence).await.unwrap());
    assert_eq!(dead::get(&bus, kept.sequence).await.unwrap(), None);
}

#[tokio::test]
async fn when_the_budget_ends_a_retry_becomes_a_dead_letter_with_the_last_cause() {
    let (_broker, bus) = broker(Duration::from_secs(10), 4).await;
    tick(&bus, "r1").await;
    let running = take(&bus, 1, SOON, |_| async {
        Err(TaskError::retry(
            Duration::from_millis(50),
            "MAAS does not answer",
        ))
    });
    let letter = letters(&bus, 1).await.remove(0).letter;
    none_left(&bus).await;
    assert_eq!(
        letter.reason,
        "given up after 3 attempts; the last one said: MAAS does not answer"
    );
    let last: Vec<bool> = running
        .calls
        .deliveries()
        .iter()
        .map(|delivery| delivery.last)
        .collect();
    assert_eq!(last, [false, false, true]);
}

#[tokio::test]
async fn a_panic_is_a_retry() {
    let (_broker, bus) = broker(Duration::from_secs(10), 20).await;
    tick(&bus, "r1").await;
    let running = take(&bus, 1, SOON, |delivery| async move {
        assert!(delivery.attempt > 1, "the first attempt panics");
        Ok(())
    });
    none_left(&bus).await;
    assert_eq!(running.calls.attempts(), [1, 2]);
    assert_eq!(dead::list(&bus).await.unwrap(), []);
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_stored_does_not_lose_the_message() {
    let (broker, bus) = broker(Duration::from_secs(10), 20).await;
    broker.request("$JS.API.STREAM.DELETE.DLQ", "").await;
    tick(&bus, "r1").await;
    let running = take(&bus, 1, SOON, |_| async { Err(TaskError::reject("never")) });
    running.calls.reach(1).await;
    assert_eq!(left(&bus).await, 1);
    bus::topology::ensure(&bus, &Topology::declared(Retention::default()))
        .await
        .unwrap();
    assert_eq!(letters(&bus, 1).await[0].letter.reason, "never");
    none_left(&bus).await;
}

#[tokio::test]
async fn a_message_that_no_worker_survives_is_found_and_buried() {
    let (_broker, bus) = broker(Duration::from_secs(1), 2).await;
    tick(&bus, "r1").await;
    for _ in 0..2 {
        // The worker dies with the task in its hands.
        let running = take(&bus, 1, Duration::ZERO, |_| std::future::pending());
        running.calls.reach(1).await;
        assert_eq!(running.stop().await.aborted, 1);
    }
    let survivor = take(&bus, 1, SOON, |_| async { Ok(()) });
    let mut reports = dead::Reports::default();
    assert_eq!(reports.stuck(&bus).await.unwrap(), []);
    testkit::until(SOON, "the broker gives it up", async || {
        dead::stuck(&bus).await.unwrap().len() == 1
    })
    .await;
    let stuck = reports.stuck(&bus).await.unwrap().remove(0);
    // It was reported once, and is told of until it is gone.
    assert_eq!(reports.stuck(&bus).await.unwrap().first(), Some(&stuck));
    assert_eq!(
        (
            stuck.stream.as_str(),
            stuck.deliveries,
            &stuck.message.body[..]
        ),
        ("RACK", 2, &b"r1"[..])
    );
    dead::bury(&bus, &stuck, "sweep").await.unwrap();
    dead::bury(&bus, &stuck, "sweep").await.unwrap();
    assert_eq!(reports.stuck(&bus).await.unwrap(), []);
    assert_eq!(dead::stuck(&bus).await.unwrap(), []);
    assert_eq!(left(&bus).await, 0);
    let letter = letters(&bus, 1).await.remove(0).letter;
    assert_eq!(
        letter.reason,
        "delivered 2 times, and no worker came to an end with it"
    );
    assert_eq!(survivor.calls.racks(), [""; 0]);
}

/// Nothing reaches it.
struct Untouched;

impl Handler<Submit> for Untouched {
    async fn handle(&self, task: Submit, _: &Delivery) -> Result<(), TaskError> {
        panic!("{task:?} was taken for a submit")
    }
}

#[tokio::test]
async fn the_longest_subject_and_the_longest_reason_still_make_a_dead_letter() {
    let (broker, bus) = broker(Duration::from_secs(10), 20).await;
    // As long as a client's line of protocol allows. A dead letter's own line would be longer.
    let subject = format!("task.submit.r1.{}", "x".repeat(4000));
    broker.request(&subject, "{}").await;
    // The parser quotes what it did not expect.
    let word = "é".repeat(20_000);
    broker
        .request("task.submit.r1.m1", format!("{{\"v\": \"{word}\"}}"))
        .await;
    let runtime = Runtime::new(bus.clone(), "test").register::<Submit, _>(Untouched, 1);
    tokio::spawn(runtime.run(std::future::pending(), SOON));
    let letters = letters(&bus, 2).await;
    let long = letters.iter().find(|kept| kept.letter.subject == subject);
    assert!(long.is_some(), "{letters:#?}");
    let quoting = letters
        .iter()
        .find(|kept| kept.letter.subject == "task.submit.r1.m1");
    let reason = &quoting.expect("the other one").letter.reason;
    assert!(reason.len() < 2100 && reason.ends_with('…'), "{reason}");
}
