//! What people do to racks, and that it is told.

use std::time::Duration;

use bus::dead::{self, Kept};
use bus::{Outgoing, Start};
use jiff::Timestamp;
use ledger::{Acted, Person, Replayed};
use model::action::{Action, Deed, RackEvent};
use model::dead::{Body, DeadLetter};
use model::name::RackName;
use model::policy::PolicyChange;
use model::rack::RackRecord;
use model::schedule::Schedule;
use model::subject::{Subject, stream};

use crate::desk::Desk;

fn rack() -> RackName {
    RackName::new("r1").unwrap()
}

fn action(by: &str, deed: Deed) -> Action {
    Action {
        at: Timestamp::now(),
        by: by.into(),
        why: "power work".into(),
        deed,
    }
}

impl Desk {
    async fn add_rack(&self) {
        let every = Schedule::Every {
            every: Duration::from_secs(3600),
            splay: None,
        };
        let (by, why, at) = ("ann".into(), String::new(), Timestamp::now());
        let record = RackRecord::added(every, PolicyChange::default(), by, why, at);
        assert!(self.ledger().add_rack(&rack(), &record).await.unwrap());
        assert!(!self.ledger().add_rack(&rack(), &record).await.unwrap());
    }

    /// Who did what, as events say it.
    async fn told(&self) -> Vec<(String, &'static str)> {
        let reader = self.bus.read(stream::EVENTS, "event.rack.>", Start::All);
        let stored = reader.await.unwrap().to_end().await.unwrap();
        let events = stored.iter().map(|stored| {
            let event = RackEvent::from_json(&stored.body).unwrap();
            assert_eq!(stored.subject, event.subject().to_string());
            (event.action.by.clone(), event.action.deed.word())
        });
        events.collect()
    }

    async fn letter(&self, subject: &str, body: &[u8]) -> Kept {
        let stream = self.bus.stream_state(stream::RACK).await.unwrap();
        let sequence = 42 + self.bus.stream_state(stream::DLQ).await.unwrap().last;
        let letter = DeadLetter {
            v: DeadLetter::VERSION,
            subject: subject.into(),
            stream: "RACK".into(),
            sequence,
            stored_at: Timestamp::now(),
            headers: Default::default(),
            body: Body::of(body),
            reason: "tried too often".into(),
            attempts: 9,
            at: Timestamp::now(),
            by: "w1".into(),
        };
        let body = serde_json::to_vec(&letter).unwrap();
        let id = format!("RACK:{}:{sequence}", stream.created);
        let dead = Outgoing::new(Subject::Dead(subject.into()), body).with_id(id);
        self.bus.publish(dead).await.unwrap();
        dead::list(&self.bus).await.unwrap().pop().unwrap()
    }
}

#[tokio::test]
async fn whatever_is_done_to_a_rack_is_told_once_with_who() {
    let desk = Desk::open(1, 30).await;
    let ledger = desk.ledger();
    let paused = action("bob", Deed::Paused);
    assert_eq!(ledger.act(&rack(), &paused).await.unwrap(), Acted::NoRack);
    desk.add_rack().await;
    let act = async |by: &str, deed| ledger.act(&rack(), &action(by, deed)).await.unwrap();
    assert_eq!(act("bob", Deed::Paused).await, Acted::Done);
    assert_eq!(act("eve", Deed::Paused).await, Acted::AsItWas);
    assert_eq!(act("bob", Deed::Resumed).await, Acted::Done);
    assert_eq!(ledger.rack(&rack()).await.unwrap().unwrap().untold, []);

    // Whoever pauses dies before it is told: who acts next tells both.
    let late = action("mia", Deed::Paused);
    let acted = ledger.act_untold(&rack(), &late).await.unwrap();
    assert_eq!(acted, Acted::Done);
    assert_eq!(act("bob", Deed::Resumed).await, Acted::Done);

    // Whoever tells dies before the record says so: the event is the same once more.
    let told = action("mia", Deed::Paused);
    ledger.act(&rack(), &told).await.unwrap();
    let put_back = |record: &mut RackRecord| record.untold.push(told.clone());
    assert!(ledger.change_rack(&rack(), put_back).await.unwrap());
    let (gone, by, why) = (rack(), "ann".into(), String::new());
    ledger.remove_rack(&gone, by, why).await.unwrap();
    assert_eq!(ledger.rack(&rack()).await.unwrap(), None);

    let expected = [
        ("ann", "added"),
        ("bob", "paused"),
        ("bob", "resumed"),
        ("mia", "paused"),
        ("bob", "resumed"),
        ("mia", "paused"),
        ("ann", "removed"),
    ];
    let expected = expected.map(|(by, what)| (by.to_owned(), what));
    assert_eq!(desk.told().await, expected);
}

#[tokio::test]
async fn a_rack_that_is_added_is_told_at_once_and_what_is_untold_before_it_is_removed() {
    let desk = Desk::open(1, 30).await;
    let ledger = desk.ledger();
    desk.add_rack().await;
    let added = ("ann".to_owned(), "added");
    assert_eq!(desk.told().await, std::slice::from_ref(&added));
    // Whoever pauses dies before it is told.
    let paused = action("mia", Deed::Paused);
    ledger.act_untold(&rack(), &paused).await.unwrap();
    let (gone, by, why) = (rack(), "bob".into(), String::new());
    ledger.remove_rack(&gone, by, why).await.unwrap();
    let rest = [("mia", "paused"), ("bob", "removed")];
    let rest = rest.map(|(by, what)| (by.to_owned(), what));
    assert_eq!(desk.told().await, [&[added][..], &rest[..]].concat());
}

#[tokio::test]
async fn a_letter_is_replayed_once_however_many_ask_and_a_drop_is_told() {
    let desk = Desk::open(1, 30).await;
    let ledger = desk.ledger();
    let person = |by: &str| Person {
        by: by.into(),
        why: "mended".into(),
        at: Timestamp::now(),
    };
    let tick = desk.letter("rack.tick", br#"{"rack": "r1"}"#).await;
    // Two saw it on their pages at the same time.
    for by in ["ann", "bob"] {
        let replayed = ledger.replay(&tick, &person(by)).await.unwrap();
        assert_eq!(replayed, Replayed::Done(None));
    }
    assert_eq!(desk.bus.stream_state(stream::RACK).await.unwrap().last, 1);
    assert_eq!(dead::list(&desk.bus).await.unwrap(), []);

    let hopeless = desk.letter("rack.tick", b"r 1").await;
    let stays = ledger.replay(&hopeless, &person("ann")).await.unwrap();
    assert!(matches!(stays, Replayed::Stays(_)), "{stays:?}");
    assert_eq!(dead::list(&desk.bus).await.unwrap().len(), 1);
    assert!(ledger.drop_letter(&hopeless, &person("ann")).await.unwrap());
    assert!(!ledger.drop_letter(&hopeless, &person("bob")).await.unwrap());
    let submit = desk.letter("task.submit.r1.m001", b"{}").await;
    assert!(ledger.drop_letter(&submit, &person("ann")).await.unwrap());
    // It is gone, and nobody else has dropped it.
    assert!(!ledger.drop_letter(&submit, &person("bob")).await.unwrap());
    let expected = [("ann", "replayed"), ("ann", "dropped")];
    let expected = expected.map(|(by, what)| (by.to_owned(), what));
    assert_eq!(desk.told().await, expected);
}
