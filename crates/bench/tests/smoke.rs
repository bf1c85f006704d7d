//! The bench itself: a tiny run is right in every count. Times are never looked at.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use serde_json::Value;

#[test]
fn a_tiny_run_gives_every_machine_its_job_and_counts_every_request() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("figures.json");
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["--racks", "1", "--machines", "5", "--rounds", "1", "--json"])
        .arg(&json)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("exactly one job in every run"), "{said}");

    let figures: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let pair = &figures["cycles"][0]["pairs"][0];
    for (run, name) in [(&pair["plain"], "loop"), (&pair["racktick"], "racktick")] {
        assert_eq!(run["jobs"], 5, "{name}");
        assert_eq!(run["wrong"], Value::Array(vec![]), "{name}");
        for (endpoint, count) in [
            ("POST /v1/job", 5),
            ("GET /v1/result/{}", 15),
            ("GET /v1/agents/data", 1),
            ("GET /MAAS/api/2.0/machines/", 1),
        ] {
            assert_eq!(run["requests"][endpoint], count, "{name}: {endpoint}");
        }
    }
}

/// Days of two seconds, in which no machine can do four cycles: the run tells so, beside everything that it saw.
#[test]
fn days_that_are_too_short_are_no_result() {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["--days", "3", "--kept-days", "1", "--speed", "43200"])
        .args(["--racks", "1", "--machines", "5", "--output", "json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}\n{log}");

    let life: Value = serde_json::from_slice(&output.stdout).unwrap();
    let wrong = life["wrong"].as_array().unwrap();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    let wrong = wrong[0].as_str().unwrap();
    assert!(wrong.contains("too slow for --speed 43200"), "{wrong}");
    assert!(life["jobs"].as_u64().unwrap() > 0, "{said}");
    let days = life["samples"].as_array().unwrap();
    assert_eq!(days.len(), 5, "one to fill, one more, three that count");
    for day in days {
        for held in ["disk", "broker", "worker", "scheduler"] {
            assert!(day[held].as_u64().unwrap() > 0, "{day}");
        }
        assert!(
            day["streams"]["EVENTS"]["messages"].as_u64().unwrap() > 0,
            "{day}"
        );
    }
    assert_eq!(life["measured"].as_array().unwrap().len(), 6, "{said}");
}
