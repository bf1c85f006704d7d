//! The table: from rounds to one row per policy and size, each figure the median of its rounds, each ratio the median of
//! the ratios within a round.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::cases::{Round, Rounds, Size};
use crate::figures::{Run, Spread};
use crate::sync::SyncPolicy;

/// A ratio or figure that was not measured has the reason instead.
const NOT_RUN: &str = "not measured in this run; `--full` measures all policies and sizes";
const NOT_HERE: &str = "not measured for this policy and size in this run";

/// Rows by policy, then by size.
#[derive(Debug, Serialize)]
pub(crate) struct Table(BTreeMap<&'static str, BTreeMap<&'static str, Row>>);

/// One policy and size.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Row {
    /// Submits per second from the tick to the last one, as a share of the loop's.
    dispatch_ratio: Option<f64>,
    /// Jobs per second from the tick to the end of the last cycle, as a share of the loop's.
    completion_ratio: Option<f64>,
    /// CPU of worker and broker per job, in times of the loop's.
    cpu_ratio: Option<f64>,
    /// Jobs per second at this size, as a share of those at 1,000 machines.
    scale_ratio: Option<f64>,
    /// By which worker and broker grow for each job more that waits for its next look.
    bytes_per_waiting_job: Option<f64>,
    /// Messages that clients send to the broker.
    broker_ops_per_job: Option<f64>,
    http_requests_per_job: Option<f64>,
    /// Jobs per second with two workers, as a share of those with one.
    two_workers_ratio: Option<f64>,
    /// Jobs per second, as a share of what the broker can do with as many stored messages.
    raw_limit_ratio: Option<f64>,
    /// Jobs per second, as a share of those with the server's default sync.
    default_sync_ratio: Option<f64>,
    /// The medians behind the ratios.
    raw: BTreeMap<&'static str, f64>,
    /// Why a field is null.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    missing: BTreeMap<&'static str, &'static str>,
}

/// A bar for one field of one row.
struct Goal {
    row: (SyncPolicy, Size),
    field: &'static str,
    at_least: Option<f64>,
    at_most: Option<f64>,
}

fn goals() -> Vec<Goal> {
    let goal = |row, field, at_least: Option<f64>, at_most: Option<f64>| Goal {
        row,
        field,
        at_least,
        at_most,
    };
    let (small, large) = (Size::Thousand, Size::TenThousand);
    let default = SyncPolicy::Default;
    vec![
        goal((default, small), "dispatch_ratio", Some(0.36), None),
        goal((default, large), "completion_ratio", Some(0.34), None),
        goal((default, small), "cpu_ratio", None, Some(3.3)),
        goal((default, large), "cpu_ratio", None, Some(3.3)),
        goal((default, large), "scale_ratio", Some(0.8), None),
        goal((default, large), "two_workers_ratio", Some(1.0), None),
        goal(
            (default, large),
            "bytes_per_waiting_job",
            None,
            Some(1800.0),
        ),
        goal(
            (SyncPolicy::Sync100ms, large),
            "default_sync_ratio",
            Some(0.9),
            None,
        ),
        goal(
            (SyncPolicy::SyncAlways, small),
            "raw_limit_ratio",
            Some(0.5),
            None,
        ),
    ]
}

impl Table {
    pub(crate) fn of(rounds: &Rounds) -> Self {
        let row = |sync: SyncPolicy, size| {
            let of = |sync, size| {
                rounds
                    .get(&(sync, size))
                    .map(Vec::as_slice)
                    .unwrap_or_default()
            };
            let peers = Peers {
                thousand: of(sync, Size::Thousand),
                default: of(SyncPolicy::Default, size),
            };
            Row::of(of(sync, size), &peers)
        };
        let rows = SyncPolicy::ALL.map(|sync| {
            let sizes = Size::ALL.map(|size| (size.key(), row(sync, size)));
            (sync.key(), BTreeMap::from(sizes))
        });
        Self(BTreeMap::from(rows))
    }

    /// For people: each row's figures, and the goals with what was reached.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (policy, sizes) in &self.0 {
            for (size, row) in sizes {
                if row.raw.is_empty() {
                    continue;
                }
                let _ = writeln!(text, "\n{policy}, {size} machines");
                for (name, value) in row.fields() {
                    if let Some(value) = value {
                        let _ = writeln!(text, "  {name:<44}{value:>12.3}");
                    }
                }
                for (name, value) in &row.raw {
                    let _ = writeln!(text, "    {name:<42}{value:>12.3}");
                }
            }
        }
        text.push_str("\nGoals\n");
        for goal in goals() {
            let (policy, size) = (goal.row.0.key(), goal.row.1.key());
            let value = self.0[policy][size].field(goal.field);
            let (bar, met) = match (goal.at_least, goal.at_most) {
                (Some(bar), _) => (format!("at least {bar}"), value.map(|value| value >= bar)),
                (_, Some(bar)) => (format!("at most {bar}"), value.map(|value| value <= bar)),
                _ => continue,
            };
            let verdict = match met {
                Some(true) => "met",
                Some(false) => "NOT met",
                None => "not measured",
            };
            let value = value.map_or("-".into(), |value| format!("{value:.3}"));
            let _ = writeln!(
                text,
                "  {:<44}{value:>12}   {bar}: {verdict}",
                format!("{policy}, {size}: {}", goal.field)
            );
        }
        text
    }
}

/// The rounds that a row's figures are compared with.
struct Peers<'a> {
    thousand: &'a [Round],
    default: &'a [Round],
}

impl Row {
    fn of(rounds: &[Round], peers: &Peers<'_>) -> Self {
        let mut row = Self::default();
        if let Some(first) = rounds.first() {
            let ratio = |figure: fn(&Run) -> f64| {
                median(rounds, |round| {
                    Some(figure(&round.racktick) / figure(&round.plain))
                })
            };
            row.dispatch_ratio = ratio(Run::submits_per_second);
            row.completion_ratio = ratio(Run::jobs_per_second);
            row.cpu_ratio = ratio(Run::cpu_per_job);
            row.scale_ratio = beside(rounds, peers.thousand);
            row.default_sync_ratio = beside(rounds, peers.default);
            row.bytes_per_waiting_job = median(rounds, |round| {
                Some(round.waiting.as_ref()?.bytes_per_job())
            });
            row.broker_ops_per_job = median(rounds, |round| {
                per_job(&round.racktick, |broker| broker.received)
            });
            row.http_requests_per_job = median(rounds, |round| Some(requests(&round.racktick)));
            row.two_workers_ratio = median(rounds, |round| {
                Some(
                    round.two_workers.as_ref()?.jobs_per_second()
                        / round.racktick.jobs_per_second(),
                )
            });
            row.raw_limit_ratio = median(rounds, |round| {
                let limit = first.racktick.jobs as f64 / round.raw_limit?.seconds;
                Some(round.racktick.jobs_per_second() / limit)
            });
            row.raw = raw(rounds);
        }
        let reason = if rounds.is_empty() { NOT_RUN } else { NOT_HERE };
        let missing = row
            .fields()
            .into_iter()
            .filter(|(_, value)| value.is_none());
        row.missing = missing.map(|(name, _)| (name, reason)).collect();
        row
    }

    fn fields(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![
            ("dispatch_ratio", self.dispatch_ratio),
            ("completion_ratio", self.completion_ratio),
            ("cpu_ratio", self.cpu_ratio),
            ("scale_ratio", self.scale_ratio),
            ("bytes_per_waiting_job", self.bytes_per_waiting_job),
            ("broker_ops_per_job", self.broker_ops_per_job),
            ("http_requests_per_job", self.http_requests_per_job),
            ("two_workers_ratio", self.two_workers_ratio),
            ("raw_limit_ratio", self.raw_limit_ratio),
            ("default_sync_ratio", self.default_sync_ratio),
        ]
    }

    fn field(&self, name: &str) -> Option<f64> {
        self.fields()
            .into_iter()
            .find(|(field, _)| *field == name)?
            .1
    }
}

/// Jobs per second beside those of other rounds, each round beside its own.
fn beside(rounds: &[Round], others: &[Round]) -> Option<f64> {
    let rate = |round: &Round| round.racktick.jobs_per_second();
    let ratios = rounds
        .iter()
        .zip(others)
        .map(|(round, other)| rate(round) / rate(other));
    middle(ratios)
}

fn median(rounds: &[Round], figure: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
    middle(rounds.iter().filter_map(figure))
}

fn middle(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.into_iter().collect();
    (!values.is_empty()).then(|| Spread::of(values).median)
}

fn per_job(run: &Run, count: impl Fn(&crate::figures::Operations) -> u64) -> Option<f64> {
    Some(count(run.broker.as_ref()?) as f64 / run.jobs as f64)
}

fn requests(run: &Run) -> f64 {
    run.requests.values().sum::<u64>() as f64 / run.jobs as f64
}

fn raw(rounds: &[Round]) -> BTreeMap<&'static str, f64> {
    let milliseconds = |seconds: f64, run: &Run| seconds * 1000.0 / run.jobs as f64;
    type Figure<'a> = Box<dyn Fn(&Round) -> Option<f64> + 'a>;
    let of_loop = |figure: fn(&Run) -> f64| -> Figure<'_> {
        Box::new(move |round| Some(figure(&round.plain)))
    };
    let own = |figure: fn(&Run) -> f64| -> Figure<'_> {
        Box::new(move |round| Some(figure(&round.racktick)))
    };
    let figures: Vec<(&'static str, Figure<'_>)> = vec![
        ("loop_submits_per_second", of_loop(Run::submits_per_second)),
        ("loop_jobs_per_second", of_loop(Run::jobs_per_second)),
        ("loop_cpu_ms_per_job", of_loop(Run::cpu_per_job)),
        ("loop_http_requests_per_job", of_loop(requests)),
        ("submits_per_second", own(Run::submits_per_second)),
        ("jobs_per_second", own(Run::jobs_per_second)),
        ("dispatch_seconds", own(|run| run.dispatch)),
        ("completion_seconds", own(|run| run.completion)),
        (
            "worker_cpu_ms_per_job",
            Box::new(|round| Some(milliseconds(round.racktick.own_cpu, &round.racktick))),
        ),
        (
            "broker_cpu_ms_per_job",
            Box::new(|round| Some(milliseconds(round.racktick.broker_cpu, &round.racktick))),
        ),
        (
            "lab_cpu_ms_per_job",
            Box::new(|round| Some(milliseconds(round.racktick.lab_cpu, &round.racktick))),
        ),
        (
            "stored_messages_per_job",
            Box::new(|round| per_job(&round.racktick, |broker| broker.stored)),
        ),
        (
            "removed_messages_per_job",
            Box::new(|round| per_job(&round.racktick, |broker| broker.removed)),
        ),
        (
            "messages_from_broker_per_job",
            Box::new(|round| per_job(&round.racktick, |broker| broker.sent)),
        ),
        (
            "two_workers_jobs_per_second",
            Box::new(|round| Some(round.two_workers.as_ref()?.jobs_per_second())),
        ),
        (
            "raw_limit_jobs_per_second",
            Box::new(|round| Some(round.racktick.jobs as f64 / round.raw_limit?.seconds)),
        ),
        (
            "raw_limit_cpu_ms_per_job",
            Box::new(|round| {
                let raw = round.raw_limit?;
                Some(milliseconds(raw.own_cpu + raw.broker_cpu, &round.racktick))
            }),
        ),
        (
            "waiting_worker_bytes",
            Box::new(|round| Some(round.waiting.as_ref()?.worker_now as f64)),
        ),
        (
            "waiting_worker_peak_bytes",
            Box::new(|round| Some(round.waiting.as_ref()?.worker_peak as f64)),
        ),
        (
            "waiting_broker_bytes",
            Box::new(|round| Some(round.waiting.as_ref()?.broker_now as f64)),
        ),
        ("rounds", Box::new(|_| Some(rounds.len() as f64))),
    ];
    let medians = figures
        .into_iter()
        .filter_map(|(name, figure)| Some((name, median(rounds, figure)?)));
    medians.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn run(seconds: f64) -> Run {
        Run {
            jobs: 1000,
            dispatch: seconds,
            completion: 2.0 * seconds,
            own_cpu: 0.1,
            broker_cpu: 0.0,
            lab_cpu: 0.0,
            requests: BTreeMap::from([("POST /v1/job".to_owned(), 1000)]),
            broker: None,
            wrong: vec![],
        }
    }

    #[test]
    fn ratios_are_made_within_a_round_and_what_is_missing_says_why() {
        let round = |plain: f64, racktick: f64| Round {
            plain: run(plain),
            racktick: run(racktick),
            two_workers: None,
            raw_limit: None,
            waiting: None,
        };
        // The machine was twice as slow in the second round, for both.
        let rounds = vec![round(1.0, 4.0), round(2.0, 8.0), round(1.0, 2.0)];
        let rounds = Rounds::from([((SyncPolicy::Default, Size::Thousand), rounds)]);
        let json = serde_json::to_value(Table::of(&rounds)).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["cluster", "default", "sync_100ms", "sync_always"]);
        let row = &json["default"]["1000"];
        assert_eq!(row["dispatch_ratio"], 0.25);
        assert_eq!(row["scale_ratio"], 1.0);
        assert_eq!(row["http_requests_per_job"], 1.0);
        assert_eq!(row["raw"]["dispatch_seconds"], 4.0);
        assert!(row["raw_limit_ratio"].is_null());
        assert_eq!(row["missing"]["raw_limit_ratio"], NOT_HERE);
        let other = &json["cluster"]["10000"];
        assert!(other["dispatch_ratio"].is_null());
        assert_eq!(other["missing"]["dispatch_ratio"], NOT_RUN);
    }
}
