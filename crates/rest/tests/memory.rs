#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Alone in its process, because it measures the memory of the process.

use rest::{Deadline, Http, Limits, List, Root, Settings};
use testkit::wire::{Step, Wire};

#[tokio::test]
async fn a_list_of_50_mb_costs_what_is_kept_of_it() {
    #[derive(serde::Deserialize)]
    struct Name {
        name: String,
    }
    // 3,334 elements of 15 KB, the size of a real machine.
    let element = format!(
        r#",{{"other": [{}1], "name": "n", "log": "{}"}}"#,
        "{\"a\": 1}, ".repeat(500),
        "y".repeat(10_000)
    );
    let first = r#"[{"name": "n"}"#;
    let length = first.len() + 3333 * element.len() + 1;
    let wire = Wire::start(move |_| {
        vec![
            Step::Send(
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{first}").into_bytes(),
            ),
            Step::Times(3333, element.clone().into_bytes()),
            Step::Send(b"]".to_vec()),
        ]
    })
    .await;
    assert!(length > 50_000_000);
    let root = Root::parse(&wire.url()).unwrap();
    let http = Http::new(Settings {
        root,
        limits: Limits::default(),
        ca: None,
        secrets: Vec::new(),
    })
    .unwrap();
    let before = peak_memory();
    let answer = http
        .send(
            "a",
            http.get(&["a"]),
            Deadline::after(http.limits().list_total),
        )
        .await
        .unwrap();
    let List(names) = answer
        .json::<List<Name>>(http.limits().list_bytes)
        .await
        .unwrap();
    assert_eq!(names.len(), 3334);
    assert!(names.iter().all(|name| name.name == "n"));
    let grown = peak_memory() - before;
    assert!(grown < 24 << 10, "the peak grew by {grown} KB");
}

/// The most memory this process ever had, in KB. Linux tells; elsewhere the check is void.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
