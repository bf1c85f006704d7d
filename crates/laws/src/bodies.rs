//! Bodies of messages and values of buckets: what was read once is the same whenever it is written and read again.

use std::fmt::Debug;

use model::body;
use model::cycle::CycleRecord;
use model::dead::{Body, DeadLetter};
use model::event::Event;
use model::machine::{Claim, MachineRecord};
use model::rack::RackRecord;
use model::record::Record;
use model::subject::Subject;
use model::task::{Submit, Task, Tick, Watch};
use serde::Serialize;

/// A tick survives being written and read again, and white space around it means nothing.
pub fn tick(body: &[u8]) {
    let Ok(tick) = Tick::parse(body) else { return };
    same(&tick, &written(&tick), Tick::parse);
    let padded = [b" \t", body, b"\r\n"].concat();
    assert_eq!(
        Tick::parse(&padded).ok().as_ref(),
        Some(&tick),
        "white space counts"
    );
}

/// A submit or a look survives being written and read again, is of no later version, and has a subject of its own.
pub fn task(body: &[u8]) {
    if let Ok(submit) = Submit::parse(body) {
        same(&submit, &written(&submit), Submit::parse);
        assert!(submit.v <= Submit::VERSION, "a later version was read");
        round_trip(&Subject::Submit {
            rack: submit.rack.clone(),
            machine: submit.machine.clone(),
        });
    }
    if let Ok(watch) = Watch::parse(body) {
        same(&watch, &written(&watch), Watch::parse);
        assert!(watch.v <= Watch::VERSION, "a later version was read");
        round_trip(&Subject::Watch {
            rack: watch.rack.clone(),
            machine: watch.machine.clone(),
        });
    }
}

/// An event is the same to the byte whenever it is written, and its id and its subject are plain.
pub fn event(body: &[u8]) {
    let Ok(event) = Event::from_json(body) else {
        return;
    };
    let written = event.to_json();
    same(&event, &written, Event::from_json);
    let again = Event::from_json(&written)
        .expect("an event that was written is read")
        .to_json();
    assert_eq!(written, again, "a repeat differs");
    let id = event.id();
    assert!(
        id.len() <= 1024 && id.bytes().all(|byte| byte.is_ascii_graphic()),
        "an id that no header can hold: {id:?}"
    );
    round_trip(&event.subject());
}

/// A record survives being written and read again, and what is asked of it has an answer.
pub fn record(value: &[u8]) {
    stored::<RackRecord>(value);
    if let Some(machine) = stored::<MachineRecord>(value) {
        assert_eq!(machine.claim.job().is_none(), machine.claim == Claim::Idle);
    }
    if let Some(cycle) = stored::<CycleRecord>(value) {
        let (open, _) = (cycle.open().count(), cycle.counts());
        assert!(
            open > 0 || cycle.is_complete() || cycle.outcomes.len() > open,
            "a cycle without open machines is not complete"
        );
    }
    if let Ok(letter) = body::read::<DeadLetter>(value) {
        same(&letter, &written(&letter), |written| {
            serde_json::from_slice(written)
        });
    }
    if let Some(bytes) = Body::of(value).bytes() {
        assert_eq!(bytes, value, "a dead letter's body changed");
    }
}

fn stored<R: Record + PartialEq + Debug>(value: &[u8]) -> Option<R> {
    let record: R = body::read(value).ok()?;
    same(&record, &written(&record), |written| {
        serde_json::from_slice(written)
    });
    Some(record)
}

fn written(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("what was read can be written")
}

fn same<T: PartialEq + Debug, E: Debug>(
    value: &T,
    written: &[u8],
    read: impl Fn(&[u8]) -> Result<T, E>,
) {
    let again = read(written).expect("what was written can be read");
    assert_eq!(&again, value, "it changed on the way");
}

fn round_trip(subject: &Subject) {
    let text = subject.to_string();
    assert_eq!(text.parse::<Subject>().as_ref(), Ok(subject), "{text}");
}
