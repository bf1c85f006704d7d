use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::runtime::End;
use jiff::{SignedDuration, Timestamp};
use model::event::{Event, Fact, Job};
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::outcome::{LostCause, Outcome, SkipReason};
use model::task::TaskKind;
use scheduler::{Lost, Pass};

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/metrics.md");
const RULES: &str = include_str!("../../../../dist/prometheus/racktick.rules.yaml");
const GRAFANA: &str = include_str!("../../../../dist/grafana/racktick.json");

fn text(metrics: &Metrics) -> String {
    let mut text = String::new();
    encode(&mut text, &metrics.registry).unwrap();
    text
}

/// The value of one series.
fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} in {text}"))
        .parse()
        .unwrap()
}

/// The names that Prometheus knows of a text, without what a histogram appends.
fn names(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, "info") => format!("{name}_info"),
            (name, _) => name.to_owned(),
        })
        .collect()
}

/// The names in the table of a role.
fn documented(role: &str) -> BTreeSet<String> {
    let (_, section) = DOCUMENT.split_once(&format!("\n## {role}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `racktick_"));
    rows.map(|row| format!("racktick_{}", row.split('`').next().unwrap()))
        .collect()
}

fn event(fact: Fact) -> Event {
    let rack = RackName::new("r1").unwrap();
    Event {
        time: Timestamp::from_second(1_800_000_000).unwrap(),
        cycle: CycleId::of_slot(&rack, Timestamp::UNIX_EPOCH),
        rack,
        fact,
    }
}

/// A worker to which everything has happened once.
fn worker() -> Metrics {
    let (metrics, observers) = Metrics::of_worker("0.0.0");
    observers
        .tasks
        .began(TaskKind::Tick, 1, Some(Duration::from_millis(20)));
    observers
        .tasks
        .ended(TaskKind::Tick, End::Done, Duration::from_millis(3));
    observers.tasks.began(TaskKind::Watch, 2, None);
    observers
        .tasks
        .ended(TaskKind::Watch, End::Dead, Duration::from_millis(3));
    observers.tasks.began(TaskKind::Submit, 1, None);
    observers
        .maas
        .called("machines", "2xx", Duration::from_secs(2));
    observers
        .testflinger
        .called("submit", "timeout", Duration::from_secs(30));
    let cycle = event(Fact::CycleFinished {
        counts: Default::default(),
        duration: Duration::ZERO,
    });
    let machine = MachineName::new("node0").unwrap();
    let job = || Job {
        machine: machine.clone(),
        job: JobId::of(cycle.cycle, &machine),
    };
    let finished = |verdict| Fact::JobFinished {
        job: job(),
        verdict,
        statuses: BTreeMap::new(),
        submitted_at: Some(cycle.time - SignedDuration::from_mins(20)),
        cancel: None,
        device: None,
        evidence: None,
    };
    let deadline = cycle.time;
    for fact in [
        Fact::CyclePlanned {
            deploy: 5,
            skip: BTreeMap::from([(SkipReason::InFlight, 2)]),
            deploy_by: deadline,
            spread: Duration::ZERO,
        },
        Fact::JobSubmitted {
            job: job(),
            deadline,
            image: Default::default(),
        },
        Fact::JobOverdue {
            job: job(),
            deadline,
        },
        Fact::JobDoubled {
            job: job(),
            entries: 2,
        },
        finished(Outcome::Passed),
        finished(Outcome::Cancelled),
        // By another clock than ours.
        Fact::JobFinished {
            job: job(),
            verdict: Outcome::Lost {
                cause: LostCause::Gone,
            },
            statuses: BTreeMap::new(),
            submitted_at: Some(cycle.time + SignedDuration::from_secs(5)),
            cancel: None,
            device: None,
            evidence: None,
        },
        Fact::JobRejected {
            job: job(),
            status: 422,
            message: "no".into(),
        },
    ] {
        observers.facts.told(&event(fact));
    }
    observers.facts.submitted(Duration::from_secs(100));
    observers.facts.left("provision", Duration::from_secs(700));
    observers.facts.left("<script>", Duration::from_secs(700));
    metrics
}

/// A scheduler to which everything has happened once.
fn scheduler() -> Metrics {
    let (metrics, observers) = Metrics::of_scheduler("0.0.0");
    observers
        .passes
        .passed(Pass::Arm, true, Duration::from_millis(5));
    observers
        .passes
        .passed(Pass::Sweep, false, Duration::from_millis(5));
    observers.passes.armed(7);
    observers.passes.brought_back(Lost::Look);
    metrics
}

#[test]
fn a_worker_counts_what_it_does_and_what_becomes_known() {
    let text = text(&worker());
    for (series, wanted) in [
        ("build_info{role=\"worker\",version=\"0.0.0\"}", 1.0),
        ("worker_tasks_in_flight{kind=\"submit\"}", 1.0),
        ("worker_tasks_in_flight{kind=\"tick\"}", 0.0),
        (
            "task_duration_seconds_count{kind=\"tick\",outcome=\"done\"}",
            1.0,
        ),
        ("task_wait_seconds_count{kind=\"tick\"}", 1.0),
        ("task_wait_seconds_count{kind=\"watch\"}", 0.0),
        ("task_redeliveries_total{kind=\"watch\"}", 1.0),
        ("task_redeliveries_total{kind=\"tick\"}", 0.0),
        ("task_dead_letters_total{kind=\"watch\"}", 1.0),
        (
            "http_request_duration_seconds_sum{remote=\"maas\",endpoint=\"machines\",class=\"2xx\"}",
            2.0,
        ),
        (
            "http_request_duration_seconds_count{remote=\"testflinger\",endpoint=\"submit\",class=\"timeout\"}",
            1.0,
        ),
        ("ticks_total{rack=\"r1\",outcome=\"planned\"}", 1.0),
        ("decisions_total{rack=\"r1\",reason=\"deploy\"}", 5.0),
        ("decisions_total{rack=\"r1\",reason=\"in_flight\"}", 2.0),
        ("jobs_submitted_total{rack=\"r1\"}", 1.0),
        ("jobs_total{rack=\"r1\",verdict=\"passed\"}", 1.0),
        ("jobs_total{rack=\"r1\",verdict=\"rejected\"}", 1.0),
        ("job_duration_seconds_sum{verdict=\"passed\"}", 1200.0),
        ("job_duration_seconds_sum{verdict=\"lost\"}", 0.0),
        ("job_phase_duration_seconds_sum{phase=\"provision\"}", 700.0),
        ("job_phase_duration_seconds_sum{phase=\"other\"}", 700.0),
        ("tick_to_job_seconds_bucket{le=\"60.0\"}", 0.0),
        ("tick_to_job_seconds_bucket{le=\"300.0\"}", 1.0),
    ] {
        assert_eq!(
            value(&text, &format!("racktick_{series}")),
            wanted,
            "{series}"
        );
    }
    for foreign in ["node0", "script"] {
        assert!(!text.contains(foreign), "{foreign} is a label in {text}");
    }
}

#[test]
fn a_scheduler_counts_its_passes_and_what_it_brought_back() {
    let text = text(&scheduler());
    let value = |series: &str| value(&text, &format!("racktick_{series}"));
    assert_eq!(
        value("scheduler_pass_duration_seconds_count{pass=\"sweep\",outcome=\"failed\"}"),
        1.0
    );
    assert!(value("scheduler_last_success_timestamp_seconds{pass=\"arm\"}") > 1.7e9);
    assert!(!text.contains("last_success_timestamp_seconds{pass=\"sweep\"}"));
    assert_eq!(value("slots_armed"), 7.0);
    assert_eq!(value("brought_back_total{what=\"look\"}"), 1.0);
    assert_eq!(value("brought_back_total{what=\"slot\"}"), 0.0);
}

#[test]
fn the_documents_name_what_each_role_tells_and_nothing_else() {
    assert_eq!(names(&text(&worker())), documented("Worker"));
    assert_eq!(names(&text(&scheduler())), documented("Scheduler"));
}

/// Every word of a text that is the name of a metric, without what belongs to a histogram's series.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
    let names = words.filter(|word| word.starts_with("racktick_"));
    names
        .map(|name| {
            let parts = ["_bucket", "_sum", "_count"];
            let base = parts.iter().find_map(|part| name.strip_suffix(part));
            base.unwrap_or(name).to_owned()
        })
        .collect()
}

/// The dashboard's own tests compare its table with what it tells.
#[test]
fn rules_and_grafana_name_metrics_that_there_are() {
    let known: BTreeSet<String> = ["Worker", "Scheduler", "Dashboard"]
        .iter()
        .flat_map(|role| documented(role))
        .collect();
    for (text, most) in [(RULES, 10), (GRAFANA, 20)] {
        let named = named(text);
        assert!(named.len() > most, "{named:?}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
