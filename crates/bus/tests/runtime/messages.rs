//! Every message that the runtime itself publishes fails once: requests for messages, acknowledgements, dead letters.
//! Lost, its answer lost, the connection cut before and after. A run without a fault counts them first.

use std::sync::Arc;

use bus::dead;
use testkit::{Failure, Published};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::*;

/// Brokers at a time.
const AT_ONCE: usize = 8;
/// A request for messages is taken for lost after 3 s, and a message comes again after the `ack_wait`.
const LIMIT: Duration = Duration::from_secs(60);

/// How the handler ends.
#[derive(Debug, Clone, Copy)]
enum Handling {
    Done,
    Later,
    Refused,
}

/// Takes one tick over a line on which the message with this number fails. Returns what was published, and whether it
/// came to the fault.
async fn one_tick(handling: Handling, fails: Option<(usize, Failure)>) -> (Vec<Published>, bool) {
    let (broker, bus) = broker(Duration::from_secs(1), 20).await;
    tick(&bus, "r1").await;
    let (line, by_line) = broker.connect_by_line().await;
    if let Some((number, failure)) = fails {
        line.fail(number, failure);
    }
    let running = take(&by_line, 1, SOON, move |delivery| async move {
        match handling {
            Handling::Later if delivery.attempt == 1 => Err(TaskError::retry(
                Duration::from_millis(10),
                "later".to_owned(),
            )),
            Handling::Refused => Err(TaskError::reject("never".to_owned())),
            Handling::Done | Handling::Later => Ok(()),
        }
    });
    settled(&bus).await;
    let published = line.published();
    // It goes on with whatever comes next.
    tick(&bus, "r2").await;
    settled(&bus).await;
    let counts = running.calls.counts();
    assert!(counts["r1"] >= 1 && counts["r2"] >= 1, "{counts:?}");
    let refused = matches!(handling, Handling::Refused);
    let letters = dead::list(&bus).await.unwrap();
    assert_eq!(letters.len(), if refused { 2 } else { 0 }, "{letters:?}");
    running.stop().await;
    (published, line.struck())
}

/// As [`none_left`], for longer.
async fn settled(bus: &Bus) {
    let none = async {
        while left(bus).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(LIMIT, none).await;
    waited.expect("no tick is left");
}

#[tokio::test]
async fn each_message_of_the_runtime_fails_once() {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut cases = JoinSet::new();
    for handling in [Handling::Done, Handling::Later, Handling::Refused] {
        let (published, _) = one_tick(handling, None).await;
        assert!(published.len() > 1, "{published:?}");
        for (number, message) in published.into_iter().enumerate() {
            for failure in Failure::ALL {
                if !message.is_request && !failure.suits_unanswered() {
                    continue;
                }
                let places = Arc::clone(&places);
                let subject = message.subject.clone();
                cases.spawn(async move {
                    let _place = places.acquire().await.unwrap();
                    let case = tokio::spawn(one_tick(handling, Some((number, failure))));
                    let why = match case.await {
                        Ok((_, true)) => return None,
                        Ok((_, false)) => "there was no such message".to_owned(),
                        Err(error) => error.to_string(),
                    };
                    Some(format!(
                        "{handling:?}: {number} {subject} {failure:?}: {why}"
                    ))
                });
            }
        }
    }
    let failed: Vec<String> = cases.join_all().await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
