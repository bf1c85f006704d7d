//! What the sweep leaves alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use ledger::{outgoing, submit_task};
use model::cycle::CycleRecord;
use model::outcome::Outcome;
use model::subject::{Subject, bucket, key, stream};
use testkit::until;

use crate::records::{complete, cycle, planned, planned_mut, running, settled, submitting};
use crate::sent::{SETTLE, submit_subject, watch_subject};
use crate::slots::every;
use crate::stage::{SOON, Stage, ago, ahead, machine};

impl Stage {
    async fn hold_submit(&self, record: &CycleRecord, name: &str, due: Timestamp) {
        let task = submit_task(record, planned(record), &machine(name));
        let message = outgoing(Subject::WaitSubmit(task.job), &task);
        self.bus
            .publish(message.at(due, submit_subject(name)))
            .await
            .unwrap();
    }

    /// Everything that is stored, by subject.
    async fn everything(&self) -> BTreeMap<String, (u64, u64)> {
        let mut all = BTreeMap::new();
        let buckets = [bucket::RACKS, bucket::MACHINES, bucket::CYCLES].map(|b| format!("KV_{b}"));
        let streams = [stream::RACK, stream::TASK, stream::EVENTS, stream::DLQ].map(String::from);
        for stream in streams.iter().chain(&buckets) {
            for (subject, count) in self.bus.subjects(stream, ">").await.unwrap() {
                let last = self.bus.last_on(stream, &subject).await.unwrap().unwrap();
                all.insert(subject, (count, last.sequence));
            }
        }
        all
    }
}

#[tokio::test]
async fn a_fate_is_forgotten_only_when_its_cycle_is_closed_and_its_time_over() {
    let stage = Stage::set().await;
    let old = ago(4000);
    let mut over = cycle(old, &["over"]);
    over.closed = true;
    // Waits for another machine, whose submit is stored.
    let open = cycle(old + Duration::from_secs(1), &["open", "other"]);
    let mut young = cycle(ago(60), &["young"]);
    young.closed = true;
    for record in [&over, &open, &young] {
        stage.write_cycle(record).await;
    }
    stage.send_submit(&open, "other").await;
    stage.send_submit(&open, "open").await;
    for (name, record) in [("over", &over), ("open", &open), ("young", &young)] {
        stage.write_machine(name, &settled(record, name)).await;
    }
    let scheduler = stage.scheduler(SETTLE).await;
    let kept = async |name| {
        let entry = stage.ledger.machine(&machine(name)).await.unwrap();
        entry.record.settled.len()
    };
    until(SOON, "the fate is forgotten", async || {
        kept("over").await == 0
    })
    .await;
    stage.until_swept(1).await;
    stage.until_swept(2).await;
    assert_eq!((kept("open").await, kept("young").await), (1, 1));

    let key = key::cycle(&open.rack, open.cycle);
    let entry = stage.ledger.cycles().get(&key).await.unwrap().unwrap();
    let closed = CycleRecord {
        closed: true,
        ..entry.value
    };
    stage
        .ledger
        .cycles()
        .update(&key, &closed, entry.revision)
        .await
        .unwrap();
    until(SOON, "its cycle was closed", async || {
        kept("open").await == 0
    })
    .await;
    assert_eq!(kept("young").await, 1);
    scheduler.stop().await;
}

#[tokio::test]
async fn where_nothing_is_lost_the_sweep_changes_nothing() {
    let stage = Stage::set().await;
    stage.add_rack("r1", every(6), Timestamp::now()).await;
    let machines: Vec<String> = (0..40).map(|number| format!("m{number:02}")).collect();
    let names: Vec<&str> = machines.iter().map(String::as_str).collect();
    let mut record = cycle(ago(60), &names);
    for name in &names[30..] {
        let due = ahead(600);
        planned_mut(&mut record).deploy.insert(machine(name), due);
    }
    for (place, name) in names.iter().enumerate() {
        match place / 10 {
            0 => {
                stage.write_machine(name, &running(&record, name)).await;
                stage.hold_look(&record, name).await;
            }
            1 => {
                stage.write_machine(name, &submitting(&record, name)).await;
                stage.send_submit(&record, name).await;
            }
            2 => {
                stage.write_machine(name, &settled(&record, name)).await;
                record.account(&machine(name), &Outcome::Passed, ago(30));
            }
            _ => stage.hold_submit(&record, name, ahead(600)).await,
        }
    }
    // A look under way, and a verdict that is settled and about to be accounted for.
    let look = submit_task(&record, planned(&record), &machine("m00")).first_look();
    stage
        .bus
        .purge(stream::TASK, &Subject::WaitWatch(look.job).to_string())
        .await
        .unwrap();
    stage
        .bus
        .publish(outgoing(watch_subject("m00"), &look))
        .await
        .unwrap();
    let mut done = cycle(ago(70), &["n1"]);
    stage.write_machine("n1", &settled(&done, "n1")).await;
    let look = submit_task(&done, planned(&done), &machine("n1")).first_look();
    stage
        .bus
        .publish(outgoing(watch_subject("n1"), &look))
        .await
        .unwrap();
    stage.write_cycle(&record).await;
    stage.write_cycle(&done).await;
    // A cycle that became complete just now, and stays that young: whoever completed it is about to tell its end.
    let young = complete(cycle(ahead(600), &["n3"]));
    stage.write_cycle(&young).await;
    done = complete(cycle(ago(50_000), &["n2"]));
    done.closed = true;
    stage.write_cycle(&done).await;

    let scheduler = stage.scheduler(SETTLE).await;
    stage.until_swept(0).await;
    assert!(!stage.is_closed(&young.rack, young.cycle).await);
    let before = stage.everything().await;
    assert!(before.len() > 60, "{}", before.len());
    for pass in 1..=3 {
        stage.until_swept(pass).await;
    }
    let changed: BTreeSet<String> = stage
        .everything()
        .await
        .into_iter()
        .filter(|(subject, seen)| before.get(subject) != Some(seen))
        .map(|(subject, _)| subject)
        .collect();
    // What is told of the cycles that marked the passes, and nothing else.
    let told = [
        "event.cycle.r1.finished",
        "event.cycle.r1.planned",
        "event.machine.r1.spare.skipped",
    ];
    let marks = changed
        .iter()
        .all(|subject| told.contains(&subject.as_str()) || subject.starts_with("$KV.cycles.r1."));
    assert!(marks && changed.len() == told.len() + 3, "{changed:?}");
    scheduler.stop().await;
}
