//! One example of everything that is stored or sent: `golden/*.json` as it is written now, `golden/<version>/` as that
//! version wrote it. Files of a version are never changed: while processes are upgraded, and after a restore, every later
//! version meets such messages and records.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Debug;
use std::path::Path;

use model::cycle::CycleRecord;
use model::dead::DeadLetter;
use model::event::Event;
use model::machine::MachineRecord;
use model::rack::RackRecord;
use model::task::{Submit, Task, Tick, Watch};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What the file says is read, and written again as it was.
fn comes_back<T: Serialize + DeserializeOwned + Debug>(file: &str) {
    let golden: Value = serde_json::from_str(file).unwrap();
    let read: T = serde_json::from_str(file).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), golden, "{read:?}");
}

/// A field of a later version is no reason to refuse.
fn tolerates_more<T: DeserializeOwned>(file: &str) {
    let mut more: Value = serde_json::from_str(file).unwrap();
    more["of_a_later_version"] = Value::from(1);
    serde_json::from_value::<T>(more).unwrap();
}

macro_rules! golden {
    ($($name:ident: $type:ty = $file:literal;)+) => {$(
        #[test]
        fn $name() {
            let file = include_str!(concat!("../golden/", $file));
            comes_back::<$type>(file);
            tolerates_more::<$type>(file);
        }
    )+};
}

golden! {
    a_tick: Tick = "tick.json";
    a_submit: Submit = "submit.json";
    a_watch: Watch = "watch.json";
    a_rack_record: RackRecord = "rack.json";
    a_rack_record_with_actions_to_be_told: RackRecord = "rack_untold.json";
    a_machine_record: MachineRecord = "machine.json";
    a_machine_record_of_a_doubled_job: MachineRecord = "machine_doubled.json";
    a_late_look: Watch = "watch_late.json";
    a_cycle_record: CycleRecord = "cycle.json";
    a_dead_letter: DeadLetter = "dead.json";
}

/// What was written is read, and is still there when it is written again.
fn keeps<T: Serialize + DeserializeOwned>(file: &Path, text: &str) {
    let old: Value = serde_json::from_str(text).unwrap();
    let read: T =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let again = serde_json::to_value(&read).unwrap();
    assert!(
        holds(&again, &old),
        "{}: {again} has lost some of {old}",
        file.display()
    );
}

/// Whether the value has everything that the other has.
fn holds(value: &Value, other: &Value) -> bool {
    match (value, other) {
        (Value::Object(value), Value::Object(other)) => other
            .iter()
            .all(|(key, other)| value.get(key).is_some_and(|value| holds(value, other))),
        _ => value == other,
    }
}

#[test]
fn what_earlier_versions_wrote_is_read_without_loss() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut read = 0;
    for version in std::fs::read_dir(golden).unwrap().flatten() {
        if !version.path().is_dir() {
            continue;
        }
        for file in std::fs::read_dir(version.path()).unwrap().flatten() {
            let file = file.path();
            let text = std::fs::read_to_string(&file).unwrap();
            read += 1;
            match file.file_stem().unwrap().to_str().unwrap() {
                "tick" => keeps::<Tick>(&file, &text),
                "submit" => keeps::<Submit>(&file, &text),
                "watch" => keeps::<Watch>(&file, &text),
                "rack" => keeps::<RackRecord>(&file, &text),
                "machine" => keeps::<MachineRecord>(&file, &text),
                "cycle" => keeps::<CycleRecord>(&file, &text),
                "dead" => keeps::<DeadLetter>(&file, &text),
                "events" => events(&text),
                other => panic!("nobody reads {other}"),
            }
        }
    }
    assert!(read >= 8, "{read}");
}

/// An event that is published again is the same, whichever version published it first: readers fold by id.
fn events(text: &str) {
    for old in serde_json::from_str::<Vec<Value>>(text).unwrap() {
        let event = Event::from_json(old.to_string().as_bytes()).unwrap();
        let again: Value = serde_json::from_slice(&event.to_json()).unwrap();
        assert!(holds(&again, &old), "{again} has lost some of {old}");
    }
}

#[test]
fn a_task_of_a_later_version_is_refused_with_what_to_do() {
    let later = include_str!("../golden/submit.json").replace("\"v\": 1", "\"v\": 2");
    let error = Submit::parse(later.as_bytes()).unwrap_err().to_string();
    assert!(
        error.contains("version 2") && error.contains("upgrade"),
        "{error}"
    );
}
