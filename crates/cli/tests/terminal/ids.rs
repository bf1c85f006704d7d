//! `racktick cycle` and `racktick job`, by ids and by beginnings of ids.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lab::LabConfig;
use ledger::Ledger;
use model::cycle::{CycleRecord, Fate, MissedCause, Origin};
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::subject::key;
use serde_json::Value;

use super::failing;
use crate::world::World;

/// A slot of r3 that was missed, and of which no event tells.
fn missed(slot: Timestamp) -> CycleRecord {
    let rack = RackName::new("r3").unwrap();
    CycleRecord {
        v: CycleRecord::VERSION,
        cycle: CycleId::of_slot(&rack, slot),
        rack,
        origin: Origin::Slot { slot },
        ticked_at: slot,
        fate: Fate::Missed {
            cause: MissedCause::Late,
        },
        outcomes: BTreeMap::new(),
        settled_at: None,
        closed: true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_and_its_jobs_are_shown_by_the_beginning_of_their_ids() {
    let world = failing().await;
    let place = &world.place;
    let _worker = world.worker();
    let tick = place.json(&[
        "tick",
        "r1",
        "--spread",
        "0",
        "--reason",
        "new \u{9b}2Jfirmware",
    ]);
    let cycle: CycleId = tick["cycle"].as_str().unwrap().parse().unwrap();
    world.until_finished("r1").await;
    let id = cycle.to_string();
    let beginning = id[..13].to_uppercase();
    let shown = place.run(&["cycle", &beginning]).with_code(0).stdout;
    for wanted in [
        &id,
        "new \\u009b2Jfirmware",
        "finished in ",
        "failed 2, skipped 1",
        "1 no_agent: Testflinger has no agent of this name.",
        "✖ failed in",
        "– left alone: no_agent",
        "cycle.planned",
        "cycle.finished",
    ] {
        assert!(shown.contains(wanted), "{wanted} in {shown}");
    }
    let view = place.json(&["cycle", &id]);
    assert_eq!(view["state"], "finished");
    assert_eq!(view["decisions"].as_array().unwrap().len(), 3);
    let failed = &view["decisions"][0]["job"];
    assert_eq!(failed["outcome"]["kind"], "failed");

    let machine = MachineName::new(failed["machine"].as_str().unwrap()).unwrap();
    let job = JobId::of(cycle, &machine).to_string();
    let shown = place.run(&["job", &job[..12]]).with_code(0).stdout;
    for wanted in [
        &job,
        &id,
        machine.as_str(),
        "✖ failed in",
        "PHASE",
        "provision, exit status 1, wrote last:",
        &format!("\nERROR: Deployment of machine {machine} failed\n"),
        "LOOK AT",
    ] {
        assert!(shown.contains(wanted), "{wanted} in {shown}");
    }
    let view = place.json(&["job", &job]);
    assert_eq!(view["outcome"], failed["outcome"]);
    assert_eq!(view["evidence"]["kind"], "kept");
    let kept = &view["evidence_kept"]["output"]["provision"]["end"];
    assert!(kept.as_str().unwrap().contains("Deploying"), "{view}");
    assert!(!view["looks"].as_array().unwrap().is_empty(), "{view}");

    for (arguments, code, wanted) in [
        (["cycle", "r1"], 2, "no id begins like that"),
        (["job", "zz"], 2, "no id begins like that"),
        (
            ["cycle", "ffffffffffff"],
            1,
            "there is no cycle `ffffffffffff`: `racktick status <rack>`",
        ),
        (
            ["job", "ffffffffffff"],
            1,
            "there is no job `ffffffffffff`: `racktick cycle <id>`",
        ),
    ] {
        let ended = place.run(&arguments).with_code(code);
        assert!(ended.stderr.contains(wanted), "{wanted} in {ended:?}");
    }

    // Two cycles whose ids begin alike, and that have no events.
    let ledger = Ledger::new(world.bus.clone());
    let mut by_digit: BTreeMap<String, CycleRecord> = BTreeMap::new();
    let (one, other) = (0..)
        .find_map(|second| {
            let record = missed(Timestamp::from_second(1_800_000_000 + second).unwrap());
            let digits = record.cycle.to_string()[..2].to_owned();
            let known = by_digit.insert(digits, record.clone())?;
            Some((known, record))
        })
        .unwrap();
    for record in [&one, &other] {
        let key = key::cycle(&record.rack, record.cycle);
        ledger.cycles().create(&key, record).await.unwrap();
    }
    let digits = &one.cycle.to_string()[..2];
    let ended = place.run(&["cycle", digits]).with_code(1).stderr;
    for wanted in [
        "cycles begin with",
        "write more of it",
        &format!("{} of rack r3", one.cycle),
        &format!("{} of rack r3", other.cycle),
    ] {
        assert!(ended.contains(wanted), "{wanted} in {ended}");
    }
    let ended = place.run(&["cycle", &one.cycle.to_string()]).with_code(1);
    assert!(
        ended.stderr.contains("its record says: missed: late"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_and_one_that_was_cancelled_are_told_apart() {
    let world = World::new(LabConfig::default()).await;
    let place = &world.place;
    let worker = world.worker();
    let tick = place.json(&["tick", "r1", "--spread", "5d"]);
    drop(worker);
    let cycle: CycleId = tick["cycle"].as_str().unwrap().parse().unwrap();
    let last = MachineName::new("r1-m03").unwrap();
    let job = JobId::of(cycle, &last).to_string();
    let waiting = place.run(&["job", &job]).with_code(1).stderr;
    assert!(
        waiting.contains("machine r1-m03: it is not submitted yet"),
        "{waiting}"
    );
    let view = place.json(&["cycle", &cycle.to_string()]);
    assert!(view["unsubmitted"].as_u64().unwrap() >= 2, "{view}");
    let shown = place
        .run(&["cycle", &cycle.to_string()])
        .with_code(0)
        .stdout;
    assert!(
        shown.contains("waits for") && shown.contains(" submits"),
        "{shown}"
    );

    place
        .run(&["cancel", &job, "--reason", "wrong image"])
        .with_code(0);
    let cancelled = place.run(&["job", &job]).with_code(1).stderr;
    assert!(
        cancelled.contains("never submitted, the machine was left alone: cancelled"),
        "{cancelled}"
    );
    let rack = place.json(&["status", "r1"]);
    let machines: Vec<&Value> = rack["machines"].as_array().unwrap().iter().collect();
    let left_alone = machines
        .iter()
        .find(|machine| machine["machine"] == last.as_str());
    assert_eq!(
        left_alone.unwrap()["decision"]["skip"]["reason"],
        "cancelled"
    );
}
