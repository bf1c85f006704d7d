//! What a person at a terminal is told and asked. Python gives the program a terminal.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use std::process::Command;

use lab::{Lab, LabConfig};
use program::{Ended, Place};
use testkit::Broker;

/// Runs a program on a terminal of its own, types an answer at its question, and prints what it said.
const ON_A_TERMINAL: &str = r#"
import os, pty, sys
answer, arguments = sys.argv[1], sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execv(arguments[0], arguments)
said, answered = b"", False
while True:
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    said += piece
    if not answered and said.rstrip().endswith(b"[y/N]"):
        os.write(terminal, answer.encode() + b"\n")
        answered = True
sys.stdout.buffer.write(said)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

fn answered(place: &Place, answer: &str, arguments: &[&str]) -> Ended {
    let program = place.command(arguments);
    let mut python = Command::new("python3");
    python
        .args(["-c", ON_A_TERMINAL, answer])
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(place.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            python.env(name, value);
        }
    }
    let output = python.output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

async fn world() -> (Broker, Lab, Place) {
    let broker = Broker::start().await;
    broker.bus().await;
    let config = LabConfig {
        machines: 4,
        odd: 1,
        ..LabConfig::default()
    };
    let lab = Lab::start_on_free_port(config).await.unwrap();
    let mut place = Place::new().env("NATS_URL", broker.url());
    for (name, value) in lab::environment(lab.config(), lab.address()) {
        place = place.env(&name, value);
    }
    (broker, lab, place)
}

#[tokio::test(flavor = "multi_thread")]
async fn rack_add_says_what_will_happen_and_does_nothing_after_a_no() {
    let (_broker, _lab, place) = world().await;
    let said = answered(&place, "n", &["rack", "add", "r1", "--every", "6h"])
        .with_code(1)
        .stdout;
    for wanted in [
        "a first cycle begins at once: 3 machines would be deployed, over 1h; 1 skipped: no_agent 1",
        "Add rack r1? [y/N]",
        "nothing was done",
    ] {
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    assert_eq!(place.json(&["rack", "list"]).as_array().unwrap().len(), 0);
    answered(
        &place,
        "y",
        &["rack", "add", "r1", "--every", "6h", "--first", "slot"],
    )
    .with_code(0);
    assert_eq!(place.json(&["rack", "list"]).as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tick_and_cancel_ask_and_yes_does_not() {
    let (_broker, lab, place) = world().await;
    let said = answered(&place, "", &["tick", "r1", "--spread", "0"])
        .with_code(1)
        .stdout;
    assert!(
        said.contains("3 machines would be deployed, at once; 1 skipped: no_agent 1"),
        "{said}"
    );
    let worker = place.start(&["worker"]);
    let said = answered(&place, "n", &["tick", "r1", "--yes", "--spread", "0"])
        .with_code(0)
        .stdout;
    assert!(!said.contains("[y/N]"), "{said}");
    drop(worker);
    let said = answered(&place, "n", &["cancel", "r1"]).with_code(1).stdout;
    assert!(
        said.contains("the jobs of 3 machines would be cancelled"),
        "{said}"
    );
    assert!(lab.jobs().iter().all(|job| job.state != "cancelled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_found_out_is_said_and_does_not_keep_a_person_from_going_on() {
    let (broker, _lab, _) = world().await;
    let place = Place::new().env("NATS_URL", broker.url());
    let said = answered(&place, "y", &["rack", "add", "r1", "--first", "slot"])
        .with_code(0)
        .stdout;
    assert!(
        said.contains("what it would do cannot be said: MAAS_URL is not set"),
        "{said}"
    );
}
