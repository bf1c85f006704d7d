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
