//! The command line as such: help, exit codes, and what is said when nothing is there to talk to.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use std::net::TcpListener;

use program::Place;
use testkit::until;

/// Less than a role waits for its broker.
const SOON: std::time::Duration = std::time::Duration::from_secs(20);

/// A broker's address at which nobody listens.
fn nowhere() -> String {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    format!("nats://127.0.0.1:{port}")
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let help = Place::new().run(&["--help"]).with_code(0).stdout;
    for word in [
        "scheduler",
        "worker",
        "lab",
        "demo",
        "setup",
        "rack",
        "tick",
        "cancel",
        "plan",
        "status",
        "cycle",
        "job",
        "machine",
        "why",
        "watch",
        "events",
        "dlq",
        "doctor",
        "config",
        "completions",
        "Exit codes",
        "69",
        "78",
    ] {
        assert!(help.contains(word), "{word}");
    }
}

#[test]
fn every_command_explains_itself_and_shows_no_value_of_the_environment() {
    let place = Place::new()
        .env("MAAS_API_KEY", "a:b:hunter2")
        .env("NATS_URL", "nats://me:hunter2@h");
    for command in [
        &["worker"][..],
        &["lab"],
        &["demo"],
        &["setup"],
        &["rack", "add"],
        &["rack", "list"],
        &["rack", "show"],
        &["rack", "set"],
        &["rack", "pause"],
        &["rack", "resume"],
        &["rack", "remove"],
        &["tick"],
        &["cancel"],
        &["plan"],
        &["status"],
        &["cycle"],
        &["job"],
        &["machine"],
        &["why"],
        &["watch"],
        &["events"],
        &["dlq", "list"],
        &["dlq", "show"],
        &["dlq", "replay"],
        &["dlq", "drop"],
        &["lab", "--listen", "127.0.0.1:0", "--odd", "99"],
        &["doctor"],
        &["config", "show"],
        &["config", "check"],
        &["completions"],
        &["scheduler"],
    ] {
        let ended = place.run(&[command, &["--help"]].concat()).with_code(0);
        assert!(ended.stdout.contains("Usage: racktick"), "{ended:?}");
        assert!(!ended.stdout.contains("hunter2"), "{ended:?}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_2() {
    for arguments in [
        &["tock"][..],
        &[],
        &["tick"],
        &["tick", "r 7"],
        &["rack", "add", "r.7"],
        &["rack", "add", "r7", "--every", "6"],
        &["rack", "add", "r7", "--every", "6h", "--cron", "0 6 * * *"],
        &["rack", "pause"],
        &["cancel"],
        &["cancel", "r7", "--all"],
        &["plan"],
        &["demo", "--cycles", "0"],
        &["dlq", "drop"],
        &["status", "--output", "xml"],
    ] {
        Place::new().run(arguments).with_code(2);
    }
}

#[test]
fn a_time_without_a_unit_is_refused_with_what_to_write() {
    let ended = Place::new()
        .run(&["rack", "add", "r7", "--every", "6"])
        .with_code(2);
    assert!(
        ended
            .stderr
            .contains("`6` has no unit; write `6s`, `6m` or `6h`"),
        "{ended:?}"
    );
}

#[test]
fn a_broker_that_is_not_there_ends_with_69_and_its_address() {
    let url = nowhere();
    for arguments in [
        &["status"][..],
        &["setup"],
        &["rack", "list"],
        &["tick", "r1"],
        &["events"],
        &["dlq", "list"],
    ] {
        let ended = Place::new()
            .env("NATS_URL", &url)
            .run(arguments)
            .with_code(69);
        assert!(ended.stderr.contains(&url), "{ended:?}");
        assert!(ended.stdout.is_empty(), "{ended:?}");
    }
}

#[test]
fn a_role_without_what_it_needs_says_in_one_line_which_variable_is_missing_and_ends_with_78() {
    let place = || {
        Place::new()
            .env("NATS_URL", nowhere())
            .env("MAAS_API_KEY", "")
    };
    let ended = place().run(&["worker"]).with_code(78);
    assert_eq!(
        ended.stderr,
        "racktick: MAAS_URL is not set: put it into the environment, into .env, or into racktick.toml as `maas.url`\n"
    );
    let ended = place()
        .env("MAAS_URL", "http://h/MAAS")
        .run(&["worker"])
        .with_code(78);
    assert!(
        ended
            .stderr
            .starts_with("racktick: MAAS_API_KEY is not set"),
        "{ended:?}"
    );
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

#[tokio::test]
async fn a_role_that_waits_for_its_broker_still_ends_on_a_signal() {
    let place = Place::new()
        .env("NATS_URL", nowhere())
        .env("MAAS_URL", "http://h/MAAS")
        .env("MAAS_API_KEY", "a:b:c");
    for role in ["scheduler", "worker"] {
        for (signal, number) in [("TERM", 15), ("INT", 2)] {
            let mut running = place.start(&[role]);
            until(SOON, "it listens to the signal", async || {
                running.catches(number)
            })
            .await;
            running.signal(signal);
            until(SOON, "it ends", async || running.code() == Some(0)).await;
        }
    }
}

#[test]
fn a_key_in_three_parts_is_asked_for_without_showing_the_one_given() {
    let ended = Place::new()
        .env("MAAS_URL", "http://h/MAAS")
        .env("MAAS_API_KEY", "a:hunter2")
        .run(&["worker"])
        .with_code(78);
    assert!(
        ended
            .stderr
            .contains("three: consumer key, token key and token secret"),
        "{ended:?}"
    );
    assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
}

#[test]
fn the_labs_variables_are_printed_for_a_shell_without_opening_a_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let flags = [
        "lab",
        "--print-env",
        "--listen",
        &listen,
        "--speed",
        "60",
        "--seed",
        "7",
    ];
    let first = Place::new().run(&flags).with_code(0).stdout;
    assert_eq!(first, Place::new().run(&flags).with_code(0).stdout);
    let names: Vec<&str> = first
        .lines()
        .map(|line| line.split_once('=').unwrap().0)
        .collect();
    assert_eq!(
        names,
        [
            "MAAS_URL",
            "MAAS_API_KEY",
            "TESTFLINGER_SERVER",
            "RACKTICK_SPEED"
        ]
    );
    assert!(
        first.contains(&format!("MAAS_URL=http://{listen}/MAAS/")),
        "{first}"
    );
    let other = Place::new()
        .run(&["lab", "--print-env", "--seed", "8"])
        .with_code(0)
        .stdout;
    assert_ne!(first, other);
    // A port that is taken is an error only when the lab is to listen.
    let ended = Place::new().run(&["lab", "--listen", &listen]).with_code(1);
    assert!(
        ended.stderr.contains(&format!("cannot listen on {listen}")),
        "{ended:?}"
    );
}

#[test]
fn the_labs_variables_make_a_env_file() {
    let printed = Place::new()
        .run(&["lab", "--print-env", "--speed", "60"])
        .with_code(0)
        .stdout;
    let rows = Place::new()
        .file(".env", &printed)
        .json(&["config", "show"]);
    let shown = |name: &str| {
        let row = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["name"] == name)
            .unwrap();
        (row["value"].clone(), row["source"].clone())
    };
    assert_eq!(
        shown("maas.url"),
        ("http://127.0.0.1:5240/MAAS/".into(), ".env MAAS_URL".into())
    );
    assert_eq!(shown("speed"), ("60".into(), ".env RACKTICK_SPEED".into()));
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Place::new()
            .run(&["completions", shell])
            .with_code(0)
            .stdout;
        assert!(
            script.contains("racktick") && script.contains("doctor"),
            "{shell}"
        );
    }
}
