//! How the broker stands, asked of a real one.

use dashboard::broker::{self, BrokerView};
use ledger::TickRequest;
use model::name::RackName;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::actions::dead_letter;
use crate::dashboard::{Dashboard, SOON};

/// The view after one more reading.
async fn read(dashboard: &Dashboard, view: &watch::Sender<BrokerView>) -> BrokerView {
    let mut read = view.subscribe();
    tokio::select! {
        never = broker::follow(dashboard.ledger.bus(), view) => match never {},
        changed = timeout(SOON, read.changed()) => changed.unwrap().unwrap(),
    }
    read.borrow().clone()
}

#[tokio::test]
async fn dead_letters_and_waiting_work_are_as_they_are_now() {
    let dashboard = Dashboard::start(&[]).await;
    let bus = dashboard.ledger.bus();
    let view = watch::channel(BrokerView::default()).0;
    let oldest = |view: &BrokerView| -> Vec<_> {
        let work = view.work.iter();
        work.map(|work| (work.kind.clone(), work.waiting, work.oldest.is_some()))
            .collect()
    };
    let numbers = |view: &BrokerView| -> Vec<u64> {
        let letters = view.newest_dead.iter();
        letters.map(|letter| letter.number).collect()
    };
    let kinds = ["submit", "tick", "watch"];
    let found = read(&dashboard, &view).await;
    assert_eq!(numbers(&found), [] as [u64; 0]);
    let mut work = oldest(&found);
    work.sort();
    assert_eq!(work, kinds.map(|kind| (kind.to_owned(), 0, false)));

    for body in ["r0", "r1"] {
        dead_letter(&dashboard, body).await;
    }
    let request = TickRequest::of(RackName::new("r0").unwrap(), "ann");
    dashboard.ledger.tick(&request).await.unwrap();
    let found = read(&dashboard, &view).await;
    assert_eq!((found.dead_letters, numbers(&found)), (2, vec![2, 1]));
    assert!(oldest(&found).contains(&("tick".to_owned(), 1, true)));
    assert!(oldest(&found).contains(&("watch".to_owned(), 0, false)));
    // One more, and one fewer.
    dead_letter(&dashboard, "r2").await;
    assert_eq!(numbers(&read(&dashboard, &view).await), [3, 2, 1]);
    bus::dead::drop(bus, 2).await.unwrap();
    let found = read(&dashboard, &view).await;
    assert_eq!((found.dead_letters, numbers(&found)), (2, vec![3, 1]));
}
