//! `docs/reason-codes.md` says what the program says.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use model::cycle::MissedCause;
use model::outcome::{FailCause, LostCause, SkipReason};
use serde::Serialize;

const PAGE: &str = include_str!("../../../docs/reason-codes.md");

/// The cells of the rows of the table under a heading.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn code(word: impl Serialize) -> String {
    format!(
        "`{}`",
        serde_json::to_value(word).unwrap().as_str().unwrap()
    )
}

#[test]
fn every_skip_reason_is_there_in_order_with_its_meaning_and_what_to_do() {
    let rows = table("Skipped machines");
    assert_eq!(rows.len(), SkipReason::ALL.len());
    for (row, reason) in rows.iter().zip(SkipReason::ALL) {
        assert_eq!(row[0], code(reason));
        assert_eq!(row[1], reason.meaning());
        assert!(!row[3].is_empty(), "{reason}");
    }
}

#[test]
fn every_cause_of_a_verdict_is_there() {
    let causes: Vec<String> = table("Failed and lost jobs")
        .iter()
        .map(|row| row[1].to_owned())
        .collect();
    let failed = [
        FailCause::Phase,
        FailCause::Killed,
        FailCause::RecoveryFailed,
        FailCause::NotProvisioned,
    ];
    let lost = [LostCause::Deadline, LostCause::Gone];
    let known: Vec<String> = failed.map(code).into_iter().chain(lost.map(code)).collect();
    assert_eq!(causes, known);
}

#[test]
fn every_cause_of_a_missed_tick_is_there() {
    let causes: Vec<String> = table("Ticks that were not run")
        .iter()
        .map(|row| row[0].to_owned())
        .collect();
    let known = [
        MissedCause::Removed,
        MissedCause::Paused,
        MissedCause::Rescheduled,
        MissedCause::Late,
    ]
    .map(code);
    assert_eq!(causes, known);
}
