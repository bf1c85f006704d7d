//! Answers of MAAS and Testflinger: a short one and a long one are read alike, and whatever is kept of them is bounded
//! and can be stored.

use std::collections::BTreeMap;
use std::fmt::Debug;

use model::machine::{MachineRecord, Settled};
use model::outcome::{Outcome, Phase};
use plan::verdict::{ResultDocument, verdict};
use rest::Guard;
use serde::Serialize;
use serde::de::DeserializeOwned;
use testflinger::JobResult;

/// The longest text that is kept of an answer, in bytes.
const LONGEST_TEXT: usize = 300;

/// A machine list: every machine has a name, every text is bounded.
pub fn machines(body: &[u8]) {
    let Some(machines) = both_ways(
        body,
        maas::Machine::read_list(body),
        maas::Machine::read_list(Guard::new(body)),
    ) else {
        return;
    };
    for machine in &machines {
        assert!(!machine.hostname.is_empty() && !machine.status_name.is_empty());
        assert_ne!(machine.owner.as_deref(), Some(""), "nobody is not a name");
        let texts = [&machine.system_id, &machine.status_name];
        bounded(texts.into_iter().chain(&machine.owner).chain(&machine.pool));
        comes_back(machine);
    }
}

/// An agent list: every agent has a name, every text is bounded.
pub fn agents(body: &[u8]) {
    let Some(agents) = both_ways(
        body,
        testflinger::Agent::read_list(body),
        testflinger::Agent::read_list(Guard::new(body)),
    ) else {
        return;
    };
    for agent in &agents {
        assert!(!agent.name.is_empty());
        bounded(
            [&agent.name]
                .into_iter()
                .chain(&agent.state)
                .chain(&agent.location),
        );
        bounded(agent.queues.iter().chain(agent.restricted_to.keys()));
        comes_back(agent);
    }
}

/// A result: it has a verdict, and that can be stored in the machine's record with all that is kept of the result.
pub fn result(body: &[u8]) {
    let Some(result) = both_ways(
        body,
        JobResult::read(body),
        JobResult::read(Guard::new(body)),
    ) else {
        return;
    };
    bounded(&result.job_state);
    comes_back(&result);
    let document = ResultDocument {
        state: result.job_state.unwrap_or_default(),
        // The names of the phases are the same on both sides.
        statuses: serde_json::to_value(&result.phases)
            .and_then(serde_json::from_value::<BTreeMap<Phase, i64>>)
            .expect("every phase of Testflinger is one of ours"),
    };
    let outcome = verdict(&document, None);
    let passed = document.statuses.get(&Phase::Provision) == Some(&0);
    assert!(
        passed || outcome != Outcome::Passed,
        "passed without a provisioning"
    );
    let example = include_bytes!("../../model/golden/machine.json");
    let mut record: MachineRecord =
        serde_json::from_slice(example).expect("the example of a record is one");
    let place = record
        .settled
        .values_mut()
        .next()
        .expect("the example has a settled job");
    let settled = Settled {
        outcome,
        statuses: document.statuses,
        device: result.device_info,
        evidence: None,
        ..place.clone()
    };
    *place = settled;
    comes_back(&record);
    let text = serde_json::to_string(&record).expect("a record can be written");
    assert!(text.len() < 64 << 10, "a record of {} bytes", text.len());
}

/// Reads an answer as a short one, and as a long one through the guard. Both are the same, unless the guard has cut.
fn both_ways<T: PartialEq + Debug>(
    body: &[u8],
    short: Result<T, String>,
    long: Result<T, String>,
) -> Option<T> {
    if body.len() < 64 << 10
        && let (Ok(short), Ok(long)) = (&short, &long)
    {
        assert_eq!(short, long, "the guard changed an answer");
    }
    if short.is_err() {
        assert!(
            long.is_err() || body.len() >= 64 << 10,
            "the guard made sense of nonsense"
        );
    }
    short.ok()
}

fn bounded<'a>(texts: impl IntoIterator<Item = &'a String>) {
    for text in texts {
        assert!(
            text.len() <= LONGEST_TEXT,
            "a text of {} bytes is kept",
            text.len()
        );
    }
}

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_string(value).expect("what was read can be written");
    let again: T = serde_json::from_str(&text).expect("what was written can be read");
    assert_eq!(&again, value);
}
