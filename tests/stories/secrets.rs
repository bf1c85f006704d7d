//! No secret is ever shown. Every one that there is bears a mark, every way to fail is taken, and everything that
//! racktick prints, logs or stores is searched for the marks.

mod broker;
mod midway;

use bus::Start;
use lab::LabConfig;
use testkit::until;
use testkit::wire::{self, Request, Step, Wire};
use tests::{SOON, System};

/// Stands in every secret.
const MARK: &str = "hunter2Mark";

/// A key for MAAS with characters that are written in several ways.
const KEY: &str = "hunter2MarkConsumer:hunter2MarkToken:hunter2MarkSecret/+%\"x";

/// A secret for Testflinger of the same kind.
const CLIENT_SECRET: &str = "hunter2MarkClient/+%\"x";

/// All that was said.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    /// Runs the program and keeps what it says.
    async fn by(&mut self, system: &System, what: &str, arguments: &[&str]) -> String {
        let ended = system.try_run(arguments).await;
        let all = format!("{}\n{}", ended.stdout, ended.stderr);
        self.0
            .push((format!("{what}: {}", arguments.join(" ")), all.clone()));
        all
    }

    /// Keeps everything that is stored in the broker.
    async fn by_the_broker(&mut self, system: &System) {
        for (stream, filter) in [
            ("EVENTS", "event.>"),
            ("DLQ", "dlq.>"),
            ("KV_racks", "$KV.racks.>"),
            ("KV_machines", "$KV.machines.>"),
            ("KV_cycles", "$KV.cycles.>"),
            ("OBJ_evidence", "$O.evidence.>"),
        ] {
            let reader = system.bus.read(stream, filter, Start::All).await.unwrap();
            for stored in reader.to_end().await.unwrap() {
                let body = String::from_utf8_lossy(&stored.body);
                let text = format!("{} {:?} {body}", stored.subject, stored.headers);
                self.0.push((format!("stream {stream}"), text));
            }
        }
    }

    /// Nothing that was said holds any of these.
    fn assert_without(&self, secrets: &[&str]) {
        let shown: Vec<String> = self
            .0
            .iter()
            .flat_map(|(who, text)| text.lines().map(move |line| (who, line)))
            .filter(|(_, line)| secrets.iter().any(|secret| line.contains(secret)))
            .map(|(who, line)| format!("{who}: {line}"))
            .collect();
        assert!(shown.is_empty(), "secrets are shown:\n{}", shown.join("\n"));
    }
}

/// Basic credentials as the header carries them.
fn basic(request: &Request) -> Option<String> {
    Some(
        request
            .header("authorization")?
            .strip_prefix("Basic ")?
            .to_owned(),
    )
}

/// Everything that a careless server could give back of a request, and of what it knows.
fn echo(request: &Request) -> String {
    let header = request.header("authorization").unwrap_or_default();
    let known = match request.line.contains("/MAAS/") {
        true => KEY,
        false => CLIENT_SECRET,
    };
    format!("Expected {known}, got {header}")
}

/// The ways in which a server can fail and say too much, by the word for it in the path.
const FAILURES: &[&str] = &[
    "401", "403", "403json", "400", "404", "409", "422", "429", "500", "503html", "redirect",
    "type", "cut", "text", "name", "hangup",
];

fn failure(kind: &str, request: &Request) -> Vec<Step> {
    let echo = echo(request);
    let json =
        serde_json::json!({"message": echo, "detail": {"json": {"key": [echo]}}}).to_string();
    let answer = match kind {
        "403json" => wire::answer("403 Forbidden", "content-type: application/json\r\n", &json),
        "503html" => wire::answer("503 Unavailable", "", &format!("<html>{echo}</html>")),
        "redirect" => {
            let location = echo.replace(' ', "+");
            let header = format!("location: http://127.0.0.1:1/?{location}\r\n");
            wire::answer("302 Found", &header, &echo)
        }
        "type" => wire::json(&format!(
            "[{{\"hostname\": 1, \"name\": {}}}]",
            serde_json::json!(echo)
        )),
        "name" => {
            wire::json(&serde_json::json!({"username": [echo], "version": {"a": echo}}).to_string())
        }
        "cut" => wire::json(&json)[..60].to_owned(),
        "text" => wire::answer("200 OK", "", &echo),
        "hangup" => return vec![Step::Send(echo.into()), Step::Close],
        status => wire::answer(&format!("{status} No"), "", &json),
    };
    vec![Step::Send(answer.into()), Step::Close]
}

/// Fails as the first part of the path says.
fn answer(request: &Request) -> Vec<Step> {
    let path = request.line.split(' ').nth(1).unwrap_or_default();
    failure(path.split('/').nth(1).unwrap_or_default(), request)
}

#[tokio::test]
async fn a_server_that_repeats_our_secrets_is_not_repeated() {
    let wire = Wire::start(answer).await;
    let mut system = System::start(&["--racks", "1", "--machines", "1", "--speed", "300"]).await;
    system.set("MAAS_API_KEY", KEY);
    system.set("TESTFLINGER_CLIENT_ID", "client");
    system.set("TESTFLINGER_SECRET_KEY", CLIENT_SECRET);
    system.set("RACKTICK_LOG", "trace");
    system.add_rack("r1").await;
    let mut said = Said::default();
    let mut heard = Vec::new();
    for kind in FAILURES {
        system.set("MAAS_URL", &format!("{}/{kind}/MAAS", wire.url()));
        system.set("TESTFLINGER_SERVER", &format!("{}/{kind}", wire.url()));
        heard.push(said.by(&system, kind, &["doctor"]).await);
        said.by(&system, kind, &["plan", "r1"]).await;
        let worker = system.worker(&format!("w{kind}"));
        let before = count(&system).await;
        system.tick(b"r1").await;
        until(SOON, "the tick fails", async || {
            count(&system).await > before
        })
        .await;
        drop_worker(worker, &mut said).await;
    }
    said.by(&system, "at last", &["events"]).await;
    said.by(&system, "at last", &["status"]).await;
    said.by(&system, "at last", &["dlq", "list", "--output", "json"])
        .await;
    said.by_the_broker(&system).await;

    let basic = wire
        .requests()
        .iter()
        .find_map(basic)
        .expect("the client's secret was sent");
    let sent = wire
        .requests()
        .iter()
        .any(|request| request.head.contains("hunter2MarkSecret"));
    assert!(sent, "the key was sent");
    said.assert_without(&[MARK, &basic]);
    // What was hidden was there: the server's words are repeated otherwise.
    let repeated = heard
        .iter()
        .filter(|text| text.contains("Expected ***"))
        .count();
    assert!(repeated > 3, "{heard:#?}");
}

/// How often a tick failed.
async fn count(system: &System) -> u64 {
    let subjects = system
        .bus
        .subjects("EVENTS", "event.cycle.r1.*")
        .await
        .unwrap();
    let failed = |subject: &str| subject.ends_with("retrying") || subject.ends_with("failed");
    subjects
        .iter()
        .filter(|(subject, _)| failed(subject))
        .map(|(_, count)| count)
        .sum()
}

async fn drop_worker(mut worker: tests::Process, said: &mut Said) {
    worker.kill_9().await;
    said.0.push((worker.name().to_owned(), worker.log()));
}

#[tokio::test]
async fn what_works_shows_no_secret_either_however_much_is_logged() {
    let mut system = System::start(&["--racks", "1", "--machines", "3", "--speed", "300"]).await;
    let lab = LabConfig::default();
    let client_secret = lab.client_secret("racktick").expect("a client of the lab");
    system.set("TESTFLINGER_CLIENT_ID", "racktick");
    system.set("TESTFLINGER_SECRET_KEY", &client_secret);
    let secrets = [lab.api_key(), client_secret];
    system.set("RACKTICK_LOG", "trace");
    let address = system.broker.url().replace("nats://", "");
    system.set("NATS_URL", &format!("nats://me:{MARK}@{address}"));
    system.set("NATS_USER", "me");
    system.set("NATS_PASSWORD", MARK);
    let mut said = Said::default();
    let roles = [system.worker("w1"), system.scheduler()];
    system.add_rack("r1").await;
    for arguments in [
        &["tick", "r1", "--yes"][..],
        &["doctor"],
        &["plan", "r1"],
        &["config", "show"],
        &["config", "show", "--output", "json"],
        &["config", "check"],
        &["setup"],
        &["--help"],
        &["worker", "--help"],
    ] {
        said.by(&system, "all is well", arguments).await;
    }
    system.until_finished(1, SOON).await;
    for role in roles {
        drop_worker(role, &mut said).await;
    }
    let traced = said
        .0
        .iter()
        .any(|(who, log)| who == "w1" && log.contains("TRACE"));
    assert!(traced, "the log is as wordy as can be");
    said.by_the_broker(&system).await;
    let mut parts: Vec<&str> = secrets
        .iter()
        .flat_map(|secret| secret.split(':'))
        .collect();
    assert!(
        parts.iter().all(|part| part.len() > 8),
        "secrets that tell: {}",
        parts.len()
    );
    parts.push(MARK);
    said.assert_without(&parts);
}
