//! MAAS, the agents and the tokens are well: what goes wrong, goes wrong with a job.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::until;
use tests::{SOON, System};

use super::{CLIENT_SECRET, FAILURES, KEY, MARK, Said, basic, echo, failure};
use testkit::wire::{self, Request, Step, Wire};

/// Of the kind that Testflinger issues, with the mark in it.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.hunter2MarkHunter2MarkHunter2Mark.signature";

/// What a job can meet: each call of its own with each failure, by the name of its machine.
const CALLS: [&str; 3] = ["post", "result", "cancel"];

/// Machines for which all goes well, with words that are kept: of a job, of the machine, of its agent.
const KEPT: [&str; 4] = ["kept-job", "kept-owner", "kept-state", "kept-place"];

fn machines() -> Vec<String> {
    let failing = CALLS
        .iter()
        .flat_map(|call| FAILURES.iter().map(move |kind| format!("{call}-{kind}")));
    failing.chain(KEPT.map(str::to_owned)).collect()
}

/// The machine of each job that was posted.
type Jobs = Arc<Mutex<BTreeMap<String, String>>>;

/// MAAS and Testflinger. The first part of a path names a call of a person that fails, and how, or `well`.
fn answer(request: &Request, jobs: &Jobs) -> Vec<Step> {
    let target = request.line.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let (mode, path) = path[1..].split_once('/').unwrap_or_default();
    let failing = |call: &str| mode.strip_prefix(call)?.strip_prefix('-');
    let job = path.split('/').nth(2).unwrap_or_default();
    let machine = jobs.lock().unwrap().get(job).cloned().unwrap_or_default();
    let job_failing = |call: &str| machine.strip_prefix(call)?.strip_prefix('-');
    let said = echo(request);
    let body = match path {
        "MAAS/api/2.0/version/" => json!({"version": said}),
        "MAAS/api/2.0/users/" => json!({"username": said}),
        "MAAS/api/2.0/machines/" => machines().iter().map(|name| in_maas(name, &said)).collect(),
        "v1/oauth2/token" => match failing("token") {
            Some(kind) => return failure(kind, request),
            None => json!({"access_token": TOKEN, "expires_in": 600}),
        },
        "v1" => {
            let text = format!("Testflinger Server {said}");
            return vec![Step::Send(wire::answer("200 OK", "", &text).into())];
        }
        "v1/agents/data" => machines().iter().map(|name| agent(name, &said)).collect(),
        "v1/job/search" => match failing("search") {
            Some(kind) => return failure(kind, request),
            None => json!([{"job_id": said, "job_state": said},
                           {"job_id": "6d0f2f6a-5c1b-5c0e-9d53-7a1e8b42c9d0", "job_state": said}]),
        },
        "v1/job" => {
            let document: Value = serde_json::from_str(&request.body).unwrap();
            let text = |field: &str| document[field].as_str().unwrap().to_owned();
            let machine = text("job_queue");
            if let Some(kind) = machine.strip_prefix("post-") {
                return failure(kind, request);
            }
            jobs.lock().unwrap().insert(text("job_id"), machine);
            json!({"job_id": document["job_id"]})
        }
        _ if path.ends_with("/action") => match job_failing("cancel") {
            Some(kind) => return failure(kind, request),
            None => return vec![Step::Send(wire::answer("200 OK", "", "OK").into())],
        },
        _ if path.starts_with("v1/result/") => match job_failing("result") {
            Some(kind) => return failure(kind, request),
            None if machine == "kept-job" => json!({
                "job_state": "complete", "provision_status": 1, "device_info": {said.clone(): [said]},
                // A machine prints what it was given, and that is not for Testflinger alone.
                "provision_output": format!("{said}\nlogged in with {KEY}\n")
            }),
            None => json!({"job_state": said}),
        },
        _ if path.starts_with("v1/agents/data/") => agent(job, &said),
        _ if path.starts_with("v1/job/") && failing("job").is_some() => {
            return failure(failing("job").unwrap_or_default(), request);
        }
        _ if path.starts_with("v1/job/") => {
            return vec![Step::Send("HTTP/1.1 204 No Content\r\n\r\n".into())];
        }
        _ => json!([]),
    };
    vec![Step::Send(wire::json(&body.to_string()).into())]
}

fn in_maas(name: &str, said: &str) -> Value {
    let (status, owner) = match name {
        "kept-owner" => (6, Some(said)),
        _ => (4, None),
    };
    json!({"hostname": name, "system_id": name, "status": status, "status_name": said, "owner": owner})
}

fn agent(name: &str, said: &str) -> Value {
    let or = |odd: &str, word: &str| {
        if name == odd {
            said.to_owned()
        } else {
            word.to_owned()
        }
    };
    json!({"name": name, "state": or("kept-state", "waiting"), "location": or("kept-place", "TOR3"),
           "comment": said, "queues": [name, said], "updated_at": jiff::Timestamp::now()})
}

#[tokio::test]
async fn what_is_said_of_a_job_is_not_repeated_either() {
    let jobs = Jobs::default();
    let wire = {
        let jobs = Arc::clone(&jobs);
        Wire::start(move |request| answer(request, &jobs)).await
    };
    let mut system = System::start(&["--racks", "1", "--machines", "1", "--speed", "300"]).await;
    system.set("MAAS_URL", &format!("{}/well/MAAS", wire.url()));
    system.set("TESTFLINGER_SERVER", &format!("{}/well", wire.url()));
    system.set("MAAS_API_KEY", KEY);
    system.set("TESTFLINGER_CLIENT_ID", "client");
    system.set("TESTFLINGER_SECRET_KEY", CLIENT_SECRET);
    system.set("RACKTICK_LOG", "trace");
    system.add_rack("r1").await;
    let mut worker = system.worker("w1");
    system.tick(b"r1").await;
    let met = |call: &str| {
        let jobs = jobs.lock().unwrap().clone();
        let requests = wire.requests();
        let met = |kind: &str| {
            let machine = format!("{call}-{kind}");
            let of_the_job = |request: &Request| match call {
                "post" => request.line.ends_with("/v1/job") && request.body.contains(&machine),
                "result" => request.line.contains("/v1/result/"),
                _ => request.line.ends_with("/action"),
            };
            let job = jobs.iter().find(|(_, name)| **name == machine);
            requests.iter().any(|request| {
                of_the_job(request)
                    && (call == "post" || job.is_some_and(|(id, _)| request.line.contains(id)))
            })
        };
        FAILURES.iter().all(|kind| met(kind))
    };
    until(SOON, "every answer to a submit and a look", async || {
        met("post") && met("result")
    })
    .await;
    until(SOON, "a job that is over", async || {
        let finished = system
            .bus
            .subjects("EVENTS", "event.job.r1.*.finished")
            .await;
        finished
            .unwrap()
            .keys()
            .any(|subject| subject.contains("kept-job"))
    })
    .await;
    let mut said = Said::default();
    said.by(&system, "jobs at work", &["cancel", "r1", "--yes"])
        .await;
    until(SOON, "every answer to a cancel", async || met("cancel")).await;
    // What is in hand is brought to an end, and logged.
    worker.terminate().await;
    worker.ended(SOON).await;
    said.0.push((worker.name().to_owned(), worker.log()));

    // What only a person asks.
    let mut asked = vec![("well".to_owned(), &["doctor"][..])];
    for kind in FAILURES {
        asked.push((format!("token-{kind}"), &["plan", "r1"]));
        asked.push((format!("search-{kind}"), &["recover", "--yes"]));
        asked.push((format!("job-{kind}"), &["recover", "--yes"]));
    }
    let mut runs = Vec::new();
    for (mode, arguments) in asked {
        let server = format!("testflinger.server={}/{mode}", wire.url());
        let arguments = [&["--set", &server], arguments].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        runs.push((mode, arguments));
    }
    for some in runs.chunks(4) {
        let ended = join_all(some.iter().map(|(_, arguments)| {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let system = &system;
            async move { system.try_run(&arguments).await }
        }));
        for ((mode, _), ended) in some.iter().zip(ended.await) {
            said.0
                .push((mode.clone(), format!("{}\n{}", ended.stdout, ended.stderr)));
        }
    }
    for arguments in [
        &["plan", "r1"][..],
        &["status"],
        &["events"],
        &["dlq", "list", "--output", "json"],
        &["recover", "--dry-run"],
    ] {
        said.by(&system, "at last", arguments).await;
    }
    said.by_the_broker(&system).await;
    let requests = wire.requests();
    for mode in ["token", "search", "job"] {
        for kind in FAILURES {
            let path = format!("/{mode}-{kind}/");
            assert!(
                requests.iter().any(|request| request.line.contains(&path)),
                "{path}"
            );
        }
    }
    let basic = requests
        .iter()
        .find_map(basic)
        .expect("the client's secret was sent");
    assert!(
        requests.iter().any(|request| request.head.contains(TOKEN)),
        "a token was sent"
    );
    said.assert_without(&[MARK, &basic]);
    // What was hidden was there, in what is stored as well.
    for (who, word) in [
        ("stream EVENTS", "finished"),
        ("stream EVENTS", "skipped"),
        ("stream KV_machines", "kept-job"),
        ("stream OBJ_evidence", "logged in with ***"),
    ] {
        let hidden = said
            .0
            .iter()
            .any(|(by, text)| by == who && text.contains(word) && text.contains("***"));
        assert!(hidden, "{who} {word}");
    }
}
