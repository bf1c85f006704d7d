//! Work of every kind, and a book of all that was acknowledged.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::runtime::{Delivery, Handler, Runtime, TaskError};
use bus::{Bucket, Bus, BusError, Outgoing, Start, Written};
use jiff::{SignedDuration, Timestamp};
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::record::Record;
use model::subject::{Subject, filter, stream};
use model::task::Tick;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Between two pieces of work of a kind, so that the servers have time for each other.
const PACE: Duration = Duration::from_millis(10);

/// A record that counts its writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counter {
    v: u8,
    pub(crate) number: u64,
}

impl Counter {
    pub(crate) fn of(number: u64) -> Self {
        Self { v: 1, number }
    }
}

impl Record for Counter {
    const LATEST: u8 = 1;

    fn version(&self) -> u8 {
        self.v
    }
}

pub(crate) fn event(number: u64) -> Outgoing {
    let what = format!("e{number}");
    let subject = Subject::Event {
        about: "cycle".into(),
        rack: RackName::new("r7").unwrap(),
        machine: None,
        what: what.clone(),
    };
    Outgoing::new(subject, "{}").with_id(what)
}

/// What was acknowledged so far, one number for each.
#[derive(Default)]
struct Book {
    events: Mutex<Vec<u64>>,
    batches: Mutex<Vec<u64>>,
    ticks: Mutex<Vec<u64>>,
    handled: Mutex<BTreeSet<String>>,
    counted: AtomicU64,
    handlings: AtomicU64,
}

/// How many messages are in a batch.
const BATCH: u64 = 5;

/// Work under way.
pub(crate) struct Load {
    bus: Bus,
    book: Arc<Book>,
    over: Arc<AtomicBool>,
    work: Vec<JoinHandle<()>>,
    runtime: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

struct Note(Arc<Book>);

impl Handler<Tick> for Note {
    async fn handle(&self, task: Tick, _delivery: &Delivery) -> Result<(), TaskError> {
        self.0.handled.lock().unwrap().insert(task.rack.to_string());
        self.0.handlings.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Trouble is expected; anything else is a mistake.
fn forgive(error: &BusError) {
    assert!(error.is_transient(), "{error:?}");
}

impl Load {
    pub(crate) fn start(bus: &Bus) -> Self {
        let (book, over) = (Arc::new(Book::default()), Arc::new(AtomicBool::new(false)));
        let (stop, stopped) = oneshot::channel();
        let runtime =
            Runtime::new(bus.clone(), "test").register::<Tick, _>(Note(Arc::clone(&book)), 8);
        let shutdown = async {
            let _ = stopped.await;
        };
        let runtime = tokio::spawn(async move {
            runtime.run(shutdown, Duration::from_secs(10)).await;
        });
        let with = || (bus.clone(), Arc::clone(&book), Arc::clone(&over));
        let work = vec![
            tokio::spawn(publish_events(with())),
            tokio::spawn(publish_batches(with())),
            tokio::spawn(publish_ticks(with())),
            tokio::spawn(count(with())),
        ];
        Self {
            bus: bus.clone(),
            book,
            over,
            work,
            runtime,
            stop,
        }
    }

    fn progress(&self) -> [u64; 5] {
        let length = |list: &Mutex<Vec<u64>>| list.lock().unwrap().len() as u64;
        [
            length(&self.book.events),
            length(&self.book.batches),
            length(&self.book.ticks),
            self.book.counted.load(Ordering::Relaxed),
            self.book.handlings.load(Ordering::Relaxed),
        ]
    }

    /// Waits until work of every kind went on from here: twice, since one may have been under way. Says how long it
    /// took.
    pub(crate) async fn goes_on(&self, after: &str, limit: Duration) -> Duration {
        let (before, start) = (self.progress(), Instant::now());
        testkit::until(
            limit,
            &format!("work of every kind goes on after {after}"),
            async || {
                let now = self.progress();
                now.iter()
                    .zip(&before)
                    .all(|(now, before)| *now >= before + 2)
            },
        )
        .await;
        let took = start.elapsed();
        eprintln!("after {after}: work of every kind again after {took:.1?}");
        took
    }

    /// Ends the work and compares the book with what the servers have.
    pub(crate) async fn end(self, limit: Duration) {
        self.over.store(true, Ordering::Relaxed);
        for work in self.work {
            work.await.unwrap();
        }
        testkit::until(limit, "no tick is left", async || {
            let left = self.bus.subjects(stream::RACK, "rack.tick").await.unwrap();
            left.is_empty()
        })
        .await;
        let _ = self.stop.send(());
        self.runtime.await.unwrap();

        let reader = self.bus.read(stream::EVENTS, "event.>", Start::All).await;
        let stored = reader.unwrap().to_end().await.unwrap();
        let subjects: BTreeSet<String> =
            stored.iter().map(|stored| stored.subject.clone()).collect();
        assert_eq!(subjects.len(), stored.len(), "an event was stored twice");
        let has = |number: u64| subjects.contains(&event(number).subject.to_string());
        for number in self.book.events.lock().unwrap().iter() {
            assert!(has(*number), "event {number} was acknowledged and is gone");
        }
        let handled = self.book.handled.lock().unwrap().clone();
        for number in self.book.ticks.lock().unwrap().iter() {
            assert!(
                handled.contains(&format!("r{number}")),
                "tick {number} was acknowledged and never came"
            );
        }
        let held = self
            .bus
            .subjects(stream::TASK, filter::WAITING_SUBMITS)
            .await
            .unwrap();
        assert!(
            held.values().all(|messages| *messages == 1),
            "a message of a batch was stored twice"
        );
        for batch in self.book.batches.lock().unwrap().iter() {
            for message in members(*batch) {
                let subject = message.subject.to_string();
                assert!(
                    held.contains_key(&subject),
                    "batch {batch} was acknowledged and {subject} is gone"
                );
            }
        }
        let counter = counters(&self.bus).get("r1").await.unwrap().unwrap();
        assert_eq!(
            counter.value.number,
            self.book.counted.load(Ordering::Relaxed)
        );
    }
}

type With = (Bus, Arc<Book>, Arc<AtomicBool>);

async fn publish_events((bus, book, over): With) {
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        match bus.publish(event(number)).await {
            Ok(_) => book.events.lock().unwrap().push(number),
            Err(error) => forgive(&error),
        }
        sleep(PACE).await;
    }
}

/// Submits held back for longer than any test.
fn members(batch: u64) -> Vec<Outgoing> {
    let rack = RackName::new("r7").unwrap();
    let message = |number| {
        let machine = MachineName::new(format!("m{number}")).unwrap();
        let job = JobId::of(CycleId::of_slot(&rack, Timestamp::UNIX_EPOCH), &machine);
        let time = Timestamp::now() + SignedDuration::from_hours(10);
        let target = Subject::Submit {
            rack: rack.clone(),
            machine,
        };
        Outgoing::new(Subject::WaitSubmit(job), "{}")
            .with_id(job.to_string())
            .at(time, target)
    };
    (batch * BATCH..(batch + 1) * BATCH).map(message).collect()
}

async fn publish_batches((bus, book, over): With) {
    for batch in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        match bus.publish_batch(members(batch)).await {
            Ok(_) => book.batches.lock().unwrap().push(batch),
            Err(error) => forgive(&error),
        }
        sleep(PACE).await;
    }
}

async fn publish_ticks((bus, book, over): With) {
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let tick = Outgoing::new(Subject::Tick, format!("r{number}")).with_id(format!("t{number}"));
        match bus.publish(tick).await {
            Ok(_) => book.ticks.lock().unwrap().push(number),
            Err(error) => forgive(&error),
        }
        sleep(PACE).await;
    }
}

fn counters(bus: &Bus) -> Bucket<Counter> {
    bus.bucket("racks")
}

/// Counts a record up by compare-and-set. The only writer knows what it has to find.
async fn count((bus, book, over): With) {
    let counters = counters(&bus);
    let mut known = 0;
    while !over.load(Ordering::Relaxed) {
        sleep(PACE).await;
        let entry = match counters.get("r1").await {
            Ok(entry) => entry,
            Err(error) => {
                forgive(&error);
                continue;
            }
        };
        let number = entry.as_ref().map_or(0, |entry| entry.value.number);
        assert!(
            number >= known,
            "{known} was acknowledged, and {number} is read"
        );
        known = number;
        let next = Counter::of(number + 1);
        let written = match &entry {
            Some(entry) => counters.update("r1", &next, entry.revision).await,
            None => counters.create("r1", &next).await,
        };
        match written {
            Ok(Written::Done(_)) => known = next.number,
            Ok(Written::Conflict) => {}
            Err(error) => forgive(&error),
        }
        book.counted.store(known, Ordering::Relaxed);
    }
    // A write whose outcome was unknown may have happened.
    let entry = counters.get("r1").await.unwrap().unwrap();
    assert!(entry.value.number >= known);
    book.counted.store(entry.value.number, Ordering::Relaxed);
}
