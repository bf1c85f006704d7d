//! Verdicts for spreadsheets.

use csv::{ReaderBuilder, StringRecord};
use model::event::{Event, Fact, Job};
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::outcome::Outcome;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde_json::Value;

use crate::dashboard::{Dashboard, SIZE};
use crate::support::now;
use crate::support::story::{Size, Teller};

fn rows(text: &str) -> Vec<StringRecord> {
    let mut reader = ReaderBuilder::new().from_reader(text.as_bytes());
    let headings = reader.headers().unwrap();
    assert_eq!(&headings[0], "at");
    reader.records().map(Result::unwrap).collect()
}

#[tokio::test]
async fn all_verdicts_are_there_once_and_the_newest_first() {
    // More than are read at once.
    let size = Size {
        cycles: 120,
        ..SIZE
    };
    let story = Teller::new(31).story(size);
    let dashboard = Dashboard::start(&story).await;
    let answer = dashboard.get("/api/v1/verdicts.csv").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("text/csv"), "{kind}");
    assert!(answer.headers().contains_key(CONTENT_DISPOSITION));
    let text = answer.text().await.unwrap();
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    let all = rows(&text);
    assert!(all.len() > 1000, "{}", all.len());
    assert!(all.is_sorted_by(|a, b| a[0] >= b[0]));
    let mut expected: Vec<[String; 4]> = story
        .iter()
        .filter_map(|event| {
            let (job, outcome) = match &event.fact {
                Fact::JobFinished { job, verdict, .. } => (job, verdict.word()),
                Fact::JobRejected { job, .. } => (job, "rejected"),
                _ => return None,
            };
            let rack = event.rack.to_string();
            let job = (job.machine.to_string(), job.job.to_string());
            Some([rack, job.0, outcome.to_owned(), job.1])
        })
        .collect();
    let mut found: Vec<[String; 4]> = all
        .iter()
        .map(|row| [1, 2, 3, 12].map(|column| row[column].to_owned()))
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);

    let some = async |query: &str| {
        rows(
            &dashboard
                .page(&format!("/api/v1/verdicts.csv?{query}"))
                .await,
        )
    };
    let only = |keep: &dyn Fn(&StringRecord) -> bool| -> Vec<StringRecord> {
        all.iter().filter(|row| keep(row)).cloned().collect()
    };
    assert_eq!(some("rack=r1").await, only(&|row| &row[1] == "r1"));
    assert_eq!(
        some("machine=node0.3&rack=r0").await,
        only(&|row| &row[2] == "node0.3")
    );
    assert!(some("machine=node0.3&rack=r1").await.is_empty());
    let middle = &all[all.len() / 2][0];
    assert_eq!(
        some(&format!("since={middle}")).await,
        only(&|row| row[0] >= *middle)
    );
    assert_eq!(
        some(&format!("until={middle}")).await,
        only(&|row| row[0] < *middle)
    );
    let of_days = some("since=2026-11-03&until=2026-11-05&rack=r0").await;
    assert!(!of_days.is_empty());
    assert_eq!(
        of_days,
        only(&|row| &row[1] == "r0"
            && (&row[0][..10] == "2026-11-03" || &row[0][..10] == "2026-11-04"))
    );
    let says = dashboard
        .problem("/api/v1/verdicts.csv?since=7d", StatusCode::BAD_REQUEST)
        .await;
    assert!(says.contains("`7d` is no time"), "{says}");
    for page in ["/racks/r0", "/trends"] {
        assert!(dashboard.page(page).await.contains("/api/v1/verdicts.csv?"));
    }
}

#[tokio::test]
async fn what_strangers_wrote_is_no_formula() {
    let rack = RackName::new("r0").unwrap();
    let told = ["=1+1", "+1", "-1", "@sum", "\t=1", "a \"b\",\r\nc", "plain"];
    let events: Vec<Event> = told
        .iter()
        .zip(0..)
        .map(|(message, hour)| {
            let time = now() + jiff::SignedDuration::from_hours(-hour);
            let cycle = CycleId::of_slot(&rack, time);
            let machine = MachineName::new("-node@1").unwrap();
            let job = JobId::of(cycle, &machine);
            let fact = Fact::JobRejected {
                job: Job { machine, job },
                status: 422,
                message: (*message).to_owned(),
            };
            Event {
                time,
                rack: rack.clone(),
                cycle,
                fact,
            }
        })
        .collect();
    // It was refused, and ran after all: that counts, once.
    let mut events = events;
    let refused = events.last().unwrap();
    let Fact::JobRejected { job, .. } = refused.fact.clone() else {
        panic!("{refused:?}")
    };
    events.push(Event {
        time: refused.time + jiff::SignedDuration::from_mins(1),
        fact: Fact::JobFinished {
            job,
            verdict: Outcome::Passed,
            statuses: Default::default(),
            submitted_at: None,
            cancel: None,
            device: None,
            evidence: None,
        },
        ..refused.clone()
    });
    let dashboard = Dashboard::start(&events).await;
    let rows = rows(&dashboard.page("/api/v1/verdicts.csv").await);
    let messages: Vec<&str> = rows.iter().map(|row| &row[8]).collect();
    assert_eq!(
        messages,
        ["'=1+1", "'+1", "'-1", "'@sum", "'\t=1", "a \"b\",\r\nc", ""]
    );
    assert!(rows.iter().all(|row| &row[2] == "'-node@1"));
    let (passed, refused) = rows.split_last().unwrap();
    assert_eq!((&passed[3], &passed[7]), ("passed", ""));
    assert!(refused.iter().all(|row| &row[7] == "422"));
    // The API says what it is.
    let machine: Value = dashboard.json("/api/v1/machines/-node@1").await;
    assert_eq!(machine["machine"], "-node@1");
}
