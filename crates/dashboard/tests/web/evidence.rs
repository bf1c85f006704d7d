//! What a job wrote that failed, beside what was different when the machine deployed.

use bus::Object;
use jiff::{SignedDuration, Timestamp};
use model::event::{Event, Fact, Job};
use model::evidence::{Evidence, Keeping, Output};
use model::id::{CycleId, JobId};
use model::image::Image;
use model::name::{MachineName, RackName};
use model::outcome::{FailCause, Outcome, Phase};
use model::subject::key;
use reqwest::StatusCode;
use serde_json::json;

use crate::dashboard::Dashboard;

const HOSTILE: &str = "<script>alert(1)</script>";

fn rack() -> RackName {
    RackName::new("r1").unwrap()
}

fn machine() -> MachineName {
    MachineName::new("node1").unwrap()
}

fn slot(hour: i64) -> Timestamp {
    "2026-11-27T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hour)
}

pub(crate) fn job(hour: i64) -> JobId {
    JobId::of(CycleId::of_slot(&rack(), slot(hour)), &machine())
}

/// A job that provisions for so many minutes.
pub(crate) fn ran(
    hour: i64,
    minutes: i64,
    distro: &str,
    verdict: Outcome,
    kept: Option<Keeping>,
) -> Vec<Event> {
    let about = || Job {
        machine: machine(),
        job: job(hour),
    };
    let submitted = Fact::JobSubmitted {
        job: about(),
        deadline: slot(hour + 4),
        image: Image {
            distro: Some(distro.into()),
            kernel: None,
        },
    };
    let progressed = Fact::JobProgressed {
        job: about(),
        state: "provision".into(),
    };
    let exit = i64::from(verdict != Outcome::Passed);
    let finished = Fact::JobFinished {
        job: about(),
        verdict,
        statuses: [(Phase::Provision, exit)].into(),
        submitted_at: Some(slot(hour)),
        cancel: None,
        device: Some(json!({"agent_name": "node1", "device_ip": "10.0.0.3", "note": null})),
        evidence: kept,
    };
    let facts = [(0, submitted), (5, progressed), (5 + minutes, finished)];
    let told = facts.map(|(minute, fact)| Event {
        time: slot(hour) + SignedDuration::from_mins(minute),
        rack: rack(),
        cycle: CycleId::of_slot(&rack(), slot(hour)),
        fact,
    });
    told.into()
}

pub(crate) fn failed() -> Outcome {
    Outcome::Failed {
        cause: FailCause::Phase,
        phase: Some(Phase::Provision),
        exit_code: Some(1),
    }
}

/// The object of the job that failed.
pub(crate) fn object(hour: i64) -> Object {
    let lines: String = (1..=100).map(|line| format!("line {line}\n")).collect();
    wrote(
        hour,
        &format!("{lines}\u{1b}[31mred {HOSTILE}\u{1b}[0m\u{202e}\n"),
    )
}

/// The same of one that wrote this last.
fn wrote(hour: i64, end: &str) -> Object {
    let evidence = Evidence {
        v: Evidence::VERSION,
        job: job(hour),
        cycle: CycleId::of_slot(&rack(), slot(hour)),
        rack: rack(),
        machine: machine(),
        result: serde_json::Map::new(),
        output: [(
            Phase::Provision,
            Output {
                end: end.to_owned(),
                cut: true,
            },
        )]
        .into(),
        serial: Default::default(),
    };
    Object::new(serde_json::to_vec(&evidence).unwrap())
}

/// The name of a job's object.
pub(crate) fn name(hour: i64, object: &Object) -> String {
    key::evidence(job(hour), &object.digest)
}

pub(crate) fn kept(object: &Object) -> Keeping {
    Keeping::Kept {
        digest: object.digest.clone(),
        size: object.content.len() as u64,
    }
}

#[tokio::test]
async fn what_failed_is_shown_with_its_last_lines_and_what_differs() {
    let object = object(6);
    let mut events = ran(0, 10, "jammy", Outcome::Passed, None);
    events.extend(ran(6, 60, "noble", failed(), Some(kept(&object))));
    let dashboard = Dashboard::start(&events).await;
    let objects = dashboard.ledger.bus().objects("evidence");
    objects.put(&name(6, &object), &object).await.unwrap();
    // A worker that was frozen keeps late what it found, and that is not what the verdict speaks of.
    let late = self::object(12);
    objects.put(&name(6, &late), &late).await.unwrap();

    for path in ["/machines/node1".to_owned(), format!("/jobs/{}", job(6))] {
        let page = dashboard.page(&path).await;
        assert!(page.contains("provision, exit status 1"), "{path}");
        assert!(
            page.contains("red &lt;script&gt;alert(1)&lt;/script&gt;</pre>"),
            "{path}: {page}"
        );
        assert!(
            !page.contains(HOSTILE) && !page.contains('\u{1b}'),
            "{path}"
        );
        // The last lines are there at once, the others behind them.
        let (last, all) = page.split_once("<details>").expect("more is kept");
        assert!(
            last.contains("line 100\n") && !last.contains("line 80\n"),
            "{path}"
        );
        assert!(all.contains("line 1\n"), "{path}");
    }
    let view = dashboard.json("/api/v1/machines/node1").await;
    let differences = view["differences"].as_array().unwrap().iter();
    let differ: Vec<_> = differences
        .filter(|row| row["differs"] == true)
        .map(|row| {
            (
                row["what"].as_str().unwrap(),
                row["failed"].as_str().unwrap(),
                row["passed"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        differ,
        [
            ("distro", "noble", "jammy"),
            ("provision", "1h", "10m"),
            ("in all", "1h 5m", "15m")
        ]
    );
    let evidence = dashboard
        .json(&format!("/api/v1/jobs/{}/evidence", job(6)))
        .await;
    assert_eq!(
        serde_json::from_value::<Evidence>(evidence).unwrap(),
        serde_json::from_slice(&object.content).unwrap()
    );
    let says = dashboard
        .problem(
            &format!("/api/v1/jobs/{}/evidence", job(0)),
            StatusCode::NOT_FOUND,
        )
        .await;
    assert!(says.contains("a job that passed"), "{says}");
}

#[tokio::test]
async fn what_was_read_lately_is_not_read_again_unless_it_is_too_much() {
    // Two of them are as much as is remembered. What events say of their size is a stranger's word.
    let hours = [0, 6, 12];
    let objects = hours.map(|hour| wrote(hour, &"x".repeat(3 << 20)));
    let mut events = Vec::new();
    for ((hour, object), size) in hours.iter().zip(&objects).zip([0, 1 << 62, 1 << 62]) {
        let keeping = Keeping::Kept {
            digest: object.digest.clone(),
            size,
        };
        events.extend(ran(*hour, 10, "noble", failed(), Some(keeping)));
    }
    let dashboard = Dashboard::start(&events).await;
    let bus = dashboard.ledger.bus();
    let status = async |hour| {
        let path = format!("/api/v1/jobs/{}/evidence", job(hour));
        dashboard.get(&path).await.status()
    };
    for (hour, object) in hours.into_iter().zip(&objects) {
        let bucket = bus.objects("evidence");
        bucket.put(&name(hour, object), object).await.unwrap();
        assert_eq!(status(hour).await, StatusCode::OK);
    }
    bus.purge("OBJ_evidence", "$O.evidence.>").await.unwrap();
    let (found, gone) = (StatusCode::OK, StatusCode::NOT_FOUND);
    for (hour, remembered) in hours.into_iter().zip([gone, found, found]) {
        assert_eq!(status(hour).await, remembered, "{hour}");
    }
}

#[tokio::test]
async fn the_evidence_of_another_job_is_none_of_this_one() {
    let other = object(12);
    let mut events = ran(0, 10, "noble", failed(), Some(kept(&other)));
    events.extend(ran(12, 10, "noble", failed(), Some(kept(&other))));
    let dashboard = Dashboard::start(&events).await;
    let objects = dashboard.ledger.bus().objects("evidence");
    for hour in [0, 12] {
        objects.put(&name(hour, &other), &other).await.unwrap();
    }
    // Also when it is remembered.
    for (hour, status) in [(12, StatusCode::OK), (0, StatusCode::NOT_FOUND)] {
        let path = format!("/api/v1/jobs/{}/evidence", job(hour));
        assert_eq!(dashboard.get(&path).await.status(), status, "{hour}");
    }
}

#[tokio::test]
async fn evidence_is_not_waited_for_while_the_broker_is_away() {
    let object = object(0);
    let events = ran(0, 10, "noble", failed(), Some(kept(&object)));
    let dashboard = Dashboard::start(&events).await;
    let objects = dashboard.ledger.bus().objects("evidence");
    objects.put(&name(0, &object), &object).await.unwrap();
    let long_ago = Timestamp::now() - SignedDuration::from_secs(31);
    dashboard
        .progress
        .send_modify(|progress| progress.at = Some(long_ago));
    let path = format!("/jobs/{}", job(0));
    let page = dashboard.page(&path).await;
    assert!(page.contains("does not give its evidence now"), "{page}");
    let path = format!("/api/v1{path}/evidence");
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let says = dashboard.problem(&path, unavailable).await;
    assert!(says.contains("now"), "{says}");
}

#[tokio::test]
async fn what_differs_by_little_and_what_nobody_knows_is_no_difference() {
    let mut events = ran(0, 1, "noble", Outcome::Passed, None);
    events.extend(ran(6, 2, "noble", failed(), None));
    let dashboard = Dashboard::start(&events).await;
    let view = dashboard.json("/api/v1/machines/node1").await;
    let rows = view["differences"].as_array().unwrap().iter();
    let rows: Vec<_> = rows
        .map(|row| (row["what"].as_str().unwrap(), row["differs"] == true))
        .collect();
    let same = ["distro", "agent", "device ip", "provision", "in all"];
    assert_eq!(rows, same.map(|what| (what, false)));
}

#[tokio::test]
async fn evidence_that_is_not_there_is_said() {
    let other = object(12);
    let cause = Keeping::Failed {
        cause: "timeout".into(),
    };
    let mut events = ran(0, 10, "noble", failed(), Some(kept(&object(0))));
    events.extend(ran(6, 10, "noble", failed(), Some(cause)));
    events.extend(ran(12, 10, "noble", failed(), Some(kept(&object(0)))));
    let dashboard = Dashboard::start(&events).await;
    // It is not what the verdict speaks of.
    let objects = dashboard.ledger.bus().objects("evidence");
    let named = name(12, &object(0));
    objects.put(&named, &other).await.unwrap();
    for (hour, word) in [
        (0, "does not keep the evidence of 2026-11-27 any more"),
        (6, "could not be kept (timeout)"),
        (12, "does not keep the evidence"),
    ] {
        let page = dashboard.page(&format!("/jobs/{}", job(hour))).await;
        assert!(page.contains(word), "{hour}: {page}");
        let says = dashboard
            .problem(
                &format!("/api/v1/jobs/{}/evidence", job(hour)),
                StatusCode::NOT_FOUND,
            )
            .await;
        assert!(says.contains(word), "{says}");
    }
}
