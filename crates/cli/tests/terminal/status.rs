//! `racktick status`.

use dashboard::follow::read_once;
use dashboard::history::History;
use dashboard::views::{CycleSummary, Fleet};
use jiff::Timestamp;
use lab::LabConfig;
use model::name::RackName;
use serde_json::{Value, json};
use testkit::until;

use super::failing;
use crate::world::{SOON, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_says_what_fails_and_ends_with_1() {
    let world = failing().await;
    let place = &world.place;
    let nothing = place.run(&["status"]).with_code(0);
    assert!(nothing.stdout.contains("racktick rack add"), "{nothing:?}");
    let unknown = place.run(&["status", "r1"]).with_code(1);
    assert!(
        unknown.stderr.contains("there is no rack r1"),
        "{unknown:?}"
    );

    place
        .run(&["rack", "add", "r2", "--first", "slot", "--yes"])
        .with_code(0);
    let armed = place.run(&["status"]).with_code(0);
    assert!(armed.stdout.contains("none yet"), "{armed:?}");
    place
        .run(&["rack", "pause", "r2", "--reason", "a\u{1b}[2Jb"])
        .with_code(0);
    let _worker = world.worker();
    let tick = [
        "tick",
        "r1",
        "--spread",
        "0",
        "--reason",
        "a repaired switch",
    ];
    place.run(&tick).with_code(0);
    assert_eq!(
        world.until_finished("r1").await,
        "finished: failed 2, skipped 1 (no_agent 1)"
    );

    let shown = place.run(&["status"]).with_code(1).stdout;
    for wanted in [
        "3 machines in 2 racks, 0 deploying now, 1 left alone, 0 cycles running",
        "▲ 2 suspect  ? 1 unknown",
        "r1    ▲ 2 suspect ? 1 unknown  never added  finished",
        "failed in ",
        "rack r2 is paused by",
        "a\\u001b[2Jb",
    ] {
        assert!(shown.contains(wanted), "{wanted} in {shown}");
    }
    // What is worst comes first, with what failed and since when.
    let lines: Vec<&str> = shown.lines().collect();
    let first = lines.iter().position(|line| line.starts_with("MACHINE"));
    let failing = lines[first.unwrap() + 1];
    assert!(
        failing.contains("▲ suspect 1x") && failing.contains("r1    "),
        "{failing}"
    );

    let rack = place.run(&["status", "r1"]).with_code(1).stdout;
    for wanted in [
        "none: `racktick rack add r1` gives it one",
        "▲ suspect 1x",
        "✖",
        "left alone: Testflinger has no agent of this name.",
        ": a repaired switch",
        "finished",
    ] {
        assert!(rack.contains(wanted), "{wanted} in {rack}");
    }
    let rack = place.status(&["r1"]);
    assert_eq!(rack["machines"][0]["health"], "suspect");
    assert_eq!(
        rack["machines"][0]["verdicts"][0]["outcome"]["kind"],
        "failed"
    );
    assert_eq!(
        rack["cycles"][0]["outcomes"],
        json!({"failed": 2, "skipped": 1})
    );

    // A tick of a rack that MAAS does not know fails, and that is said as well.
    place.run(&["tick", "r9"]).with_code(1);
    let shown = place.run(&["status", "r9"]).with_code(1).stdout;
    assert!(shown.contains("unknown_tag"), "{shown}");
}

/// The records and the events tell the same of every machine and cycle.
#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_shows_what_the_dashboard_shows() {
    let world = World::new(LabConfig {
        fail_rate: 0.5,
        odd: 1,
        machines: 3,
        ..LabConfig::default()
    })
    .await;
    let _workers = [world.worker(), world.worker()];
    for _ in 0..2 {
        let cycles: Vec<String> = ["r1", "r2"]
            .map(|rack| {
                let tick = world
                    .place
                    .run(&["tick", rack, "--spread", "0", "--output", "json"]);
                let tick: Value = serde_json::from_str(&tick.with_code(0).stdout).unwrap();
                tick["cycle"].as_str().unwrap().to_owned()
            })
            .into();
        until(SOON, "both cycles are finished", async || {
            let status = world.place.status(&[]);
            let racks = status["racks"].as_array().unwrap();
            racks.iter().all(|rack| {
                let last = &rack["last"];
                last["state"] == "finished" && cycles.iter().any(|cycle| last["cycle"] == **cycle)
            })
        })
        .await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (history, mut writer) = History::open(&folder.path().join("h.sqlite")).unwrap();
    read_once(&world.bus, "event.>", &mut writer).await.unwrap();
    let followed = history.read(|reading| reading.fleet()).unwrap();
    let status = world.place.status(&[]);
    assert_eq!(
        status["totals"],
        serde_json::to_value(&followed.totals).unwrap()
    );
    let Fleet { racks, .. } = followed;
    assert_eq!(racks.len(), 2);
    for (shown, card) in status["racks"].as_array().unwrap().iter().zip(racks) {
        assert_eq!(shown["rack"], card.rack.as_str());
        let cells = serde_json::to_value(&card.cells).unwrap();
        assert_eq!(without_times(&shown["cells"]), without_times(&cells));
        let last: CycleSummary = serde_json::from_value(shown["last"].clone()).unwrap();
        let known = card.last.unwrap();
        assert_eq!(
            CycleSummary {
                at: known.at,
                ..last
            },
            known
        );
        let rack = RackName::new(card.rack.as_str()).unwrap();
        let followed = history
            .read(|reading| reading.rack(&rack))
            .unwrap()
            .unwrap();
        let machines = serde_json::to_value(&followed.machines).unwrap();
        let shown = world.place.status(&[rack.as_str()]);
        assert_eq!(without_times(&shown["machines"]), without_times(&machines));
        assert_eq!(shown["cycles"].as_array().unwrap().len(), 2);
    }
}

/// When the first was heard of a decision is not when it was made.
fn without_times(cells: &Value) -> Vec<Value> {
    let mut cells = cells.as_array().unwrap().clone();
    for cell in &mut cells {
        let at = cell["decision"]["at"].take();
        assert!(at.as_str().unwrap().parse::<Timestamp>().is_ok());
    }
    cells
}
