use std::time::Duration;

use serde_json::json;

use super::*;
use crate::rack::RackRecord;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// One event of each kind, with every optional field present in at least one.
fn one_of_each() -> Vec<RackEvent> {
    let schedule = Schedule::Every {
        every: Duration::from_secs(6 * 3600),
        splay: None,
    };
    let policy: PolicyChange = serde_json::from_value(json!({"spread": "10m"})).unwrap();
    let letter = Letter {
        number: 12,
        subject: "task.submit.r7.node3".into(),
        reason: "tried 9 times: MAAS did not answer".into(),
        at: time("2026-11-21T06:20:00Z"),
    };
    let deeds = [
        Deed::Added {
            schedule: schedule.clone(),
            policy: policy.clone(),
        },
        Deed::Changed {
            schedule: Some(schedule),
            policy: Some(policy),
        },
        Deed::Paused,
        Deed::Resumed,
        Deed::Removed,
        Deed::Replayed {
            letter: letter.clone(),
        },
        Deed::Dropped { letter },
    ];
    deeds
        .into_iter()
        .map(|deed| RackEvent {
            rack: RackName::new("r7").unwrap(),
            action: Action {
                at: time("2026-11-21T06:30:00Z"),
                by: "olga".into(),
                why: "power work".into(),
                deed,
            },
        })
        .collect()
}

#[test]
fn every_event_comes_back_from_its_body_and_a_later_field_is_ignored() {
    for event in one_of_each() {
        let mut body: Value = serde_json::from_slice(&event.to_json()).unwrap();
        body["data"]["colour"] = json!("red");
        for body in [event.to_json(), serde_json::to_vec(&body).unwrap()] {
            let read = RackEvent::from_json(&body).unwrap();
            assert_eq!(read, event, "{}", String::from_utf8_lossy(&body));
            assert_eq!(read.to_json(), event.to_json());
        }
        body["type"] = json!("racktick.rack.painted");
        assert!(RackEvent::from_json(&serde_json::to_vec(&body).unwrap()).is_err());
    }
}

#[test]
fn every_kind_is_listed_and_its_type_follows_its_subject() {
    let events = one_of_each();
    let told: Vec<String> = events
        .iter()
        .map(|event| format!("rack.{}", event.action.deed.word()))
        .collect();
    assert_eq!(told, Deed::KINDS);
    for event in events {
        let body: Value = serde_json::from_slice(&event.to_json()).unwrap();
        let what = event.action.deed.word();
        assert_eq!(body["type"], format!("racktick.rack.{what}"));
        let subject = event.subject().to_string();
        assert_eq!(subject, format!("event.rack.r7.{what}"));
        assert_eq!(subject.parse::<Subject>().unwrap(), event.subject());
    }
}

#[test]
fn ids_differ_between_actions_and_a_letter_is_replayed_once() {
    let ids = |events: &[RackEvent]| events.iter().map(RackEvent::id).collect::<Vec<_>>();
    let first = ids(&one_of_each());
    let mut later = one_of_each();
    for event in &mut later {
        event.action.at = time("2026-11-21T06:30:00.000000001Z");
    }
    let later = ids(&later);
    let both: std::collections::BTreeSet<&String> = first.iter().chain(&later).collect();
    assert_eq!(both.len(), first.len() + later.len() - 2);
    assert_eq!(first[5..], later[5..]);
}

/// The operators' page shows each event as it is on the wire.
#[test]
fn the_documented_examples_are_the_events() {
    let page = include_str!("../../../docs/events.md");
    for event in one_of_each() {
        let body: Value = serde_json::from_slice(&event.to_json()).unwrap();
        let example = serde_json::to_string_pretty(&body).unwrap();
        let heading = format!("## `event.rack.<rack>.{}`", event.action.deed.word());
        assert!(page.contains(&heading), "docs/events.md has no {heading}");
        assert!(
            page.contains(&example),
            "docs/events.md does not show this example:\n{example}"
        );
    }
}

#[test]
fn a_record_with_an_action_of_a_later_version_is_read() {
    let mut record: Value =
        serde_json::from_str(include_str!("../golden/rack_untold.json")).unwrap();
    let untold = record["untold"].as_array_mut().unwrap();
    untold
        .push(json!({"at": "2026-11-21T06:30:00Z", "by": "ann", "type": "racktick.rack.painted"}));
    let known = untold.len() - 1;
    let record: RackRecord = serde_json::from_value(record).unwrap();
    assert_eq!(record.untold.len(), known);
}
