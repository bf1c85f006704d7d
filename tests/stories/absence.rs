//! Nobody is there for longer than the time in which something could have been done.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::cycle::{Fate, MissedCause};
use model::event::Fact;
use model::name::MachineName;
use model::outcome::{Outcome, SkipReason};
use model::subject::stream;
use testkit::until;
use tests::{SOON, System, machines};

#[tokio::test]
async fn after_the_workers_were_away_nothing_old_is_submitted() {
    // Half an hour of submit window is 3 seconds here, an hour to catch up 6.
    let system = System::start(&["--racks", "2", "--machines", "3", "--speed", "600"]).await;
    system.configure("[policy]\nspread = \"0s\"\n");
    for (rack, catch_up) in [("r1", "catch_up=20h"), ("r2", "catch_up=1h")] {
        let add = ["rack", "add", rack, "--every", "6h", "--first", "slot"];
        system
            .run(&[&add[..], &["--policy", catch_up]].concat())
            .await;
    }
    let mut ticker = system.spawn("ticker", &["worker", "--only", "tick"]);
    system.tick(b"r1").await;
    until(SOON, "the submits are out", async || {
        let stored = system.bus.subjects(stream::TASK, "task.submit.>").await;
        stored.unwrap().len() == 3
    })
    .await;
    ticker.kill_9().await;
    // And one that nobody takes up at all.
    system.tick(b"r2").await;
    let ticked = Timestamp::now();

    let decided = system.cycles("r1").await.remove(0);
    let Fate::Planned(planned) = &decided.fate else {
        panic!("{decided:?}");
    };
    let over = planned
        .deploy_by
        .max(ticked + std::time::Duration::from_secs(7));
    until(SOON, "the windows are over", async || {
        Timestamp::now() > over
    })
    .await;
    let _workers = [system.worker("w1"), system.worker("w2")];
    let _scheduler = system.scheduler();

    assert_eq!(system.until_finished(1, SOON).await, decided.cycle);
    let record = system.cycle("r1", decided.cycle).await;
    let reasons: BTreeMap<&MachineName, Option<SkipReason>> = record
        .outcomes
        .iter()
        .map(|(machine, outcome)| match outcome {
            Outcome::Skipped(skip) => (machine, Some(skip.reason)),
            _ => (machine, None),
        })
        .collect();
    assert_eq!(reasons.len(), machines("r1", 3).len());
    assert!(
        reasons
            .values()
            .all(|reason| *reason == Some(SkipReason::TooLate)),
        "{reasons:?}"
    );
    until(SOON, "the old tick is told to be missed", async || {
        system.events().await.iter().any(|event| {
            event.rack.as_str() == "r2"
                && matches!(
                    event.fact,
                    Fact::TickMissed {
                        cause: MissedCause::Late,
                        ..
                    }
                )
        })
    })
    .await;
    system.until_quiet().await;
    assert_eq!(system.lab.stats().await.jobs_submitted, 0);
    assert_eq!(system.dead_letters().await, []);
}
