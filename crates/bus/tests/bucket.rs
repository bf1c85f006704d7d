#![allow(clippy::unwrap_used, reason = "a test may panic")]
//! Records on a real server.

use std::time::Duration;

use bus::{Bucket, BusError, Change, Entry, Object, Start, Written};
use model::record::Record;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use testkit::Broker;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    v: u8,
    job: u32,
}

fn claim(job: u32) -> Claim {
    Claim { v: 1, job }
}

impl Record for Claim {
    const LATEST: u8 = 1;

    fn version(&self) -> u8 {
        self.v
    }

    fn is_over(&self) -> bool {
        self.job.is_multiple_of(3)
    }
}

/// Whatever somebody else may have written.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Foreign(Value);

impl Record for Foreign {
    const LATEST: u8 = u8::MAX;

    fn version(&self) -> u8 {
        0
    }
}

fn revision(written: Written) -> u64 {
    match written {
        Written::Done(revision) => revision,
        Written::Conflict => panic!("conflict"),
    }
}

#[tokio::test]
async fn a_record_is_written_only_over_the_revision_that_was_read() {
    let broker = Broker::start().await;
    let machines: Bucket<Claim> = broker.bus().await.bucket("machines");
    assert_eq!(machines.get("m1").await.unwrap(), None);
    let first = revision(machines.create("m1", &claim(1)).await.unwrap());
    assert_eq!(
        machines.create("m1", &claim(2)).await.unwrap(),
        Written::Conflict
    );
    assert_eq!(
        machines.get("m1").await.unwrap(),
        Some(Entry {
            value: claim(1),
            revision: first
        })
    );
    let second = revision(machines.update("m1", &claim(2), first).await.unwrap());
    assert_eq!(
        machines.update("m1", &claim(3), first).await.unwrap(),
        Written::Conflict
    );
    assert_eq!(
        machines.delete("m1", Some(first)).await.unwrap(),
        Written::Conflict
    );
    assert_eq!(
        machines.get("m1").await.unwrap(),
        Some(Entry {
            value: claim(2),
            revision: second
        })
    );
}

#[tokio::test]
async fn of_many_writers_one_wins() {
    let broker = Broker::start().await;
    let machines: Bucket<Claim> = broker.bus().await.bucket("machines");
    let first = revision(machines.create("m1", &claim(0)).await.unwrap());
    let writes = (1..=32).map(|job| {
        let machines = machines.clone();
        tokio::spawn(async move { machines.update("m1", &claim(job), first).await.unwrap() })
    });
    let mut done = 0;
    for write in writes.collect::<Vec<_>>() {
        done += usize::from(matches!(write.await.unwrap(), Written::Done(_)));
    }
    assert_eq!(done, 1);
}

#[tokio::test]
async fn a_deleted_record_can_be_created_again() {
    let broker = Broker::start().await;
    let racks: Bucket<Claim> = broker.bus().await.bucket("racks");
    racks.create("r1", &claim(1)).await.unwrap();
    racks.delete("r1", None).await.unwrap();
    assert_eq!(racks.get("r1").await.unwrap(), None);
    assert!(racks.entries(">").await.unwrap().is_empty());
    let again = revision(racks.create("r1", &claim(2)).await.unwrap());
    assert_eq!(
        racks.get("r1").await.unwrap(),
        Some(Entry {
            value: claim(2),
            revision: again
        })
    );
}

#[tokio::test]
async fn entries_and_single_reads_agree() {
    let broker = Broker::start().await;
    let cycles: Bucket<Claim> = broker.bus().await.bucket("cycles");
    for number in 0..700 {
        cycles
            .create(&format!("r{}.c{number}", number % 2), &claim(number))
            .await
            .unwrap();
    }
    let all = cycles.entries(">").await.unwrap();
    assert_eq!(all.len(), 700);
    assert_eq!(cycles.entries("r1.*").await.unwrap().len(), 350);
    let keys = all.keys().cloned().chain(["r9.none".to_owned()]);
    assert_eq!(cycles.get_many(keys).await.unwrap(), all);
}

#[tokio::test]
async fn a_list_ends_although_its_newest_entry_is_gone_meanwhile() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let cycles: Bucket<Claim> = bus.bucket("cycles");
    for key in ["r1.a", "r1.b"] {
        cycles.create(key, &claim(1)).await.unwrap();
    }
    let mut changes = cycles.changes(Start::LastOfEach).await.unwrap();
    assert_eq!(bus.purge("KV_cycles", "$KV.cycles.r1.b").await.unwrap(), 1);
    let first = changes.next_stored().await.unwrap().unwrap();
    assert_eq!(first.key, "r1.a");
    assert_eq!(changes.next_stored().await.unwrap(), None);
}

#[tokio::test]
async fn heads_say_when_a_value_was_written_and_whether_it_is_over() {
    let broker = Broker::start().await;
    let cycles: Bucket<Claim> = broker.bus().await.bucket("cycles");
    let mut last = 0;
    for (key, job) in [("r1.a", 1), ("r2.b", 2), ("r1.c", 3), ("r1.d", 4)] {
        last = revision(cycles.create(key, &claim(job)).await.unwrap());
    }
    let heads = async |filter: &str| {
        let heads = cycles.heads(filter).await.unwrap();
        assert!(
            heads.is_sorted_by(|one, next| one.at >= next.at),
            "{heads:?}"
        );
        heads
            .into_iter()
            .map(|head| (head.key, head.is_over))
            .collect::<Vec<_>>()
    };
    let of = |key: &str, is_over| (key.to_owned(), is_over);
    let before = [of("r1.d", false), of("r1.c", true), of("r1.a", false)];
    assert_eq!(heads("r1.*").await, before);
    // What was over is said of the value that is there.
    cycles.update("r1.d", &claim(6), last).await.unwrap();
    let there = cycles.get("r1.c").await.unwrap().unwrap();
    cycles
        .update("r1.c", &claim(7), there.revision)
        .await
        .unwrap();
    cycles.delete("r1.a", None).await.unwrap();
    let after = [of("r1.c", false), of("r1.d", true), of("r2.b", false)];
    assert_eq!(heads(">").await, after);
}

#[tokio::test]
async fn a_value_that_does_not_parse_is_an_error_that_names_it() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    bus.bucket::<Foreign>("machines")
        .create("m1", &Foreign("no claim".into()))
        .await
        .unwrap();
    let machines: Bucket<Claim> = bus.bucket("machines");
    let error = machines.get("m1").await.unwrap_err();
    assert!(
        matches!(&error, BusError::Malformed { bucket, key, .. } if bucket == "machines" && key == "m1")
    );
    assert_eq!(
        error.to_string(),
        "key `m1` of bucket `machines` holds no record that this racktick can read"
    );
    assert!(matches!(
        machines.entries(">").await,
        Err(BusError::Malformed { .. })
    ));
}

#[tokio::test]
async fn a_record_of_a_later_version_is_left_alone_whether_it_parses_or_not() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let foreign = bus.bucket::<Foreign>("machines");
    let machines: Bucket<Claim> = bus.bucket("machines");
    for (key, later) in [
        ("m1", json!({"v": 2, "job": 1, "mood": "good"})),
        ("m2", json!({"v": 2, "jobs": [1, 2]})),
    ] {
        foreign.create(key, &Foreign(later)).await.unwrap();
        let error = machines.get(key).await.unwrap_err();
        let BusError::Malformed { source, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(
            source.to_string(),
            "it has version 2, and this racktick knows 1: upgrade this racktick"
        );
    }
    let earlier = json!({"v": 0, "job": 3});
    foreign.create("m3", &Foreign(earlier)).await.unwrap();
    assert_eq!(machines.get("m3").await.unwrap().unwrap().value.job, 3);
}

#[tokio::test]
async fn changes_are_what_is_there_then_every_write_through_a_restart() {
    let mut broker = Broker::start().await;
    let bus = broker.bus().await;
    let racks: Bucket<Claim> = bus.bucket("racks");
    let first = revision(racks.create("r1", &claim(1)).await.unwrap());
    let mut changes = racks.changes(Start::LastOfEach).await.unwrap();
    let mut next = async || timeout(SOON, changes.next()).await.unwrap().unwrap();
    assert_eq!(
        next().await,
        Change {
            key: "r1".into(),
            entry: Some(Entry {
                value: claim(1),
                revision: first
            })
        }
    );
    let second = revision(racks.update("r1", &claim(2), first).await.unwrap());
    assert_eq!(
        next().await.entry,
        Some(Entry {
            value: claim(2),
            revision: second
        })
    );
    broker.kill_9().await;
    broker.restart().await;
    testkit::until(SOON, "the bucket is back", async || {
        racks.get("r1").await.is_ok()
    })
    .await;
    racks.delete("r1", None).await.unwrap();
    assert_eq!(
        next().await,
        Change {
            key: "r1".into(),
            entry: None
        }
    );
}

#[tokio::test]
async fn changes_go_on_after_a_value_that_does_not_parse() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    bus.bucket::<Foreign>("racks")
        .create("r1", &Foreign("no claim".into()))
        .await
        .unwrap();
    let racks: Bucket<Claim> = bus.bucket("racks");
    racks.create("r2", &claim(2)).await.unwrap();
    let mut changes = racks.changes(Start::LastOfEach).await.unwrap();
    assert!(matches!(
        timeout(SOON, changes.next()).await.unwrap(),
        Err(BusError::Malformed { .. })
    ));
    let change = timeout(SOON, changes.next()).await.unwrap().unwrap();
    assert_eq!((change.key.as_str(), changes.pending()), ("r2", 0));
}

#[tokio::test]
async fn an_unknown_outcome_is_never_repeated() {
    let mut broker = Broker::start().await;
    let machines: Bucket<Claim> = broker.bus().await.bucket("machines");
    let first = revision(machines.create("m1", &claim(1)).await.unwrap());
    broker.kill_9().await;
    let error = machines.update("m1", &claim(2), first).await.unwrap_err();
    assert!(matches!(error, BusError::Unknown { .. }), "{error}");
}

/// What is stored as an object and read again.
fn content(length: usize) -> Object {
    Object::new((0..length).map(|byte| (byte % 251) as u8).collect())
}

#[tokio::test]
async fn an_object_is_read_as_it_was_stored_whatever_its_length() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let objects = bus.objects("evidence");
    assert_eq!(objects.get("none", 1 << 20).await.unwrap(), None);
    for length in [0, 1, 128 << 10, (128 << 10) + 1, 700_000] {
        let object = content(length);
        objects.put("a job", &object).await.unwrap();
        let read = objects.get("a job", 1 << 20).await.unwrap();
        assert_eq!(read.as_ref(), Some(&object), "{length}");
    }
    let error = objects.get("a job", 699_999).await.unwrap_err();
    assert!(matches!(error, BusError::Answer { .. }), "{error:?}");
    // One entry under the name, in the layout that every client of object stores reads.
    let entries = bus
        .subjects("OBJ_evidence", "$O.evidence.M.>")
        .await
        .unwrap();
    let subject = "$O.evidence.M.YSBqb2I=";
    assert_eq!(
        entries.into_iter().collect::<Vec<_>>(),
        [(subject.into(), 1)]
    );
    let entry = bus.last_on("OBJ_evidence", subject).await.unwrap().unwrap();
    let entry: Value = serde_json::from_slice(&entry.body).unwrap();
    assert_eq!(
        (
            &entry["name"],
            &entry["bucket"],
            &entry["size"],
            &entry["chunks"]
        ),
        (
            &json!("a job"),
            &json!("evidence"),
            &json!(700_000),
            &json!(6)
        )
    );
    assert_eq!(entry["digest"], content(700_000).digest);
}

#[tokio::test]
async fn an_object_of_which_something_is_gone_is_gone_and_a_false_one_is_an_error() {
    let broker = Broker::start().await;
    let bus = broker.bus().await;
    let objects = bus.objects("evidence");
    objects.put("a job", &content(300_000)).await.unwrap();
    let first = bus
        .next_on("OBJ_evidence", "$O.evidence.C.>", 1)
        .await
        .unwrap()
        .unwrap();
    assert!(bus.delete("OBJ_evidence", first.sequence).await.unwrap());
    assert_eq!(objects.get("a job", 1 << 20).await.unwrap(), None);

    let nuid = first.subject.strip_prefix("$O.evidence.C.").unwrap();
    let false_entry = json!({"name": "a job", "bucket": "evidence", "nuid": nuid, "size": 300_000 - 131_072,
        "chunks": 2, "digest": content(1).digest});
    broker
        .request("$O.evidence.M.YSBqb2I=", false_entry.to_string())
        .await;
    let error = objects.get("a job", 1 << 20).await.unwrap_err();
    assert!(matches!(error, BusError::Answer { .. }), "{error:?}");
}
