//! One example of everything that is stored or sent. A later version must go on reading these files as they are.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Debug;

use model::cycle::CycleRecord;
use model::dead::DeadLetter;
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
    a_machine_record: MachineRecord = "machine.json";
    a_machine_record_of_a_doubled_job: MachineRecord = "machine_doubled.json";
    a_late_look: Watch = "watch_late.json";
    a_cycle_record: CycleRecord = "cycle.json";
    a_dead_letter: DeadLetter = "dead.json";
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
