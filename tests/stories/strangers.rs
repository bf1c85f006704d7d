//! Names and words of MAAS, Testflinger and the broker that a terminal would obey.

use serde_json::{Value, json};
use testkit::until;
use testkit::wire::{self, Request, Step, Wire};
use tests::{SOON, System, nats};

/// Clears the screen, sets the title, writes backwards, and makes up a row.
const NAMES: [&str; 3] = [
    "m1\u{1b}[2J",
    "m2\nm9  deploy  -  -",
    "m3\u{9b}31m\u{202e}\u{1b}]0;title\u{7}",
];

/// A MAAS and a Testflinger that say the worst that JSON can hold.
fn answer(request: &Request) -> Vec<Step> {
    let target = request.line.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let agent = |name: &str| {
        json!({"name": name, "state": "waiting", "queues": [name], "location": "TOR3",
               "comment": "\u{1b}[31m", "updated_at": jiff::Timestamp::now()})
    };
    let body = match path {
        "/MAAS/api/2.0/version/" => json!({"version": "3.5\u{1b}[2J"}),
        "/MAAS/api/2.0/users/" => json!({"username": "me\u{1b}[31m", "is_superuser": false}),
        "/MAAS/api/2.0/machines/" => json!([
            {"hostname": NAMES[0], "system_id": "a\u{1b}c", "status": 4, "status_name": "Ready\u{7}"},
            {"hostname": NAMES[1], "system_id": "b", "status": 6, "status_name": "Deployed",
             "owner": "ann\u{1b}[31m\r\nm9  deploy"},
            {"hostname": NAMES[2], "system_id": "c", "status": 4, "status_name": "Ready"},
        ]),
        "/v1" => return vec![Step::Send(text("Testflinger Server \u{1b}[2Jv1"))],
        "/v1/agents/data" => Value::Array(
            NAMES[..2]
                .iter()
                .chain(&["stranger\u{1b}[5m"])
                .map(|name| agent(name))
                .chain([
                    json!({"name": NAMES[2], "state": "waiting", "queues": [NAMES[2]],
                           "location": "TOR\u{1b}[31m3\u{202e}", "updated_at": jiff::Timestamp::now()}),
                ])
                .collect(),
        ),
        "/v1/job" => {
            let job: Value = serde_json::from_str(&request.body).unwrap();
            json!({"job_id": job["job_id"]})
        }
        path if path.starts_with("/v1/result/") => json!({
            "job_state": "com\u{1b}[2Jplete", "provision_status": 0,
            "device_info": {"name": "\u{1b}[31mred"}
        }),
        path if path.starts_with("/v1/agents/data/") => agent(NAMES[0]),
        _ => {
            return vec![Step::Send(
                wire::answer("404 Not Found", "", "\u{1b}[2Jno").into(),
            )];
        }
    };
    vec![Step::Send(wire::json(&body.to_string()).into())]
}

fn text(body: &str) -> Vec<u8> {
    wire::answer("200 OK", "content-type: text/plain\r\n", body).into()
}

/// Everything but line ends is shown by a terminal, and nothing is obeyed.
fn assert_plain(what: &str, text: &str) {
    let bad = text.chars().find(|character| {
        (character.is_control() && *character != '\n')
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
    });
    assert_eq!(bad, None, "{what} prints {text:?}");
}

#[tokio::test]
async fn what_strangers_say_never_moves_the_cursor_of_whoever_looks() {
    let wire = Wire::start(answer).await;
    let mut system = System::start(&["--racks", "1", "--machines", "1", "--speed", "300"]).await;
    system.set("MAAS_URL", &format!("{}/MAAS", wire.url()));
    system.set("TESTFLINGER_SERVER", &wire.url());
    system.set("TESTFLINGER_CLIENT_ID", "");
    system.set("TESTFLINGER_SECRET_KEY", "");
    system.set("RACKTICK_LOG", "trace");
    system.add_rack("r1").await;
    let worker = system.worker("w1");
    system.set("RACKTICK_LOG_FORMAT", "json");
    let other = system.worker("w2");
    for _ in 0..2 {
        system.tick(b"r1").await;
    }
    // Not racktick's: a body that is no event, and one that is no tick.
    let event = b"\x1b[2J\n[#9] Received on \"event.job.r1.m1.finished\"\n\xc2\x9b\xff";
    nats::publish(&system.broker.url(), "event.job.r1.m1.finished", event).await;
    let letter = "\u{1b}]0;title\u{7}\u{202e}r1";
    system.tick(letter.as_bytes()).await;
    system
        .tick(b"{\"rack\": \"r1\", \"spread\": \"\x1b[2J\"}")
        .await;
    system.tick("{\"rack\": \"r\u{9b}1\"}".as_bytes()).await;
    until(
        SOON,
        "the dead letters, and a job that is watched",
        async || {
            let watched = system
                .bus
                .subjects("EVENTS", "event.job.r1.*.progressed")
                .await;
            system.dead_letters().await.len() >= 3 && !watched.unwrap().is_empty()
        },
    )
    .await;

    let letters: Vec<String> = system
        .dead_letters()
        .await
        .iter()
        .map(|kept| kept.sequence.to_string())
        .collect();
    let mut commands = vec![
        vec!["plan", "r1"],
        vec!["status"],
        vec!["events"],
        vec!["rack", "show", "r1"],
        vec!["rack", "list"],
        vec!["doctor"],
        vec!["dlq", "list"],
        vec!["tick", "r1", "--yes"],
    ];
    commands.extend(letters.iter().map(|number| vec!["dlq", "show", number]));
    for command in &commands {
        for format in ["table", "json"] {
            let arguments = [command.as_slice(), &["--output", format]].concat();
            let ended = system.try_run(&arguments).await;
            assert!(!ended.stdout.is_empty(), "{arguments:?}: {ended:?}");
            assert_plain(&arguments.join(" "), &ended.stdout);
            assert_plain(&arguments.join(" "), &ended.stderr);
        }
    }
    // They were there, and can be told from those that they look like.
    let plan = system.run(&["plan", "r1"]).await;
    assert_eq!(plan.lines().count(), 1 + NAMES.len(), "{plan}");
    assert!(
        plan.contains("m1\\u001b[2J") && plan.contains("m2\\u000am9  deploy"),
        "{plan}"
    );
    assert!(plan.contains("TOR\\u001b[31m3\\u202e"), "{plan}");
    let plan = system.json(&["plan", "r1"]).await;
    assert_eq!(plan[0]["machine"], NAMES[0]);
    for mut worker in [worker, other] {
        worker.kill_9().await;
        assert_plain(worker.name(), &worker.log());
    }
    let events = system.run(&["events"]).await;
    let heads = events.lines().filter(|line| line.starts_with("[#")).count();
    let stored = system.json_lines(&["events"]).await;
    assert_eq!(heads, stored.len(), "{events}");
}
