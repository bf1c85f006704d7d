//! The file follows a real stream, through repeats, restarts, and streams that are another one all of a sudden; and
//! records are read from real buckets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod records;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bus::access::Role;
use bus::topology::{Retention as Kept, Topology, setup};
use bus::{Bus, Outgoing};
use dashboard::follow::{FollowError, Progress, follow};
use dashboard::history::{History, HistoryError, Retention};
use dashboard::portable::{export, import};
use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use model::event::Event;
use model::subject::stream::EVENTS;
use rusqlite::Connection;
use support::rows;
use support::story::{Size, Teller};
use tempfile::TempDir;
use testkit::Broker;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(60);

const SIZE: Size = Size {
    racks: 2,
    machines: 4,
    cycles: 5,
};

/// A file holds what these events make, whatever stream they came from.
#[track_caller]
fn assert_is_made_of(files: &Files, followed: &Path, events: &[Event]) {
    let all = files.path("all.db");
    let (_, mut writer) = History::open(&all).unwrap();
    support::write(&mut writer, events, 1000);
    assert_eq!(rows(followed), rows(&all));
}

/// A file that is being followed.
struct Following {
    history: History,
    progress: watch::Receiver<Progress>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), FollowError>>,
}

impl Following {
    fn start(bus: &Bus, file: &Path) -> Self {
        let (history, writer) = History::open(file).unwrap();
        let (told, progress) = watch::channel(Progress::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let bus = bus.clone();
        let task = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            follow(&bus, writer, Retention::default(), told, shutdown).await
        });
        Self {
            history,
            progress,
            stop,
            task,
        }
    }

    /// Waits until the file knows the message with this number, of the present stream.
    async fn reach(&mut self, bus: &Bus) {
        let state = bus.stream_state(EVENTS).await.unwrap();
        let there = self.progress.wait_for(|progress| {
            progress.position.is_some_and(|position| {
                position.stream_created == state.created && position.sequence >= state.last
            })
        });
        tokio::time::timeout(DEADLINE, there)
            .await
            .expect("the end of the stream is reached")
            .unwrap();
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file that is made from the stream as it is now.
    async fn rebuilt(&self, bus: &Bus, name: &str) -> PathBuf {
        let file = self.path(name);
        let mut following = Following::start(bus, &file);
        following.reach(bus).await;
        following.stop().await;
        file
    }
}

/// Publishes events, many at a time: they may come in any order.
async fn publish(bus: &Bus, events: &[Event]) {
    const AT_A_TIME: usize = 64;
    let publish = async |event: &Event| {
        // Without an id: what the broker would fold is to reach the reader.
        let message = Outgoing::new(event.subject(), event.to_json());
        let published = testkit::until(DEADLINE, "an event is published", async || {
            bus.publish(message.clone()).await.is_ok()
        });
        published.await;
    };
    let events = stream::iter(events);
    events.for_each_concurrent(AT_A_TIME, publish).await;
}

#[tokio::test]
async fn a_file_made_anew_is_the_one_that_was_followed() {
    let broker = Broker::start().await;
    let (bus, files) = (broker.bus().await, Files::new());
    let mut teller = Teller::new(1);
    let events = teller.story(SIZE);
    let muddled = teller.muddled(&events);

    let followed = files.path("followed.db");
    let mut following = Following::start(&bus, &followed);
    let (first, second) = muddled.split_at(muddled.len() / 2);
    publish(&bus, first).await;
    following.reach(&bus).await;
    following.stop().await;
    // What is published in between is not missed, and the file goes on where it was.
    let (second, third) = second.split_at(second.len() / 2);
    publish(&bus, second).await;
    let mut following = Following::start(&bus, &followed);
    publish(&bus, third).await;
    following.reach(&bus).await;
    let learnt = following.progress.borrow().learnt;
    assert!(learnt < events.len() as u64, "it began anew: {learnt}");
    following.stop().await;

    let rebuilt = files.rebuilt(&bus, "rebuilt.db").await;
    assert_eq!(rows(&followed), rows(&rebuilt));
    let known: usize = rows(&followed)
        .into_iter()
        .filter(|(table, _)| *table == "events")
        .map(|(_, rows)| rows.len())
        .sum();
    assert_eq!(known, events.len());
    // From here on everything is news.
    let connection = Connection::open(&rebuilt).unwrap();
    let whole = connection.query_row(
        "SELECT whole, (SELECT max(number) FROM events) FROM file",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    );
    let (whole, last): (Option<i64>, i64) = whole.unwrap();
    assert_eq!(whole, Some(last));
}

#[tokio::test]
async fn a_broker_that_goes_and_comes_is_waited_for() {
    let mut broker = Broker::start().await;
    let (bus, files) = (broker.bus().await, Files::new());
    let events = Teller::new(2).story(SIZE);
    let (first, second) = events.split_at(events.len() / 2);
    let followed = files.path("followed.db");
    let mut following = Following::start(&bus, &followed);
    publish(&bus, first).await;
    following.reach(&bus).await;
    broker.kill_9().await;
    broker.restart().await;
    publish(&bus, second).await;
    following.reach(&bus).await;
    following.stop().await;
    let rebuilt = files.rebuilt(&bus, "rebuilt.db").await;
    assert_eq!(rows(&followed), rows(&rebuilt));
}

#[tokio::test]
async fn a_stream_made_anew_is_followed_from_its_beginning_and_nothing_is_forgotten() {
    let broker = Broker::start().await;
    let (bus, files) = (broker.bus().await, Files::new());
    let events = Teller::new(3).story(SIZE);
    let (first, second) = events.split_at(events.len() * 2 / 3);
    let followed = files.path("followed.db");
    let mut following = Following::start(&bus, &followed);
    publish(&bus, first).await;
    following.reach(&bus).await;

    broker.request("$JS.API.STREAM.DELETE.EVENTS", "").await;
    setup(&bus, &Topology::declared(Kept::default()))
        .await
        .unwrap();
    // Fewer than the stream before it held.
    publish(&bus, second).await;
    following.reach(&bus).await;
    following.stop().await;

    assert_is_made_of(&files, &followed, &events);
}

#[tokio::test]
async fn a_stream_that_was_set_back_is_followed_from_its_beginning() {
    let broker = Broker::start().await;
    let (bus, files) = (broker.bus().await, Files::new());
    let events = Teller::new(4).story(SIZE);
    let (first, second) = events.split_at(events.len() / 2);
    let followed = files.path("followed.db");
    // The file has followed a stream of that creation time further than it reaches now.
    let state = bus.stream_state(EVENTS).await.unwrap();
    let (_, mut writer) = History::open(&followed).unwrap();
    let batch = dashboard::history::Batch {
        events: first.to_vec(),
        actions: Vec::new(),
        ignored: 0,
        position: dashboard::history::Position {
            stream_created: state.created,
            sequence: 1_000_000,
            stored_at: None,
        },
    };
    writer.write(&batch, support::now()).unwrap();
    drop(writer);
    publish(&bus, second).await;
    let mut following = Following::start(&bus, &followed);
    following.reach(&bus).await;
    let position = following.history.read(|reading| reading.as_of()).unwrap();
    assert_eq!(position.sequence, second.len() as u64);
    following.stop().await;
    assert_is_made_of(&files, &followed, &events);
}

#[tokio::test]
async fn a_file_that_turns_out_to_be_damaged_is_made_anew_at_the_next_start() {
    let broker = Broker::start().await;
    let (bus, files) = (broker.bus().await, Files::new());
    let file = files.path("history.db");
    let events = Teller::new(8).story(Size { cycles: 15, ..SIZE });
    let (_, mut writer) = History::open(&file).unwrap();
    support::write(&mut writer, &events, 1000);
    drop(writer);
    // No start reads this.
    support::spoil(&file, "events_at");
    // Every row is to be written again.
    let mut earlier = events.clone();
    for event in &mut earlier {
        event.time -= SignedDuration::from_secs(1);
    }
    publish(&bus, &earlier).await;
    let following = Following::start(&bus, &file);
    let ended = tokio::time::timeout(DEADLINE, following.task).await;
    let error = ended.expect("damage ends it").unwrap().unwrap_err();
    assert!(
        matches!(error, FollowError::History(HistoryError::Damaged { .. })),
        "{error}"
    );
    assert!(files.path("history.db.aside-1").exists());
    let again = files.rebuilt(&bus, "history.db").await;
    assert_eq!(rows(&again), rows(&files.rebuilt(&bus, "rebuilt.db").await));
}

#[tokio::test]
async fn what_the_stream_has_no_more_comes_back_from_an_export() {
    let broker = Broker::start().await;
    let (bus, files) = (broker.bus().await, Files::new());
    let events = Teller::new(7).story(SIZE);
    publish(&bus, &events).await;
    let whole = rows(&files.rebuilt(&bus, "history.db").await);
    let mut lines = Vec::new();
    let history = History::existing(&files.path("history.db")).unwrap();
    let exported = history.read(|reading| Ok(export(reading, &mut lines).unwrap()));
    assert_eq!(exported.unwrap() as usize, events.len());
    drop(history);

    // The stream forgets the older half, and the file is lost.
    let keep = events.len() / 2;
    let purge = format!(r#"{{"keep":{keep}}}"#);
    broker.request("$JS.API.STREAM.PURGE.EVENTS", purge).await;
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(files.path(&format!("history.db{ending}")));
    }
    let mut following = Following::start(&bus, &files.path("history.db"));
    following.reach(&bus).await;
    assert_ne!(rows(&files.path("history.db")), whole);
    // While the follower is at work on the file.
    let mut writer = History::beside(&files.path("history.db")).unwrap();
    let imported = import(&mut std::io::Cursor::new(lines), &mut writer).unwrap();
    assert_eq!(imported.learnt as usize, events.len() - keep);
    let more = Teller::new(8).round(40, SIZE);
    publish(&bus, &more).await;
    following.reach(&bus).await;
    following.stop().await;
    let expected = files.path("expected.db");
    let (_, mut writer) = History::open(&expected).unwrap();
    support::write(&mut writer, &events, 1000);
    support::write(&mut writer, &more, 1000);
    assert_eq!(rows(&files.path("history.db")), rows(&expected));
}

#[tokio::test]
async fn what_is_no_event_of_ours_is_counted_and_passed_over() {
    let broker = Broker::start().await;
    let (bus, files) = (broker.bus().await, Files::new());
    let events = Teller::new(5).story(SIZE);
    let mut following = Following::start(&bus, &files.path("history.db"));
    broker.request("event.somebody.elses", "hello").await;
    broker
        .request(
            "event.job.r7.node1.invented",
            r#"{"type":"racktick.job.invented"}"#,
        )
        .await;
    publish(&bus, &events).await;
    following.reach(&bus).await;
    let as_of = following.history.read(|reading| reading.as_of()).unwrap();
    assert_eq!(
        (as_of.ignored, as_of.sequence),
        (2, events.len() as u64 + 2)
    );
    assert_eq!(following.progress.borrow().learnt, events.len() as u64);
    following.stop().await;
}

#[tokio::test]
async fn the_dashboards_key_may_follow_and_an_observers_may_not() {
    let broker = Broker::start_with_roles().await;
    let admin = broker.bus_as(Role::Admin).await;
    setup(&admin, &Topology::declared(Kept::default()))
        .await
        .unwrap();
    let files = Files::new();
    publish(&admin, &Teller::new(6).story(SIZE)).await;
    let bus = broker.bus_as(Role::Dashboard).await;
    let mut following = Following::start(&bus, &files.path("history.db"));
    following.reach(&admin).await;
    following.stop().await;
    let observer = broker.bus_as(Role::Observer).await;
    let following = Following::start(&observer, &files.path("observer.db"));
    let ended = tokio::time::timeout(DEADLINE, following.task).await;
    let error = ended
        .expect("it does not try for ever")
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(error, FollowError::Bus(bus::BusError::Denied { .. })),
        "{error}"
    );
}
