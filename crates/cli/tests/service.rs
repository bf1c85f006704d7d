//! What a role tells of itself: to systemd, read from a notification socket as systemd has it; to Prometheus; to a
//! collector of traces.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;
mod world;

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

use lab::LabConfig;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use program::{Place, Running};
use prost::Message;
use testkit::{Broker, until};
use world::{SOON, World};

/// A notification socket, and the states that came in so far.
struct Manager {
    socket: UnixDatagram,
    states: Vec<String>,
}

impl Manager {
    fn beside(place: &Place) -> Self {
        let socket = UnixDatagram::bind(place.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        let states = Vec::new();
        Self { socket, states }
    }

    fn states(&mut self) -> &[String] {
        let mut datagram = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut datagram) {
            let text = std::str::from_utf8(&datagram[..length]).unwrap();
            self.states.extend(text.lines().map(str::to_owned));
        }
        &self.states
    }

    fn count(&mut self, state: &str) -> usize {
        self.states().iter().filter(|said| *said == state).count()
    }
}

async fn is_told(role: &[&str], broker: &Broker) {
    let place = Place::new()
        .env("NATS_URL", broker.url())
        .env("MAAS_URL", "http://127.0.0.1:9/MAAS")
        .env("MAAS_API_KEY", "a:b:c")
        .env("TESTFLINGER_SERVER", "http://127.0.0.1:9")
        .env("NOTIFY_SOCKET", "notify")
        .env("WATCHDOG_USEC", 100_000);
    let mut manager = Manager::beside(&place);
    let mut running = place.start(role);
    until(SOON, "it is ready and alive", async || {
        manager.count("READY=1") == 1 && manager.count("WATCHDOG=1") >= 3
    })
    .await;
    assert_eq!(manager.states()[0], "READY=1", "nothing before it");
    assert_eq!(manager.count("STOPPING=1"), 0);
    running.signal("TERM");
    until(SOON, "it ends by itself", async || {
        running.code() == Some(0)
    })
    .await;
    assert_eq!(manager.count("STOPPING=1"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_says_that_it_is_ready_alive_and_stopping() {
    let broker = Broker::start().await;
    tokio::join!(
        is_told(&["scheduler"], &broker),
        is_told(&["worker"], &broker),
        is_told(&["dashboard", "--listen", "127.0.0.1:0"], &broker)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_a_broker_is_not_ready() {
    let place = Place::new()
        .env("NATS_URL", "nats://127.0.0.1:9")
        .env("NOTIFY_SOCKET", "notify");
    let mut manager = Manager::beside(&place);
    let mut running = place.start(&["scheduler"]);
    until(SOON, "it waits for the broker", async || {
        running.catches(15)
    })
    .await;
    running.signal("TERM");
    until(SOON, "it ends by itself", async || running.code().is_some()).await;
    assert_eq!(manager.states(), ["STOPPING=1"]);
}

/// Starts a role with its log in a file, and returns where it tells its metrics.
async fn with_metrics(place: &Place, role: &str) -> (Running, String) {
    let log = place.path().join(format!("{role}.log"));
    let mut command = place.command(&[role, "--set", "metrics.listen=127.0.0.1:0"]);
    command.stderr(std::fs::File::create(&log).unwrap());
    let running = Running::of(command.spawn().unwrap());
    let mut address = None;
    until(SOON, "the log says where metrics are", async || {
        let text = std::fs::read_to_string(&log).unwrap();
        address = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find(|line| line["message"] == "metrics are served")
            .map(|line| line["address"].as_str().unwrap().to_owned());
        address.is_some()
    })
    .await;
    (running, format!("http://{}", address.unwrap()))
}

async fn get(url: &str, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{url}{path}")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// The value of a series; zero when it is not there yet.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0.0, |line| line.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_and_a_scheduler_tell_what_they_did() {
    let world = World::env(LabConfig::default(), "RACKTICK_LOG", "info").await;
    let place = &world.place;
    let ((_scheduler, scheduler), (_worker, worker)) = tokio::join!(
        with_metrics(place, "scheduler"),
        with_metrics(place, "worker")
    );
    place
        .run(&[
            "rack", "add", "r1", "--every", "6h", "--policy", "spread=0", "--yes",
        ])
        .with_code(0);
    let finished = world.until_finished("r1").await;
    assert!(finished.contains("passed 3"), "{finished}");
    let (_, text) = get(&worker, "/metrics").await;
    for (series, wanted) in [
        (
            "racktick_decisions_total{rack=\"r1\",reason=\"deploy\"}",
            3.0,
        ),
        ("racktick_jobs_total{rack=\"r1\",verdict=\"passed\"}", 3.0),
        ("racktick_jobs_submitted_total{rack=\"r1\"}", 3.0),
        (
            "racktick_job_duration_seconds_count{verdict=\"passed\"}",
            3.0,
        ),
        ("racktick_tick_to_job_seconds_count", 3.0),
        (
            "racktick_task_duration_seconds_count{kind=\"submit\",outcome=\"done\"}",
            3.0,
        ),
        (
            "racktick_http_request_duration_seconds_count{remote=\"maas\",endpoint=\"machines\",class=\"2xx\"}",
            1.0,
        ),
        ("racktick_broker_connected", 1.0),
    ] {
        assert_eq!(value(&text, series), wanted, "{series} in {text}");
    }
    let phases = "racktick_job_phase_duration_seconds_count{phase=\"provision\"}";
    assert!(value(&text, phases) > 0.0, "{text}");
    until(SOON, "four slots are armed", async || {
        let (_, text) = get(&scheduler, "/metrics").await;
        value(&text, "racktick_slots_armed") == 4.0
    })
    .await;
    for url in [&worker, &scheduler] {
        assert_eq!(get(url, "/healthz").await, (200, "ok\n".into()));
        assert_eq!(get(url, "/readyz").await, (200, "ok\n".into()));
    }
    let log = std::fs::read_to_string(place.path().join("worker.log")).unwrap();
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
    }
    drop(world.broker);
    until(SOON, "nobody is ready without a broker", async || {
        get(&worker, "/readyz").await.0 == 503 && get(&scheduler, "/readyz").await.0 == 503
    })
    .await;
    assert_eq!(get(&worker, "/healthz").await.0, 200);
    let (_, text) = get(&worker, "/metrics").await;
    assert_eq!(value(&text, "racktick_broker_connected"), 0.0, "{text}");
}

#[test]
fn metrics_that_cannot_be_served_are_an_error_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new().env("RACKTICK_METRICS_LISTEN", &address);
    let ended = place.run(&["scheduler"]).with_code(1);
    let said = format!("metrics cannot be served on {address}: set RACKTICK_METRICS_LISTEN");
    assert!(ended.stderr.contains(&said), "{ended:?}");
    let place = Place::new().env("RACKTICK_METRICS_LISTEN", "9464");
    let ended = place.run(&["scheduler"]).with_code(78);
    assert!(
        ended.stderr.contains("write an address and a port"),
        "{ended:?}"
    );
}

/// A collector that takes spans over OTLP; each with the name of the service that sent it.
async fn collector() -> (String, Arc<Mutex<Vec<(String, Span)>>>) {
    let spans = Arc::<Mutex<Vec<(String, Span)>>>::default();
    let seen = spans.clone();
    let take = async move |body: axum::body::Bytes| {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        for of_service in request.resource_spans {
            let attributes = of_service.resource.unwrap().attributes;
            let service = text(&attributes, "service.name").unwrap();
            for scope in of_service.scope_spans {
                let spans = scope.spans.into_iter().map(|span| (service.clone(), span));
                seen.lock().unwrap().extend(spans);
            }
        }
    };
    let routes = axum::Router::new().route("/v1/traces", axum::routing::post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, spans)
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?;
    match value.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_tick_to_the_verdict_across_processes() {
    let (url, spans) = collector().await;
    let mut world = World::new(LabConfig::default()).await;
    // As every other setting, this one may stand there.
    let said = format!("OTEL_EXPORTER_OTLP_ENDPOINT={url}\nOTEL_SERVICE_NAME=somebody\n");
    world.place = world.place.file(".env", &said);
    let start = |service: &str, only: &str| {
        let mut command = world.place.command(&["worker", "--only", only]);
        command.env("OTEL_SERVICE_NAME", service);
        Running::of(command.spawn().unwrap())
    };
    let (_first, _second) = (start("ticks", "tick"), start("jobs", "submit,watch"));
    let ticked = world
        .place
        .run(&["tick", "r1", "--spread", "0"])
        .with_code(0);
    assert!(
        world.until_finished("r1").await.contains("passed 3"),
        "{ticked:?}"
    );
    until(SOON, "the whole cycle is told", async || {
        let spans = spans.lock().unwrap();
        let count = |name: &str| spans.iter().filter(|(_, span)| span.name == name).count();
        let cycles = (count("publish"), count("cycle"), count("tick"));
        (cycles, count("job"), count("submit")) == ((1, 1, 1), 3, 6)
    })
    .await;
    let spans = spans.lock().unwrap();
    let traces: BTreeSet<_> = spans.iter().map(|(_, span)| &span.trace_id).collect();
    assert_eq!(traces.len(), 1, "{spans:#?}");
    let of = |name: &str| -> Vec<&(String, Span)> {
        spans.iter().filter(|(_, span)| span.name == name).collect()
    };
    let (_, cycle) = of("cycle")[0];
    assert!(
        cycle.parent_span_id.is_empty() && cycle.end_time_unix_nano > cycle.start_time_unix_nano
    );
    for (_, job) in of("job") {
        assert_eq!(job.parent_span_id, cycle.span_id);
        assert_eq!(text(&job.attributes, "verdict").unwrap(), "passed");
    }
    let (by, published) = of("publish")[0];
    assert_eq!(
        (by.as_str(), &published.parent_span_id),
        ("somebody", &cycle.span_id)
    );
    assert_eq!(published.kind, SpanKind::Producer as i32);
    assert_eq!(text(&published.attributes, "outcome").unwrap(), "stored");
    assert_eq!(of("tick")[0].0, "ticks");
    assert!(of("watch").len() >= 3 && of("watch").iter().all(|(service, _)| service == "jobs"));
    // A call is a part of the task that made it.
    let (_, machines) = of("machines")[0];
    assert_eq!(machines.parent_span_id, of("tick")[0].1.span_id);
    assert_eq!(text(&machines.attributes, "outcome").unwrap(), "2xx");
    let (calls, tasks): (Vec<_>, Vec<_>) = of("submit")
        .into_iter()
        .partition(|(_, span)| span.kind == SpanKind::Client as i32);
    for (_, call) in calls {
        let parent = tasks
            .iter()
            .find(|(_, task)| task.span_id == call.parent_span_id);
        let (_, task) = parent.expect("a submit's call is within the submit");
        assert_eq!(task.parent_span_id, cycle.span_id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_hinders_nothing() {
    let world = World::env(
        LabConfig::default(),
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "http://127.0.0.1:9",
    )
    .await;
    let mut worker = world.worker();
    world
        .place
        .run(&["tick", "r1", "--spread", "0"])
        .with_code(0);
    assert!(world.until_finished("r1").await.contains("passed 3"));
    worker.signal("TERM");
    until(SOON, "it ends by itself", async || worker.code() == Some(0)).await;
    // One that takes connections and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let place = Place::new()
        .env("NATS_URL", world.broker.url())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", silent);
    let ticked = place.run(&["tick", "r1", "--wait", "0"]).with_code(0);
    let lost = "the collector did not take the last traces within 500ms: they are lost";
    assert!(ticked.stderr.contains(lost), "{ticked:?}");
    let none = place.run(&["rack", "list"]).with_code(0);
    assert!(!none.stderr.contains("traces"), "{none:?}");
    let place = Place::new()
        .env("MAAS_URL", "http://127.0.0.1:9/MAAS")
        .env("MAAS_API_KEY", "a:b:c")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "not an address");
    let ended = place.run(&["worker"]).with_code(1);
    assert!(
        ended.stderr.contains("OTEL_EXPORTER_OTLP_ENDPOINT"),
        "{ended:?}"
    );
}
