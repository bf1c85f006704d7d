//! The demo: by itself, past every trap, and without leaving anything behind.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use program::{Place, Running};
use testkit::until;

/// More than a pause between two lines of the story.
const SOON: Duration = Duration::from_secs(60);

/// A demo with the broker that the tests use, so that nothing is fetched.
fn with_server(arguments: &[&str]) -> Vec<String> {
    let chosen = std::env::var("RACKTICK_TEST_NATS_SERVER")
        .ok()
        .map(Into::into);
    let server = chosen.unwrap_or_else(|| {
        let cache = testkit::workspace().join(".cache");
        broker::Binary::find(&cache).unwrap().path().to_owned()
    });
    let flags = ["demo", "--nats-server", server.to_str().unwrap()];
    flags
        .iter()
        .chain(arguments)
        .map(|text| (*text).to_owned())
        .collect()
}

/// A place in which everything that a demo must not look at is a trap: an address at which a listener of this test
/// waits for whoever falls in.
fn trapped(trap: &str) -> Place {
    let context = format!(r#"{{"url": "nats://{trap}"}}"#);
    let place = Place::new()
        .file(
            ".env",
            &format!("MAAS_URL=http://{trap}/MAAS\nRACKTICK_SPEED=no number\nBROKEN LINE\n"),
        )
        .file("racktick.toml", "this = is [no TOML")
        .file("config/nats/context/trap.json", &context)
        .file("config/nats/context.txt", "trap");
    let config = place.path().join("config");
    let mut place = place.env("XDG_CONFIG_HOME", config.display());
    for (name, value) in [
        ("MAAS_URL", format!("http://{trap}/MAAS")),
        ("MAAS_API_KEY", "no key".into()),
        ("MAAS_API_KEY_FILE", "/nonexistent".into()),
        ("TESTFLINGER_SERVER", format!("http://{trap}")),
        ("TESTFLINGER_CLIENT_ID", "trap".into()),
        ("NATS_URL", format!("nats://{trap}")),
        ("NATS_CREDS", "/nonexistent".into()),
        ("NATS_NKEY", "/nonexistent".into()),
        ("NATS_CONTEXT", "trap".into()),
        ("RACKTICK_CONFIG", "/nonexistent".into()),
        ("RACKTICK_SPEED", "no number".into()),
        ("RACKTICK_ADHOC_RACKS", "false".into()),
        ("RACKTICK_ONLY", "nothing".into()),
        ("RACKTICK_MIN_EVERY", "1000h".into()),
    ] {
        place = place.env(name, value);
    }
    place
}

/// Processes that run in a folder or below it.
fn processes_in(folder: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let here = processes.filter(|process| {
        std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    });
    here.filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok())
        .map(|line| line.replace('\0', " "))
        .filter(|line| !line.is_empty())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_of_some_cycles_ends_by_itself_and_falls_into_no_trap() {
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let place = trapped(&trap.local_addr().unwrap().to_string());
    let folder = place.path().to_owned();
    let place = place.env("TMPDIR", folder.display());
    let arguments = with_server(&["--cycles", "1"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = tokio::task::spawn_blocking({
        let mut command = place.command(&arguments);
        move || command.output().unwrap()
    })
    .await
    .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr),
    );
    assert!(ended.status.success(), "{stdout}\n{stderr}");
    for wanted in [
        "decided: deploy 5 machines",
        "left alone: no_agent",
        "submitted",
        "finished after",
        "jobs sent twice: 0",
    ] {
        assert!(stdout.contains(wanted), "{wanted} in {stdout}");
    }
    assert!(
        stderr.contains("\ndashboard   http://127.0.0.1:"),
        "{stderr}"
    );
    assert!(
        trap.accept().is_err(),
        "the demo talked to something that it did not start"
    );
    assert_eq!(processes_in(&folder), Vec::<String>::new());
    let left: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with("racktick-demo")),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_demos_run_side_by_side_and_leave_nothing_running_however_they_end() {
    let mut demos = Vec::new();
    for _ in 0..2 {
        let place = Place::new();
        let folder = place.path().to_owned();
        let place = place.env("TMPDIR", folder.display());
        let arguments = with_server(&[]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut child = place
            .command(&arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut story = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        story.read_line(&mut line).unwrap();
        assert!(line.contains("begins"), "{line}");
        demos.push((place, folder, Running::of(child), story));
    }
    let mut ways_out = ["Ctrl-C", "nobody listens"].into_iter();
    for (_place, folder, mut demo, story) in demos {
        assert!(
            processes_in(&folder).len() >= 5,
            "{:?}",
            processes_in(&folder)
        );
        let way_out = ways_out.next().unwrap();
        match way_out {
            "Ctrl-C" => demo.signal("INT"),
            _ => drop(story),
        }
        until(SOON, way_out, async || demo.code() == Some(0)).await;
        until(SOON, "nothing is left", async || {
            processes_in(&folder).is_empty()
        })
        .await;
    }
}
