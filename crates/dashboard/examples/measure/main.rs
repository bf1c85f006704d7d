//! Measures how fast a history file is made from events, how fast it answers, and how fast its pages come over HTTP:
//!
//! ```console
//! $ cargo run --release -p dashboard --example measure -- 1000000 --through-broker
//! ```
//!
//! With `--look` the dashboard stays at last, for a browser.
#![allow(clippy::unwrap_used, reason = "a failure is to show")]

mod anew;
mod cost;
mod site;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use cost::{memory, processor};
use dashboard::history::{Batch, History, Position, Reading};
use dashboard::views::EventFilter;
use jiff::{SignedDuration, Timestamp};
use model::event::Event;
use model::name::{MachineName, RackName};
use support::story::{Size, Teller};

/// How many messages are decoded and written at once, as the follower does.
const AT_ONCE: usize = 4096;
/// How often each question is asked.
const ASKED: usize = 21;

#[tokio::main]
async fn main() {
    testkit::prepare();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(site::SERVE) => return site::serve(&arguments[1..]).await,
        Some(anew::FOLLOW) => return anew::make(&arguments[1..]).await,
        _ => {}
    }
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let wanted: usize = arguments
        .first()
        .map_or(1_000_000, |text| text.parse().unwrap());
    let size = Size {
        racks: 20,
        machines: 500,
        cycles: usize::MAX,
    };
    let folder = tempfile::tempdir().unwrap();

    let file = folder.path().join("folded.db");
    let (history, mut writer) = History::open(&file).unwrap();
    let mut teller = teller(wanted, size);
    let (mut told, mut spent, mut worked) = (0, Duration::ZERO, Duration::ZERO);
    let (mut end, mut rounds) = (Timestamp::MIN, 0);
    for round in 0.. {
        if told >= wanted {
            break;
        }
        let bodies: Vec<Vec<u8>> = next(&mut teller, round, size, wanted - told)
            .iter()
            .map(Event::to_json)
            .collect();
        let (since, processor) = (Instant::now(), processor("self"));
        for bodies in bodies.chunks(AT_ONCE) {
            let events: Vec<Event> = bodies
                .iter()
                .map(|body| Event::from_json(body).unwrap())
                .collect();
            end = events.last().unwrap().time;
            let batch = Batch {
                events,
                actions: Vec::new(),
                ignored: 0,
                position: Position {
                    stream_created: support::now(),
                    sequence: told as u64,
                    stored_at: None,
                },
            };
            writer.write(&batch, support::now()).unwrap();
        }
        spent += since.elapsed();
        worked += self::processor("self") - processor;
        told += bodies.len();
        rounds = round + 1;
    }
    println!(
        "folded {told} events in {spent:.1?}: {:.0}/s, {:.0} per second of one processor; file {} MB",
        told as f64 / spent.as_secs_f64(),
        told as f64 / worked.as_secs_f64(),
        std::fs::metadata(&file).unwrap().len() / 1_000_000
    );
    ask_all(&history, end);
    println!("memory: {}", memory("self"));
    drop((history, writer));
    site::measure(&file, rounds).await;

    if has("--through-broker") {
        anew::measure(wanted, size).await;
    }
    if has("--look") {
        let mut server = site::Server::start(&file, rounds, 0).await;
        println!("{} until this ends", server.url);
        server.process.wait().await.unwrap();
    }
}

/// Tells a story that ends about now, since what is old looks different.
fn teller(wanted: usize, size: Size) -> Teller {
    let a_round = Teller::new(1).round(0, size).len();
    let rounds = i32::try_from(wanted / a_round).unwrap();
    Teller::new(1).since(Timestamp::now() - Teller::EVERY * (rounds + 1))
}

/// The events of one round, at most so many: the last round ends in its middle, with many jobs under way.
fn next(teller: &mut Teller, round: usize, size: Size, most: usize) -> Vec<Event> {
    let mut events = teller.round(round, size);
    events.truncate(most);
    events
}

fn ask_all(history: &History, end: Timestamp) {
    let (rack, machine) = (
        RackName::new("r7").unwrap(),
        MachineName::new("node7.9").unwrap(),
    );
    let cycle = history
        .read(|reading| reading.cycles(Some(&rack), None, 2))
        .unwrap()
        .items
        .pop()
        .unwrap()
        .cycle;
    let job = model::id::JobId::of(cycle, &machine);
    let of_machine = EventFilter {
        machine: Some(machine.clone()),
        ..EventFilter::default()
    };
    let of_rack = EventFilter {
        rack: Some(rack.clone()),
        kind: Some("job.finished".into()),
        ..EventFilter::default()
    };
    let failed = EventFilter {
        kind: Some("cycle.failed".into()),
        ..EventFilter::default()
    };
    let failed_of_rack = EventFilter {
        rack: Some(rack.clone()),
        ..failed.clone()
    };
    let totals = history.read(|reading| reading.fleet()).unwrap().totals;
    println!("{totals:?}");
    ask(history, "fleet", |reading| reading.fleet().map(drop));
    ask(history, "rack", |reading| reading.rack(&rack).map(drop));
    ask(history, "cycle", |reading| reading.cycle(cycle).map(drop));
    ask(history, "cycles of a rack", |reading| {
        reading.cycles(Some(&rack), None, 100).map(drop)
    });
    ask(history, "machine", |reading| {
        reading.machine(&machine).map(drop)
    });
    ask(history, "job", |reading| reading.job(job).map(drop));
    for days in [7, 30] {
        let from = end - SignedDuration::from_hours(days * 24);
        ask(history, &format!("trends, {days} days"), |reading| {
            reading.trends(from).map(drop)
        });
    }
    let everything = EventFilter::default();
    for (name, filter) in [
        ("events", &everything),
        ("events of a machine", &of_machine),
        ("finished jobs of a rack", &of_rack),
        ("failed cycles", &failed),
        ("failed cycles of a rack", &failed_of_rack),
    ] {
        ask(history, name, |reading| {
            reading.events(filter, None, 100).map(drop)
        });
    }
}

fn ask(history: &History, name: &str, question: impl Fn(&Reading) -> rusqlite::Result<()>) {
    let before = processor("self");
    let mut times: Vec<Duration> = (0..ASKED)
        .map(|_| {
            let since = Instant::now();
            history.read(&question).unwrap();
            since.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "{name}: median {:.1?}, slowest {:.1?}, of a processor {:.1?}",
        times[ASKED / 2],
        times[ASKED - 1],
        (processor("self") - before) / u32::try_from(ASKED).unwrap()
    );
}
