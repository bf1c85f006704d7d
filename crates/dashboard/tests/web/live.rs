//! A page that is left open.

use std::time::Duration;

use dashboard::tokens::Role;
use jiff::Timestamp;
use model::event::{Event, Fact};
use model::id::CycleId;
use model::name::RackName;
use model::rack::{Pause, RackRecord};
use model::schedule::Schedule;
use reqwest::header::ACCEPT;
use tokio::time::{interval, timeout};

use crate::dashboard::{Dashboard, Live, SIZE, SOON};
use crate::support::story::Teller;
use crate::support::write;

/// Says that a rack is paused.
fn pause(dashboard: &Dashboard, why: &str) {
    let every = Schedule::Every {
        every: Duration::from_secs(3600),
        splay: None,
    };
    let mut record = RackRecord::new(every, Timestamp::now());
    record.paused = Some(Pause {
        by: "ann".into(),
        why: why.into(),
        at: Timestamp::now(),
    });
    let rack = RackName::new("r0").unwrap();
    dashboard.schedules.send_modify(|schedules| {
        schedules.racks.insert(rack, record);
    });
}

#[tokio::test]
async fn a_page_on_which_nothing_happens_is_told_so() {
    let dashboard = Dashboard::told(6).await;
    let mut live = dashboard.live("/trends").await;
    assert!(live.message().await.unwrap().starts_with("event: all"));
    // A script sees this; it does not see comments.
    assert_eq!(live.message().await.unwrap(), "event: here\ndata:");
}

#[tokio::test]
async fn a_page_that_is_left_open_stays_true() {
    let mut teller = Teller::new(6);
    let mut dashboard = Dashboard::start(&teller.round(0, SIZE)).await;
    let mut live = dashboard.live("/").await;
    let (name, all) = live.next().await.unwrap();
    assert_eq!(name, "all");
    assert!(all.contains("id=\"rack-r0\"") && !all.contains("lately-by-hand"));

    pause(&dashboard, "lately-by-hand");
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

#[tokio::test]
async fn who_has_a_page_is_sent_what_is_new_on_it() {
    let dashboard = Dashboard::told(7).await;
    let page = dashboard.page("/?q=r0").await;
    let (_, stand) = page.split_once("data-stand=\"").unwrap();
    let address = format!("/?q=r0&stand={}", stand.split_once('"').unwrap().0);
    let mut first = dashboard.live(&address).await;
    let mut second = dashboard.live(&address).await;
    pause(&dashboard, "first-reason");
    for live in [&mut first, &mut second] {
        let (name, card) = live.next().await.unwrap();
        assert_eq!(name, "section");
        assert!(card.starts_with("<section id=\"rack-r0\"") && card.contains("first-reason"));
    }

    // Whoever comes back says what came last, and is told what happened meanwhile.
    drop(second);
    pause(&dashboard, "second-reason");
    let (_, news) = first.next().await.unwrap();
    let (news, last) = news.rsplit_once("\nid: ").unwrap();
    assert!(news.contains("second-reason"));
    pause(&dashboard, "third-reason");
    let back = |last: &str| {
        let request = dashboard
            .client
            .get(format!("http://{}{address}", dashboard.address));
        let request = request.header(ACCEPT, "text/event-stream");
        request.header("last-event-id", last).send()
    };
    let mut third = Live::of(back(last).await.unwrap());
    let (name, card) = third.next().await.unwrap();
    assert_eq!(name, "section");
    assert!(card.contains("third-reason"));
    // What was never said by this page means nothing.
    let mut fourth = Live::of(back("1.2.3").await.unwrap());
    assert_eq!(fourth.next().await.unwrap().0, "all");
}

#[tokio::test]
async fn everyone_has_the_forms_that_are_theirs() {
    let dashboard = Dashboard::told(8).await;
    pause(&dashboard, "");
    let add = |name, role| dashboard.tokens.add(name, role, Timestamp::now()).unwrap();
    let visitors = [
        add("olga", Role::Operator),
        add("otto", Role::Operator),
        add("vic", Role::Viewer),
        String::new(),
    ];
    let mut seals = Vec::new();
    let mut open = Vec::new();
    for token in &visitors {
        let mut live = dashboard.live_for("/racks/r0", token).await;
        let (_, all) = live.next().await.unwrap();
        let seal = all
            .split_once("name=\"seal\" value=\"")
            .map(|(_, rest)| rest.split_once('"').unwrap().0.to_owned());
        seals.push(seal);
        open.push(live);
    }
    assert!(seals[0].is_some() && seals[1].is_some() && seals[0] != seals[1]);
    assert_eq!(seals[2..], [None, None]);
}

/// What only an admin sees must not go on coming because everybody may read the rest.
#[tokio::test]
async fn what_is_left_open_ends_with_its_token_although_everybody_may_read() {
    let dashboard = Dashboard::told(9).await;
    let add = |name, role| dashboard.tokens.add(name, role, Timestamp::now()).unwrap();
    let removed = add("ada", Role::Admin);
    let changed = add("bea", Role::Admin);
    let stays = add("cleo", Role::Admin);
    let mut open = Vec::new();
    for token in [&removed, &changed, &stays, &String::new()] {
        let mut page = dashboard.live_for("/racks/r0", token).await;
        assert_eq!(page.next().await.unwrap().0, "all");
        let mut events = dashboard.live_for("/api/v1/events", token).await;
        assert!(events.event().await.is_some());
        open.push((page, events));
    }
    dashboard.tokens.remove("ada").unwrap();
    dashboard.tokens.remove("bea").unwrap();
    add("bea", Role::Viewer);
    pause(&dashboard, "lately-by-hand");
    dashboard.tell();
    for (page, events) in &mut open[..2] {
        assert_eq!(page.next().await, None);
        assert_eq!(events.event().await, None);
    }
    for (page, _) in &mut open[2..] {
        assert!(page.next().await.unwrap().1.contains("lately-by-hand"));
    }
}

/// A proxy would cut it off, and whoever is gone without a word would never be found out.
#[tokio::test]
async fn a_page_without_news_is_heard_of_however_much_happens_elsewhere() {
    let dashboard = Dashboard::told(10).await;
    let mut live = dashboard.live("/racks/r0").await;
    assert_eq!(live.next().await.unwrap().0, "all");
    let elsewhere = async {
        let mut every = interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            dashboard.tell();
        }
    };
    let heard = tokio::select! {
        heard = live.message() => heard.unwrap(),
        () = elsewhere => unreachable!(),
    };
    assert_eq!(heard, "event: here\ndata:");
}
