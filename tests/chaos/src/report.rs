//! What all rounds came to: the last line of the output.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::checker::{COUNTED_APART, Findings, MUST_BE_ZERO};

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    seed: u64,
    rounds: u32,
    /// How often each kind was injected.
    faults: BTreeMap<&'static str, u64>,
    must_be_zero: BTreeMap<&'static str, u64>,
    counted_apart: BTreeMap<&'static str, u64>,
    /// Seeds that repeat the rounds in which something was not zero, or that came to no end.
    failed_seeds: Vec<u64>,
    ok: bool,
}

impl Report {
    /// Of no round yet.
    pub(crate) fn of(seed: u64) -> Self {
        let zeros = |names: &[&'static str]| names.iter().map(|name| (*name, 0)).collect();
        Self {
            seed,
            rounds: 0,
            faults: BTreeMap::new(),
            must_be_zero: zeros(&MUST_BE_ZERO),
            counted_apart: zeros(&COUNTED_APART),
            failed_seeds: Vec::new(),
            // Nothing is proved before a round was played.
            ok: false,
        }
    }

    /// Adds a round.
    pub(crate) fn add(
        &mut self,
        seed: u64,
        faults: &BTreeMap<&'static str, u64>,
        findings: &Findings,
    ) {
        self.rounds += 1;
        self.ok |= self.rounds == 1 && self.failed_seeds.is_empty();
        for (kind, count) in faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (sums, found) in [
            (&mut self.must_be_zero, &findings.must_be_zero),
            (&mut self.counted_apart, &findings.counted_apart),
        ] {
            for (name, lines) in found {
                *sums.entry(name).or_default() += lines.len() as u64;
            }
        }
        if !findings.is_ok() {
            self.failed_seeds.push(seed);
            self.ok = false;
        }
    }

    /// Remembers a round that proved nothing, because it came to no end.
    pub(crate) fn add_unplayed(&mut self, seed: u64) {
        self.failed_seeds.push(seed);
        self.ok = false;
    }

    /// Whether everything that must be 0 is.
    pub(crate) fn is_ok(&self) -> bool {
        self.ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_sums_its_rounds_up_and_remembers_which_failed() {
        let mut report = Report::of(7);
        report.add(
            7,
            &BTreeMap::from([("worker_killed", 2)]),
            &Findings::default(),
        );
        assert!(report.is_ok());
        let bad = Findings {
            must_be_zero: BTreeMap::from([("jobs_with_same_id", vec!["a".into(), "b".into()])]),
            counted_apart: BTreeMap::from([("dead_letters", vec!["c".into()])]),
        };
        report.add(8, &BTreeMap::from([("worker_killed", 1)]), &bad);
        assert!(!report.is_ok());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["rounds"], 2);
        assert_eq!(json["faults"]["worker_killed"], 3);
        assert_eq!(json["must_be_zero"]["jobs_with_same_id"], 2);
        assert_eq!(json["must_be_zero"]["claims_left_behind"], 0);
        assert_eq!(json["counted_apart"]["dead_letters"], 1);
        assert_eq!(json["failed_seeds"], serde_json::json!([8]));
        assert_eq!(json["ok"], false);

        let mut report = Report::of(7);
        report.add_unplayed(7);
        assert!(!report.is_ok());
    }
}
