//! The dashboard as a program: who may sign in, where it listens, and how it ends.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use bus::access::Role;
use bus::topology::{Retention, Topology, setup};
use program::{Place, Running};
use reqwest::StatusCode;
use testkit::{Broker, until};

/// Longer than a program needs to start and end on a busy machine.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_token_is_told_once_and_taken_away_by_name() {
    let place = Place::new();
    let made = place
        .run(&["dashboard", "token", "add", "ann"])
        .with_code(0);
    let token = made.stdout.trim();
    assert!(
        token.starts_with("racktick_") && token.len() > 40,
        "{made:?}"
    );
    assert!(!made.stderr.contains(token) && made.stderr.contains("racktick-tokens.toml"));
    let bob = place.json(&["dashboard", "token", "add", "bob"]);
    assert_eq!(bob["name"], "bob");

    let taken = place
        .run(&["dashboard", "token", "add", "ann"])
        .with_code(1);
    assert!(
        taken.stderr.contains("there is a token of `ann` already"),
        "{taken:?}"
    );
    let listed = place.json(&["dashboard", "token", "list"]);
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["name"])
        .collect();
    assert_eq!(names, ["ann", "bob"]);
    assert!(!listed.to_string().contains("sha256"));
    place
        .run(&["dashboard", "token", "remove", "ann"])
        .with_code(0);
    let gone = place
        .run(&["dashboard", "token", "remove", "ann"])
        .with_code(1);
    assert!(
        gone.stderr.contains("there is no token of `ann`"),
        "{gone:?}"
    );
    let usage = place.run(&["dashboard", "--listen", "127.0.0.1:0", "token", "list"]);
    usage.with_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_it_listens_and_ends_when_it_is_told_to() {
    testkit::prepare();
    let broker = Broker::start().await;
    let place = Place::new().env("NATS_URL", broker.url());
    let (mut running, url) = serving(&mut place.command(&["dashboard", "--listen", "127.0.0.1:0"]));
    let client = reqwest::Client::new();
    let get = async |path: &str| client.get(format!("{url}{path}")).send().await.unwrap();
    until(SOON, "it has read all that there is", async || {
        get("/readyz").await.status() == StatusCode::OK
    })
    .await;
    assert_eq!(
        get("/api/v1/fleet").await.status(),
        StatusCode::UNAUTHORIZED
    );
    let token = place.json(&["dashboard", "token", "add", "ann"]);
    let token = token["token"].as_str().unwrap().to_owned();
    let fleet = client
        .get(format!("{url}/api/v1/fleet"))
        .bearer_auth(&token);
    assert_eq!(fleet.send().await.unwrap().status(), StatusCode::OK);

    let second = place
        .run(&["dashboard", "--listen", "127.0.0.1:0"])
        .with_code(1);
    assert!(
        second
            .stderr
            .contains("another process writes the history file racktick-history.sqlite"),
        "{second:?}"
    );
    // A page that is left open.
    let open = client.get(format!("{url}/")).bearer_auth(&token);
    let mut open = open
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert!(open.chunk().await.unwrap().is_some());
    running.signal("TERM");
    until(SOON, "it ends by itself", async || {
        running.code() == Some(0)
    })
    .await;
    assert!(place.path().join("racktick-history.sqlite").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_file_knows_is_shown_while_the_broker_is_away() {
    testkit::prepare();
    let mut broker = Broker::start().await;
    broker.kill_9().await;
    let place = Place::new()
        .env("NATS_URL", broker.url())
        .env("MAAS_URL", "http://maas.example/MAAS")
        .env("RACKTICK_DASHBOARD_PUBLIC_READ", "true");
    let (mut running, url) = serving(&mut place.command(&["dashboard", "--listen", "127.0.0.1:0"]));
    let get = async |path: &str| reqwest::get(format!("{url}{path}")).await.unwrap();

    for path in [
        "/",
        "/trends",
        "/now",
        "/system",
        "/api/v1/fleet",
        "/metrics",
    ] {
        assert_eq!(get(path).await.status(), StatusCode::OK, "{path}");
    }
    let page = get("/").await.text().await.unwrap();
    assert!(
        page.contains("was not read yet since the dashboard started"),
        "{page}"
    );
    assert_eq!(
        get("/readyz").await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    let token = place.json(&["dashboard", "token", "add", "adm", "--role", "admin"]);
    let token = token["token"].as_str().unwrap();
    let client = reqwest::Client::new();
    let forms = client.get(format!("{url}/access")).bearer_auth(token);
    let forms = forms.send().await.unwrap().text().await.unwrap();
    let (_, seal) = forms.split_once("name=\"seal\" value=\"").unwrap();
    let (seal, _) = seal.split_once('"').unwrap();
    let tick = client
        .post(format!("{url}/racks/r1/tick"))
        .bearer_auth(token)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("seal={seal}&reason=try"));
    let answer = tick.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let says = answer.text().await.unwrap();
    assert!(says.contains("the broker was not reached"), "{says}");

    broker.restart().await;
    until(SOON, "it has read all that there is", async || {
        get("/readyz").await.status() == StatusCode::OK
    })
    .await;
    running.signal("TERM");
    until(SOON, "it ends by itself", async || {
        running.code() == Some(0)
    })
    .await;
}

/// Starts a dashboard, and waits until it says where it is.
fn serving(command: &mut Command) -> (Running, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut said).unwrap();
    (Running::of(child), said.trim().to_owned())
}

/// Starts a role with its own key.
fn with_key(broker: &Broker, role: Role, arguments: &[&str]) -> (Place, Running, Option<String>) {
    let place = Place::new()
        .env("NATS_URL", broker.url())
        .env("NATS_NKEY", broker.key_file(role).display())
        .env("MAAS_URL", "http://127.0.0.1:9/MAAS")
        .env("MAAS_API_KEY", "a:b:c")
        .env("TESTFLINGER_SERVER", "http://127.0.0.1:9")
        .env("RACKTICK_DASHBOARD_PUBLIC_READ", "true");
    let mut command = place.command(arguments);
    if role == Role::Dashboard {
        let (running, url) = serving(&mut command);
        return (place, running, Some(url));
    }
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    (place, Running::of(child), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_page_shows_who_is_alive_and_who_is_not() {
    let broker = Broker::start_with_roles().await;
    let declared = Topology::declared(Retention::default());
    setup(&broker.bus_as(Role::Admin).await, &declared)
        .await
        .unwrap();
    let (_place, _dashboard, url) = with_key(
        &broker,
        Role::Dashboard,
        &["dashboard", "--listen", "127.0.0.1:0"],
    );
    let url = url.unwrap();
    let get = async |path: &str| {
        let answer = reqwest::get(format!("{url}{path}")).await.unwrap();
        answer.text().await.unwrap()
    };
    let alive = async || -> Vec<String> {
        let system =
            serde_json::from_str::<serde_json::Value>(&get("/api/v1/system").await).unwrap();
        let roles = system["roles"].as_array().cloned().unwrap_or_default();
        let name = |role: &serde_json::Value| {
            let own = role["name"].as_str().map(|name| format!(" {name}"));
            format!(
                "{}{}",
                role["role"].as_str().unwrap(),
                own.unwrap_or_default()
            )
        };
        roles.iter().map(name).collect()
    };
    until(SOON, "the dashboard finds itself alone", async || {
        alive().await == ["dashboard"]
    })
    .await;
    let page = get("/system").await;
    for missing in ["no worker answers", "no scheduler answers"] {
        assert!(page.contains(missing), "{page}");
    }
    let worker = |name| with_key(&broker, Role::Worker, &["worker", "--name", name]);
    let (_one, (_place, other, _)) = (worker("w1"), worker("w2"));
    let _scheduler = with_key(&broker, Role::Scheduler, &["scheduler"]);
    until(SOON, "everybody is there", async || {
        alive().await == ["dashboard", "scheduler", "worker w1", "worker w2"]
    })
    .await;
    let page = get("/system").await;
    assert!(!page.contains("answers"), "{page}");
    assert!(page.contains(env!("CARGO_PKG_VERSION")), "{page}");
    // As `nats micro stats` asks.
    let operator = broker.bus_as(Role::Operator).await;
    let services = operator.services(Duration::from_secs(2)).await.unwrap();
    let names: Vec<_> = services.iter().map(|alive| alive.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "racktick-dashboard",
            "racktick-scheduler",
            "racktick-worker",
            "racktick-worker"
        ]
    );
    other.signal("KILL");
    until(SOON, "the killed one is gone", async || {
        alive().await == ["dashboard", "scheduler", "worker w1"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_cannot_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    let ended = place.run(&["dashboard", "--listen", &address]).with_code(1);
    let wanted = format!("cannot listen on {address}: choose another address with --listen");
    assert!(ended.stderr.contains(&wanted), "{ended:?}");
    let ended = place.run(&["dashboard", "--listen", "8000"]).with_code(78);
    assert!(
        ended.stderr.contains("such as `127.0.0.1:8000`"),
        "{ended:?}"
    );
    let arguments = [
        "dashboard",
        "--listen",
        "127.0.0.1:0",
        "--history",
        "nowhere/h.sqlite",
    ];
    let ended = place.run(&arguments).with_code(1);
    assert!(ended.stderr.contains("nowhere/h.sqlite"), "{ended:?}");
}

#[test]
fn a_history_is_taken_out_and_put_in() {
    let place = Place::new();
    let none = place.run(&["history", "export", "out.jsonl"]).with_code(1);
    assert!(
        none.stderr
            .contains("there is no history file racktick-history.sqlite"),
        "{none:?}"
    );
    let event = r#"{"data":{"cycle":"11f8fb1b-8ae2-54fc-8f25-bf02bb7ba9d2","origin":{"kind":"slot","slot":"2026-11-28T06:00:00Z"},"rack":"r7","v":1},"id":"x","source":"/racktick/racks/r7","specversion":"1.0","time":"2026-11-28T06:00:01Z","type":"racktick.cycle.started"}"#;
    let header = r#"{"racktick_history":1,"exported_at":"2026-11-28T06:00:02Z","events":1}"#;
    std::fs::write(
        place.path().join("in.jsonl"),
        format!("{header}\n{event}\n"),
    )
    .unwrap();
    let imported = place.json(&["history", "import", "in.jsonl"]);
    assert_eq!(imported, serde_json::json!({"events": 1, "learnt": 1}));
    let again = place.run(&["history", "import", "in.jsonl"]).with_code(0);
    assert!(
        again.stderr.contains("the history did not know 0 of them"),
        "{again:?}"
    );

    let exported = place.json(&["history", "export", "out.jsonl"]);
    assert_eq!(exported["events"], 1);
    let pipe = place.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).unwrap()
    });
    place.run(&["history", "export", "pipe"]).with_code(0);
    assert!(!pipe.is_file(), "the pipe was replaced");
    assert!(
        reader
            .join()
            .unwrap()
            .starts_with("{\"racktick_history\":1,")
    );
    let told = place.run(&["history", "export"]).with_code(0);
    let written = std::fs::read_to_string(place.path().join("out.jsonl")).unwrap();
    let last = |text: &str| text.lines().last().unwrap().to_owned();
    assert_eq!(last(&told.stdout), last(&written));
    assert!(last(&written).contains("racktick.cycle.started") && written.lines().count() == 2);
    let other = place.run(&[
        "history",
        "--history",
        "other.sqlite",
        "import",
        "out.jsonl",
    ]);
    other.with_code(0);
    assert!(place.path().join("other.sqlite").is_file());

    std::fs::write(place.path().join("letter"), "dear aunt").unwrap();
    for (file, wanted) in [
        ("letter", "this is no export of a history"),
        ("nowhere", "nowhere cannot be read"),
    ] {
        let ended = place.run(&["history", "import", file]).with_code(1);
        assert!(ended.stderr.contains(wanted), "{ended:?}");
    }
}
