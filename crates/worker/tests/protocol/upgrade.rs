//! Workers of two versions beside each other: what the one has written in the form of 0.1.0, the other goes on with. The
//! golden files of that version say which fields it knew.

use model::machine::MachineRecord;
use model::task::{Submit, Watch};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::world::{Letter, Rack, World, ago, claim_of, submits};

const SUBMIT: &str = include_str!("../../../model/golden/0.1.0/submit.json");
const WATCH: &str = include_str!("../../../model/golden/0.1.0/watch.json");
const MACHINE: &str = include_str!("../../../model/golden/0.1.0/machine.json");

/// The value as 0.1.0 would have written it: without the fields that it did not know.
fn by_0_1_0<T: Serialize + DeserializeOwned>(value: &T, golden: &str) -> T {
    let mut value = serde_json::to_value(value).unwrap();
    forget_unknown(&mut value, &serde_json::from_str(golden).unwrap());
    serde_json::from_value(value).unwrap()
}

fn forget_unknown(value: &mut Value, known: &Value) {
    let (Value::Object(fields), Value::Object(known)) = (value, known) else {
        return;
    };
    // A claim has one of three forms, and the golden file shows the one that has all that matters here.
    if known.contains_key("state") && fields.get("state") != known.get("state") {
        return;
    }
    // Fates are filed under ids. The examples have different outcomes, and all their fields between them.
    if known.keys().all(|key| key.len() == 36) {
        let is_known = |field: &String| known.values().any(|fate| fate.get(field).is_some());
        for fate in fields.values_mut().filter_map(Value::as_object_mut) {
            fate.retain(|field, _| is_known(field));
        }
        return;
    }
    fields.retain(|key, _| known.contains_key(key));
    for (key, value) in fields {
        forget_unknown(value, &known[key]);
    }
}

impl Rack {
    /// A worker of 0.1.0 writes the machine's record again.
    async fn rewritten_by_0_1_0(&self, task: &Submit) {
        self.change(&task.machine, |record: &mut MachineRecord| {
            *record = by_0_1_0(record, MACHINE);
        })
        .await;
    }

    /// The look that waits, as a worker of 0.1.0 would have armed it.
    async fn look_by_0_1_0(&self, task: &Submit) -> Letter<Watch> {
        let look = self.fire(task).await.expect("a look waits");
        Letter::watch(&by_0_1_0(&look.task, WATCH))
    }
}

#[tokio::test]
async fn a_cycle_that_a_worker_of_0_1_0_has_begun_ends_here() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = by_0_1_0(&submits(&record)[0], SUBMIT);
    rack.deliver_submit(&Letter::submit(&task)).await.unwrap();
    rack.rewritten_by_0_1_0(&task).await;
    let look = rack.look_by_0_1_0(&task).await;
    rack.deliver_watch(&look).await.unwrap();
    rack.rewritten_by_0_1_0(&task).await;
    // Whatever comes once more, from whichever of the two.
    rack.deliver_submit(&Letter::submit(&task).again())
        .await
        .unwrap();
    rack.deliver_watch(&look.again()).await.unwrap();
    assert_eq!(rack.posts(), 1);
    rack.ended(record.cycle).await;
}

#[tokio::test]
async fn an_attempt_that_0_1_0_left_behind_is_taken_up_here() {
    let world = World::start().await;
    let rack = world.rack("r1", 1).await;
    let record = rack.cycle().await;
    let task = by_0_1_0(&submits(&record)[0], SUBMIT);
    rack.change(&task.machine, |record| {
        record.take(claim_of(&task, ago(60)), ago(120)).unwrap();
    })
    .await;
    rack.deliver_submit(&Letter::submit(&task).again())
        .await
        .unwrap();
    // What the renewal meant is lost on a worker of 0.1.0, and nothing else is.
    rack.rewritten_by_0_1_0(&task).await;
    let look = rack.look_by_0_1_0(&task).await;
    rack.deliver_watch(&look).await.unwrap();
    assert_eq!(rack.posts(), 1);
    rack.ended(record.cycle).await;
}

#[test]
fn the_form_of_0_1_0_is_that_of_its_golden_files() {
    for golden in [SUBMIT, WATCH, MACHINE] {
        let mut more: Value = serde_json::from_str(golden).unwrap();
        let known = more.clone();
        more["renewed"] = true.into();
        if let Some(claim) = more.get_mut("claim") {
            claim["renewed"] = true.into();
        }
        forget_unknown(&mut more, &known);
        assert_eq!(more, known);
    }
}
