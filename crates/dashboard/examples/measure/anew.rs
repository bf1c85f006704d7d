//! A file made anew from the broker's stream: a process of its own follows, so that its memory and its work are its own.

use std::time::{Duration, Instant};

use bus::{Bus, Connect, Outgoing};
use dashboard::follow::{Progress, follow};
use dashboard::history::{History, Retention};
use model::event::Event;
use testkit::Broker;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cost::{memory, processor};
use crate::support::story::Size;

/// The first argument of the process that follows; the broker's address and how many events there are follow.
pub(crate) const FOLLOW: &str = "--follow";

/// How many publishes are under way at once.
const UNDER_WAY: usize = 256;

/// Publishes so many events, and lets a file be made from them.
pub(crate) async fn measure(wanted: usize, size: Size) {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let mut teller = crate::teller(wanted, size);
    let (mut told, since) = (0, Instant::now());
    for round in 0.. {
        if told >= wanted {
            break;
        }
        let events = crate::next(&mut teller, round, size, wanted - told);
        told += events.len();
        publish(&bus, &events).await;
    }
    println!("published {told} events in {:.1?}", since.elapsed());

    let mut follower = Command::new(std::env::current_exe().unwrap())
        .args([FOLLOW, &broker.url(), &told.to_string()])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    assert!(follower.wait().await.unwrap().success());
}

async fn publish(bus: &Bus, events: &[Event]) {
    let mut under_way = JoinSet::new();
    for event in events {
        if under_way.len() >= UNDER_WAY {
            under_way.join_next().await.unwrap().unwrap();
        }
        let (bus, message) = (bus.clone(), Outgoing::new(event.subject(), event.to_json()));
        under_way.spawn(async move { bus.publish(message).await.map(drop).unwrap() });
    }
    while let Some(published) = under_way.join_next().await {
        published.unwrap();
    }
}

/// Makes a file from what the broker holds, and says what that cost.
pub(crate) async fn make(arguments: &[String]) {
    let [url, told] = arguments else {
        panic!("{FOLLOW} URL EVENTS");
    };
    let told: u64 = told.parse().unwrap();
    let connect = Connect {
        wait: Duration::from_secs(10),
        ..Connect::to(url.clone(), "measure".to_owned())
    };
    let bus = Bus::connect(&connect).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (history, writer) = History::open(&folder.path().join("followed.db")).unwrap();
    let (progress, mut seen) = watch::channel(Progress::default());
    let (since, before) = (Instant::now(), processor("self"));
    let all_known = async {
        let known = |progress: &Progress| progress.learnt >= told;
        seen.wait_for(known).await.unwrap();
    };
    follow(&bus, writer, Retention::default(), progress, all_known)
        .await
        .unwrap();
    let spent = since.elapsed();
    let as_of = history.read(|reading| reading.as_of()).unwrap();
    println!(
        "made anew from the stream, {} messages in {spent:.1?}: {:.0}/s, {:.0} per second of one processor; memory: {}",
        as_of.sequence,
        told as f64 / spent.as_secs_f64(),
        told as f64 / (processor("self") - before).as_secs_f64(),
        memory("self")
    );
}
