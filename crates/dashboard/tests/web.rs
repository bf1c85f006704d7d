//! Pages, live updates and the API over real sockets, from a history file with a story in it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use dashboard::broker::{BrokerView, WorkView};
use dashboard::follow::Progress;
use dashboard::history::{History, Writer};
use dashboard::schedules::Schedules;
use dashboard::tokens::{Role, Tokens};
use dashboard::web::{Access, Links, Site, serve};
use jiff::Timestamp;
use ledger::Ledger;
use model::event::{Event, Fact};
use model::id::CycleId;
use model::name::RackName;
use model::rack::{Pause, RackRecord};
use model::schedule::Schedule;
use model::subject::stream;
use model::task::{Task, Tick};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, LOCATION,
    SET_COOKIE,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use support::story::{Size, Teller};
use support::write;
use tempfile::TempDir;
use testkit::Broker;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const SIZE: Size = Size {
    racks: 2,
    machines: 6,
    cycles: 12,
};

const SOON: Duration = Duration::from_secs(30);

struct Dashboard {
    _folder: TempDir,
    writer: Writer,
    progress: watch::Sender<Progress>,
    schedules: watch::Sender<Schedules>,
    standing: watch::Sender<BrokerView>,
    _broker: Broker,
    ledger: Ledger,
    tokens: Tokens,
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    ended: JoinHandle<()>,
    client: Client,
}

impl Dashboard {
    /// A dashboard that has read everything just now.
    async fn start(events: &[Event]) -> Self {
        Self::start_for(events, true).await
    }

    async fn start_for(events: &[Event], public_read: bool) -> Self {
        let broker = Broker::start().await;
        let ledger = Ledger::new(broker.bus().await);
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::at(folder.path().join("tokens.toml"));
        let access = Access {
            tokens: tokens.clone(),
            public_read,
        };
        let (history, mut writer) = History::open(&folder.path().join("history.sqlite")).unwrap();
        write(&mut writer, events, 500);
        let progress = watch::channel(Progress {
            at: Some(Timestamp::now()),
            ..Progress::default()
        });
        let schedules = watch::channel(Schedules::default());
        let standing = watch::channel(BrokerView::default());
        let links = Links {
            testflinger: Some("http://testflinger.example".into()),
        };
        let site = Site::new(
            history,
            progress.1,
            schedules.1,
            standing.1,
            links,
            access,
            ledger.clone(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ending) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let shutdown = async {
                let _ = ending.await;
            };
            serve(site, listener, shutdown).await.unwrap();
        });
        Self {
            _folder: folder,
            writer,
            progress: progress.0,
            schedules: schedules.0,
            standing: standing.0,
            _broker: broker,
            ledger,
            tokens,
            address,
            end: Some(end),
            ended,
            client: Client::builder().redirect(Policy::none()).build().unwrap(),
        }
    }

    async fn told(seed: u64) -> Self {
        Self::start(&Teller::new(seed).story(SIZE)).await
    }

    async fn get(&self, path: &str) -> Response {
        let url = format!("http://{}{path}", self.address);
        self.client.get(url).send().await.unwrap()
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    async fn problem(&self, path: &str, status: StatusCode) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["status"], status.as_u16());
        problem["detail"].as_str().unwrap().to_owned()
    }

    /// Follows a page.
    async fn live(&self, path: &str) -> Live {
        let url = format!("http://{}{path}", self.address);
        let request = self.client.get(url).header(ACCEPT, "text/event-stream");
        Live {
            answer: request.send().await.unwrap(),
            text: String::new(),
        }
    }

    /// As the follower does after it has written.
    fn tell(&self) {
        self.progress
            .send_modify(|progress| progress.at = Some(Timestamp::now()));
    }
}

struct Live {
    answer: Response,
    text: String,
}

impl Live {
    /// The next event's name and data; `None` when the stream ended.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                // A line with a colon in front keeps the connection alive.
                let Some(name) = event.strip_prefix("event: ") else {
                    continue;
                };
                let (name, data) = name.split_once('\n').unwrap();
                return Some((name.to_owned(), data.replace("data: ", "")));
            }
            let chunk = timeout(SOON, self.answer.chunk())
                .await
                .expect("an event in time");
            self.text
                .push_str(str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }
}

fn first<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap()
}

#[tokio::test]
async fn every_page_shows_what_the_api_says() {
    let dashboard = Dashboard::told(3).await;
    let fleet = dashboard.json("/api/v1/fleet").await;
    let rack = first(&fleet, "/racks/0/rack");
    let machine = first(&fleet, "/racks/0/cells/0/machine");
    let cycle = first(&fleet, "/racks/0/last/cycle");
    let job = fleet["racks"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|rack| rack["cells"].as_array().unwrap())
        .find_map(|cell| cell.pointer("/last/job"))
        .and_then(Value::as_str)
        .unwrap();
    for (page, api, word) in [
        ("/".to_owned(), "/api/v1/fleet".to_owned(), machine),
        (
            format!("/racks/{rack}"),
            format!("/api/v1/racks/{rack}"),
            machine,
        ),
        (
            format!("/cycles/{cycle}"),
            format!("/api/v1/cycles/{cycle}"),
            rack,
        ),
        (
            format!("/machines/{machine}"),
            format!("/api/v1/machines/{machine}"),
            rack,
        ),
        (format!("/jobs/{job}"), format!("/api/v1/jobs/{job}"), job),
        (
            "/trends?days=3650".into(),
            "/api/v1/trends?days=3650".into(),
            rack,
        ),
        ("/now".into(), "/api/v1/events".into(), rack),
    ] {
        assert!(dashboard.page(&page).await.contains(word), "{page}");
        let answer = dashboard.json(&api).await;
        assert!(answer["as_of"]["at"].is_string(), "{api}: {answer}");
        assert!(answer.to_string().contains(word), "{api}");
    }
}

#[tokio::test]
async fn a_list_is_read_piece_by_piece_without_a_gap() {
    let dashboard = Dashboard::told(4).await;
    let whole = dashboard.json("/api/v1/events?limit=1000").await;
    let whole = whole["items"].as_array().unwrap().clone();
    let mut pieces = Vec::new();
    let mut after = String::new();
    loop {
        let piece = dashboard
            .json(&format!("/api/v1/events?limit=37{after}"))
            .await;
        pieces.extend(piece["items"].as_array().unwrap().clone());
        match piece["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert!(whole.len() > 37 && whole.len() < 1000);
    assert_eq!(pieces, whole);
    let of_one = dashboard
        .json("/api/v1/events?rack=r1&kind=job.finished&limit=1000")
        .await;
    let of_one = of_one["items"].as_array().unwrap();
    let expected = whole
        .iter()
        .filter(|event| event["rack"] == "r1" && event["kind"] == "job.finished");
    assert_eq!(of_one.len(), expected.count());
}

#[tokio::test]
async fn what_is_not_there_or_makes_no_sense_is_said() {
    let dashboard = Dashboard::told(5).await;
    let nobody = CycleId::of_slot(&RackName::new("r9").unwrap(), Timestamp::UNIX_EPOCH);
    for path in [
        "/racks/r9".to_owned(),
        "/machines/nobody".into(),
        format!("/cycles/{nobody}"),
        format!("/jobs/{nobody}"),
    ] {
        assert_eq!(
            dashboard.get(&path).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
        let api = format!("/api/v1{path}");
        let says = dashboard.problem(&api, StatusCode::NOT_FOUND).await;
        assert!(says.contains("no event has told of it"), "{says}");
    }
    let long = format!("/machines/{}", "x".repeat(300));
    for path in ["/cycles/x", "/jobs/x", "/racks/r.7", &long] {
        assert_eq!(
            dashboard.get(path).await.status(),
            StatusCode::BAD_REQUEST,
            "{path}"
        );
        dashboard
            .problem(&format!("/api/v1{path}"), StatusCode::BAD_REQUEST)
            .await;
    }
    let says = dashboard
        .problem("/api/v1/events?after=x", StatusCode::BAD_REQUEST)
        .await;
    assert!(says.contains("`x` is no place in a list"), "{says}");
    dashboard
        .problem("/api/v1/trends?days=0", StatusCode::BAD_REQUEST)
        .await;
    dashboard
        .problem("/api/v1/nothing", StatusCode::NOT_FOUND)
        .await;
    assert_eq!(
        dashboard.get("/nothing").await.status(),
        StatusCode::NOT_FOUND
    );
}

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

#[tokio::test]
async fn whoever_cannot_hear_of_the_broker_says_since_when() {
    let dashboard = Dashboard::told(7).await;
    assert_eq!(dashboard.page("/readyz").await, "ok\n");
    assert!(!dashboard.page("/").await.contains("was not heard of"));
    dashboard
        .progress
        .send_modify(|progress| progress.at = Some("2026-11-28T00:00:00Z".parse().unwrap()));
    let page = dashboard.page("/").await;
    assert!(
        page.contains("The broker was not heard of since <time datetime=\"2026-11-28T00:00:00Z\"")
    );
    let says = dashboard
        .problem("/readyz", StatusCode::SERVICE_UNAVAILABLE)
        .await;
    assert!(says.contains("2026-11-28T00:00:00Z"), "{says}");
    dashboard.progress.send_replace(Progress::default());
    let says = dashboard
        .problem("/readyz", StatusCode::SERVICE_UNAVAILABLE)
        .await;
    assert!(says.contains("not read yet"), "{says}");
    assert_eq!(dashboard.page("/healthz").await, "ok\n");
}

#[tokio::test]
async fn metrics_count_what_the_fleet_shows() {
    let dashboard = Dashboard::told(9).await;
    let rack = RackName::new("r0").unwrap();
    let every = Schedule::Every {
        every: Duration::from_secs(3600),
        splay: None,
    };
    dashboard.schedules.send_modify(|schedules| {
        let record = RackRecord::new(every, Timestamp::now());
        schedules.racks.insert(rack, record);
    });
    dashboard.standing.send_modify(|broker| {
        broker.dead_letters = 3;
        broker.work.push(WorkView {
            kind: "submit".into(),
            waiting: 5,
            at_work: 2,
            again: 0,
            takers: 0,
        });
    });
    let answer = dashboard.get("/metrics").await;
    let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = answer.text().await.unwrap();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} in {text}"))
            .trim()
            .parse()
            .unwrap()
    };
    let fleet = dashboard.json("/api/v1/fleet").await;
    let cells = fleet["racks"][0]["cells"].as_array().unwrap();
    for health in [
        "ok",
        "failing",
        "suspect",
        "quarantined",
        "stale",
        "unknown",
    ] {
        let shown = cells.iter().filter(|cell| cell["health"] == health).count();
        let name = format!("racktick_machines{{rack=\"r0\",health=\"{health}\"}}");
        assert_eq!(value(&name), shown as f64, "{health}");
    }
    let left_alone = cells
        .iter()
        .filter(|cell| !cell["decision"]["skip"].is_null())
        .count();
    let told: f64 = text
        .lines()
        .filter(|line| line.starts_with("racktick_machines_left_alone{rack=\"r0\""))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(told, left_alone as f64);
    assert!(value("racktick_rack_last_success_timestamp_seconds{rack=\"r0\"}") > 1.7e9);
    assert!(value("racktick_rack_next_slot_timestamp_seconds{rack=\"r0\"}") > 1.7e9);
    assert_eq!(value("racktick_rack_paused{rack=\"r0\"}"), 0.0);
    assert_eq!(value("racktick_dead_letters "), 3.0);
    assert_eq!(value("racktick_tasks_waiting{kind=\"submit\"}"), 5.0);
    assert!(!text.contains("node0"), "no machine is a label");

    let rules = include_str!("../../../dist/prometheus/racktick.rules.yaml");
    let words = rules.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
    let named: BTreeSet<&str> = words.filter(|word| word.starts_with("racktick_")).collect();
    assert!(named.len() > 5, "{named:?}");
    for name in named {
        assert!(
            text.contains(&format!("# TYPE {name} ")),
            "{name} in {text}"
        );
    }
}

#[tokio::test]
async fn what_strangers_wrote_is_text() {
    let hostile = "<script>alert(1)</script>\u{202e}";
    let rack = RackName::new("r0").unwrap();
    let slot: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
    let event = |seconds, fact| Event {
        time: slot + jiff::SignedDuration::from_secs(seconds),
        rack: rack.clone(),
        cycle: CycleId::of_slot(&rack, slot),
        fact,
    };
    let by_hand = Fact::CycleStarted {
        origin: model::cycle::Origin::Manual {
            by: Some(hostile.into()),
            reason: Some(hostile.into()),
        },
    };
    let failed = Fact::CycleFailed {
        attempts: 1,
        cause: hostile.into(),
        message: hostile.into(),
    };
    let dashboard = Dashboard::start(&[event(0, by_hand), event(1, failed)]).await;
    let cycle = format!("/cycles/{}", CycleId::of_slot(&rack, slot));
    for path in [
        "/",
        "/racks/r0",
        &cycle,
        "/now",
        "/?q=%3Cscript%3Ealert(1)%3C/script%3E",
    ] {
        let page = dashboard.page(path).await;
        assert!(!page.contains("<script>"), "{path}");
        assert!(page.contains("&lt;script&gt;"), "{path}");
    }
}

#[tokio::test]
async fn every_answer_allows_nothing_from_elsewhere() {
    let dashboard = Dashboard::told(8).await;
    let mut policies = BTreeSet::new();
    for path in [
        "/",
        "/api/v1/fleet",
        "/assets/live.js",
        "/healthz",
        "/nothing",
    ] {
        let answer = dashboard.get(path).await;
        let policy = answer.headers()[CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{path}");
        assert_eq!(
            answer.headers()["x-content-type-options"],
            "nosniff",
            "{path}"
        );
        policies.insert(policy);
    }
    assert_eq!(policies.len(), 1);
    let page = dashboard.page("/").await;
    assert!(!page.contains(" style=") && !page.contains(" onclick="));

    let url = format!("http://{}/api/v1/fleet", dashboard.address);
    let under_another_name = dashboard.client.get(url).header(HOST, "evil.example");
    let answer = under_another_name.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn without_a_token_nobody_reads_anything() {
    let dashboard = Dashboard::start_for(&Teller::new(10).story(SIZE), false).await;
    let tokens = &dashboard.tokens;
    let url = |path: &str| format!("http://{}{path}", dashboard.address);

    for path in [
        "/",
        "/racks/r0",
        "/now?kind=job.finished",
        "/system",
        "/nothing",
    ] {
        let answer = dashboard.get(path).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        let to = answer.headers()[LOCATION].to_str().unwrap();
        assert!(to.starts_with("/login?next=%2F"), "{to}");
        assert!(answer.text().await.unwrap().is_empty());
    }
    for path in ["/api/v1/fleet", "/api/v1/nothing", "/metrics"] {
        let says = dashboard.problem(path, StatusCode::UNAUTHORIZED).await;
        assert!(says.contains("racktick dashboard token add"), "{says}");
    }
    assert_eq!(
        dashboard.live("/").await.answer.status(),
        StatusCode::UNAUTHORIZED
    );
    assert!(
        dashboard
            .page("/login")
            .await
            .contains("racktick dashboard token add")
    );
    assert_eq!(dashboard.page("/healthz").await, "ok\n");
    assert_eq!(dashboard.page("/readyz").await, "ok\n");

    let token = tokens.add("ann", Role::Viewer, Timestamp::now()).unwrap();
    let sign_in = async |token: &str, next: &str| {
        let form = format!("token={token}&next={next}");
        let request = dashboard.client.post(url("/login")).body(form);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.send().await.unwrap()
    };
    let refused = sign_in("racktick_wrong", "/").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(!refused.headers().contains_key(SET_COOKIE));
    let elsewhere = sign_in(&token, "//evil.example").await;
    assert_eq!(elsewhere.headers()[LOCATION], "/");
    let answer = sign_in(&token, "%2Fracks%2Fr0").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[LOCATION], "/racks/r0");
    let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();

    let with = async |path: &str, name, value: &str| {
        let request = dashboard.client.get(url(path)).header(name, value);
        request.send().await.unwrap().status()
    };
    let bearer = format!("Bearer {token}");
    assert_eq!(with("/racks/r0", COOKIE, &cookie).await, StatusCode::OK);
    for path in ["/api/v1/fleet", "/metrics"] {
        assert_eq!(
            with(path, AUTHORIZATION, &bearer).await,
            StatusCode::OK,
            "{path}"
        );
        assert_eq!(with(path, COOKIE, &cookie).await, StatusCode::OK, "{path}");
    }
    tokens.remove("ann").unwrap();
    assert_eq!(
        with("/racks/r0", COOKIE, &cookie).await,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        with("/metrics", AUTHORIZATION, &bearer).await,
        StatusCode::UNAUTHORIZED
    );
}

/// The form of an action on a page: what it must bring back.
fn seal_of(page: &str) -> Option<&str> {
    let (_, after) = page.split_once("name=\"seal\" value=\"")?;
    after.split('"').next()
}

#[tokio::test]
async fn only_an_operator_acts_and_says_why() {
    let dashboard = Dashboard::start(&Teller::new(11).story(SIZE)).await;
    let rack = RackName::new("r0").unwrap();
    let every = Schedule::Every {
        every: Duration::from_secs(3600),
        splay: None,
    };
    let record = RackRecord::new(every, Timestamp::now());
    dashboard
        .ledger
        .racks()
        .create("r0", &record)
        .await
        .unwrap();
    dashboard.schedules.send_modify(|schedules| {
        schedules.racks.insert(rack.clone(), record);
    });
    let url = |path: &str| format!("http://{}{path}", dashboard.address);
    let token = |name: &str, role| dashboard.tokens.add(name, role, Timestamp::now()).unwrap();
    let (viewer, operator) = (token("vic", Role::Viewer), token("olga", Role::Operator));
    let page = async |token: &str| {
        let request = dashboard.client.get(url("/racks/r0")).bearer_auth(token);
        request.send().await.unwrap().text().await.unwrap()
    };
    let act = async |token: &str, what: &str, seal: &str, reason: &str, origin: &str| {
        let form = format!("seal={seal}&reason={reason}");
        let request = dashboard.client.post(url(&format!("/racks/r0/{what}")));
        let request = request
            .bearer_auth(token)
            .header("origin", origin)
            .body(form);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.send().await.unwrap()
    };
    let here = url("");
    let paused = async || {
        let record = dashboard.ledger.rack(&rack).await.unwrap().unwrap();
        record.paused
    };

    assert_eq!(seal_of(&dashboard.page("/racks/r0").await), None);
    let of_viewer = page(&viewer).await;
    assert!(of_viewer.contains("vic") && seal_of(&of_viewer).is_none());
    let of_operator = page(&operator).await;
    let seal = seal_of(&of_operator).unwrap();
    assert!(of_operator.contains("Tick now") && of_operator.contains("Pause schedule"));

    for (token, seal, reason, origin, status) in [
        ("", seal, "broken", here.as_str(), StatusCode::FORBIDDEN),
        (&viewer, seal, "broken", &here, StatusCode::FORBIDDEN),
        (&operator, "guessed", "broken", &here, StatusCode::FORBIDDEN),
        (
            &operator,
            seal,
            "broken",
            "http://evil.example",
            StatusCode::FORBIDDEN,
        ),
        (&operator, seal, "++", &here, StatusCode::BAD_REQUEST),
    ] {
        for what in ["tick", "pause", "resume"] {
            let answer = act(token, what, seal, reason, origin).await;
            assert_eq!(answer.status(), status, "{what} by `{token}` from {origin}");
        }
    }
    assert_eq!(paused().await, None);

    let answer = act(&operator, "pause", seal, "broken+switch", &here).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()[LOCATION], "/racks/r0");
    let pause = paused().await.unwrap();
    assert_eq!(
        (pause.by.as_str(), pause.why.as_str()),
        ("olga", "broken switch")
    );
    act(&operator, "resume", seal, "mended", &here).await;
    assert_eq!(paused().await, None);

    let bus = dashboard.ledger.bus();
    let ticked = async |number| bus.message(stream::RACK, number).await.unwrap();
    assert!(ticked(1).await.is_none());
    act(&operator, "tick", seal, "after+the+repair", &here).await;
    let tick = ticked(1).await.unwrap();
    assert!(ticked(2).await.is_none());
    let tick = Tick::parse(&tick.body).unwrap();
    assert_eq!((tick.rack, tick.by.as_deref()), (rack, Some("olga")));
    assert_eq!(tick.reason.as_deref(), Some("after the repair"));
}
