//! The pages over HTTP: a process of its own serves them, so that its memory and its work are its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use dashboard::broker::BrokerView;
use dashboard::claims::Claims;
use dashboard::follow::Progress;
use dashboard::history::{Batch, History, Position, Writer};
use dashboard::schedules::Schedules;
use dashboard::tokens::Tokens;
use dashboard::web::{self, Access, Site, Sources};
use jiff::Timestamp;
use ledger::Ledger;
use model::name::RackName;
use model::rack::RackRecord;
use model::schedule::Schedule;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING};
use testkit::Broker;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::cost::{memory, processor};
use crate::support::story::{Size, Teller};

/// The first argument of the process that serves; a history file, the number of the next round, and events per second
/// follow.
pub(crate) const SERVE: &str = "--serve";

/// As many racks and machines as were told of.
const SIZE: Size = Size {
    racks: 20,
    machines: 500,
    cycles: 1,
};

/// So many events per second are many: a fleet of 10,000 machines that tick every six hours has two or three, and some
/// hundred while all of it is being submitted.
const BUSY: u32 = 200;

/// How many pages are left open.
const OPEN: usize = 20;

/// How many ask for the same at once.
const AT_ONCE: usize = 50;

/// How long they are watched.
const WATCHED: Duration = Duration::from_secs(20);

/// How often each page is asked for.
const ASKED: usize = 31;

/// The process that serves.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) url: String,
    client: reqwest::Client,
}

impl Server {
    pub(crate) async fn start(file: &Path, round: usize, rate: u32) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(SERVE)
            .arg(file)
            .args([round.to_string(), rate.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self {
            url: lines.next_line().await.unwrap().unwrap(),
            process,
            client: reqwest::Client::new(),
        }
    }

    fn id(&self) -> String {
        self.process.id().unwrap().to_string()
    }

    /// Asks for a page, and says how many bytes came.
    async fn get(&self, path: &str, encoding: &str) -> usize {
        let request = self.client.get(format!("{}{path}", self.url));
        let answer = request.header(ACCEPT_ENCODING, encoding).send();
        let answer = answer.await.unwrap().error_for_status().unwrap();
        let said = answer.headers().get(CONTENT_ENCODING);
        let is_as_asked = said.map_or("identity", |said| said.to_str().unwrap()) == encoding;
        let bytes = answer.bytes().await.unwrap().len();
        assert!(is_as_asked || bytes < 10_000, "{path} is not {encoding}");
        bytes
    }

    /// Asks for each page again and again, as programs and as browsers do.
    async fn ask(&self, pages: &[(&str, String)]) {
        for (name, path) in pages {
            let mut said = String::new();
            for (encoding, word) in [("identity", "plain"), ("gzip", "compressed")] {
                let mut bytes = 0;
                let mut times = Vec::new();
                for _ in 0..ASKED {
                    let since = Instant::now();
                    bytes = self.get(path, encoding).await;
                    times.push(since.elapsed());
                }
                times.sort();
                let (median, late) = (times[ASKED / 2], times[ASKED * 95 / 100]);
                let _ = write!(
                    said,
                    "; {word} {} kB, {median:.1?}, {late:.1?}",
                    bytes / 1000
                );
            }
            println!("  {name}{said}");
        }
    }

    /// Lets many ask for a page at once, as fast as they can read.
    async fn ask_at_once(&self, path: &str, readers: usize) {
        let mut asking = JoinSet::new();
        for _ in 0..readers {
            let request = self.client.get(format!("{}{path}", self.url));
            let request = request.header(ACCEPT_ENCODING, "gzip");
            asking.spawn(async move {
                let answer = request.send().await.unwrap();
                let mut answer = answer.error_for_status().unwrap();
                while answer.chunk().await.unwrap().is_some() {}
            });
        }
        asking.join_all().await;
    }

    /// Leaves pages open, and says what came.
    async fn watch(&self, path: &str, pages: usize) -> Vec<(usize, usize)> {
        let mut open = JoinSet::new();
        for _ in 0..pages {
            let request = self.client.get(format!("{}{path}", self.url));
            let request = request.header(ACCEPT, "text/event-stream");
            open.spawn(async move {
                let mut answer = request.send().await.unwrap();
                let (mut events, mut bytes) = (0, 0);
                let reading = async {
                    while let Some(chunk) = answer.chunk().await.unwrap() {
                        bytes += chunk.len();
                        events += chunk
                            .windows(7)
                            .filter(|part| part == b"\nevent:" || part == b"event: ")
                            .count();
                    }
                };
                let _ = timeout(WATCHED, reading).await;
                (events, bytes)
            });
        }
        open.join_all().await
    }
}

/// Measures the pages of this history, quiet and busy.
pub(crate) async fn measure(file: &Path, round: usize) {
    let pages = pages(file);
    println!("over HTTP, with nothing going on: size, median, 95th percentile");
    let server = Server::start(file, round, 0).await;
    server.ask(&pages).await;
    println!("  memory: {}", memory(&server.id()));
    drop(server);

    for path in ["/", "/api/v1/fleet"] {
        let server = Server::start(file, round, 0).await;
        let (since, before) = (Instant::now(), processor(&server.id()));
        server.ask_at_once(path, AT_ONCE).await;
        println!(
            "{AT_ONCE} ask for {path} at once: all have it after {:.1?}, of a processor {:.1?}; memory: {}",
            since.elapsed(),
            processor(&server.id()) - before,
            memory(&server.id())
        );
    }

    println!("over HTTP, while {BUSY} events a second come in:");
    let server = Server::start(file, round, BUSY).await;
    server.ask(&pages).await;
    println!("  memory: {}", memory(&server.id()));
    drop(server);

    for (number, open) in [1, OPEN].into_iter().enumerate() {
        println!("the same with {open} of the front page left open:");
        let server = Server::start(file, round + 1 + number, BUSY).await;
        let front = [pages[0].clone()];
        let (since, before) = (Instant::now(), processor(&server.id()));
        let (came, ()) = tokio::join!(server.watch("/", open), server.ask(&front));
        let share =
            (processor(&server.id()) - before).as_secs_f64() / since.elapsed().as_secs_f64();
        let of_all = |of: fn(&(usize, usize)) -> usize| came.iter().map(of).sum::<usize>() / open;
        println!(
            "  each got {} events, {} kB a second; {:.0} % of a processor; memory: {}",
            of_all(|came| came.0),
            of_all(|came| came.1) as u64 / 1000 / WATCHED.as_secs(),
            share * 100.0,
            memory(&server.id())
        );
    }
}

/// A page of each kind.
fn pages(file: &Path) -> Vec<(&'static str, String)> {
    let (history, _) = History::open(file).unwrap();
    let rack = RackName::new("r7").unwrap();
    let cycles = history
        .read(|reading| reading.cycles(Some(&rack), None, 2))
        .unwrap();
    let cycle = cycles.items[1].cycle;
    let machine = history
        .read(|reading| reading.rack(&rack))
        .unwrap()
        .unwrap()
        .machines
        .remove(0);
    let job = machine.cell.last.unwrap().job;
    vec![
        ("fleet", "/".into()),
        ("fleet, those that fail", "/?state=failing".into()),
        ("rack", "/racks/r7".into()),
        ("cycle", format!("/cycles/{cycle}")),
        ("machine", format!("/machines/{}", machine.cell.machine)),
        ("job", format!("/jobs/{job}")),
        ("trends", "/trends".into()),
        ("now", "/now".into()),
        ("system", "/system".into()),
        ("fleet as JSON", "/api/v1/fleet".into()),
    ]
}

/// Serves a history file for everybody, while so many events a second come in.
pub(crate) async fn serve(arguments: &[String]) {
    let [file, round, rate] = arguments else {
        panic!("{SERVE} FILE ROUND RATE");
    };
    let file = PathBuf::from(file);
    let (round, rate): (usize, u32) = (round.parse().unwrap(), rate.parse().unwrap());
    let broker = Broker::start().await;
    let (history, writer) = History::open(&file).unwrap();
    let (progress, seen) = watch::channel(Progress {
        at: Some(Timestamp::now()),
        ..Progress::default()
    });
    // Kept: a page is not updated any more when nobody could tell of schedules.
    let (_scheduling, schedules) = watch::channel(schedules());
    let sources = Sources {
        history,
        progress: seen,
        schedules,
        broker: watch::channel(BrokerView::default()).1,
        claims: watch::channel(Claims::default()).1,
        ledger: watch::channel(Some(Ledger::new(broker.bus().await))).1,
        testflinger: "http://testflinger.example/".into(),
        maas: None,
    };
    let access = Access {
        tokens: Tokens::at(file.with_extension("toml")),
        public_read: true,
        proxy: None,
        hosts: Vec::new(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || write(writer, &progress, round, rate));
    web::serve(Site::new(sources, access), listener, std::future::pending())
        .await
        .unwrap();
}

fn schedules() -> Schedules {
    let mut schedules = Schedules::default();
    for number in 0..SIZE.racks {
        let every = Schedule::Every {
            every: Duration::from_secs(6 * 3600),
            splay: None,
        };
        let record = RackRecord::new(every, Timestamp::now());
        let rack = RackName::new(format!("r{number}")).unwrap();
        schedules.racks.insert(rack, record);
    }
    schedules
}

/// As the follower does, on a thread of its own and in small batches as they come in. With none it says all the same
/// that it follows.
fn write(mut writer: Writer, progress: &watch::Sender<Progress>, round: usize, rate: u32) {
    const A_SECOND: u32 = 10;
    let mut sequence = writer.position().unwrap().map_or(0, |known| known.sequence);
    let tell = || progress.send_modify(|progress| progress.at = Some(Timestamp::now()));
    if rate == 0 {
        loop {
            tell();
            thread::sleep(Duration::from_secs(10));
        }
    }
    let mut at = Instant::now();
    for round in round.. {
        // They begin now, in the order in which they come.
        let start = Timestamp::now() - Teller::EVERY * i32::try_from(round).unwrap();
        let events = Teller::new(round as u64).since(start).round(round, SIZE);
        for events in events.chunks((rate / A_SECOND) as usize) {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            at += Duration::from_secs(1) / A_SECOND;
            sequence += events.len() as u64;
            let batch = Batch {
                events: events.to_vec(),
                actions: Vec::new(),
                ignored: 0,
                position: Position {
                    stream_created: crate::support::now(),
                    sequence,
                    stored_at: None,
                },
            };
            writer.write(&batch, Timestamp::now()).unwrap();
            tell();
        }
    }
}
