//! A page that is left open.

use std::time::Duration;

use jiff::Timestamp;
use model::event::{Event, Fact};
use model::id::CycleId;
use model::name::RackName;
use model::rack::{Pause, RackRecord};
use model::schedule::Schedule;
use tokio::time::timeout;

use crate::dashboard::{Dashboard, SIZE, SOON};
use crate::support::story::Teller;
use crate::support::write;

#[tokio::test]
async fn a_page_that_is_left_open_stays_true() {
    let mut teller = Teller::new(6);
    let mut dashboard = Dashboard::start(&teller.round(0, SIZE)).await;
    let mut live = dashboard.live("/").await;
    let (name, all) = live.next().await.unwrap();
    assert_eq!(name, "all");
    assert!(all.contains("id=\"rack-r0\"") && !all.contains("lately-by-hand"));

    let rack = RackName::new("r0").unwrap();
    let pause = Pause {
        by: "ann".into(),
        why: "lately-by-hand".into(),
        at: Timestamp::now(),
    };
    let every = Schedule::Every {
        every: Duration::from_secs(3600),
        splay: None,
    };
    let mut record = RackRecord::new(every, Timestamp::now());
    record.paused = Some(pause);
    dashboard.schedules.send_modify(|schedules| {
        schedules.racks.insert(rack.clone(), record);
    });
    let (name, card) = live.next().await.unwrap();
    assert_eq!(name, "section");
    assert!(card.starts_with("<section id=\"rack-r0\"") && card.contains("lately-by-hand"));

    let slot: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
    let other = RackName::new("r9").unwrap();
    let started = Event {
        time: slot,
        cycle: CycleId::of_slot(&other, slot),
        rack: other,
        fact: Fact::CycleStarted {
            origin: model::cycle::Origin::Slot { slot },
        },
    };
    write(&mut dashboard.writer, &[started], 1);
    dashboard.tell();
    let (name, all) = live.next().await.unwrap();
    assert_eq!(name, "all", "there is another section");
    assert!(all.contains("id=\"rack-r9\"") && all.contains("planning"));

    dashboard.end.take().unwrap().send(()).unwrap();
    assert_eq!(live.next().await, None);
    timeout(SOON, dashboard.ended)
        .await
        .expect("an open page keeps nobody")
        .unwrap();
}
