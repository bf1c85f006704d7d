use serde_json::json;

use super::*;
use crate::outcome::{FailCause, LostCause};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// One event of each kind, with every optional field present in at least one.
fn one_of_each() -> Vec<Event> {
    let rack = RackName::new("r7").unwrap();
    let slot = time("2026-11-21T06:00:00Z");
    let cycle = CycleId::of_slot(&rack, slot);
    let machine = MachineName::new("node3").unwrap();
    let job = Job {
        job: JobId::of(cycle, &machine),
        machine: machine.clone(),
    };
    let deadline = time("2026-11-21T10:00:00Z");
    let verdict = Outcome::Failed {
        cause: FailCause::Phase,
        phase: Some(Phase::Provision),
        exit_code: Some(1),
    };
    let counts = Counts::of([
        &verdict,
        &Outcome::Passed,
        &Outcome::Skipped(Skip::new(SkipReason::NoAgent)),
    ]);
    let cancel = crate::machine::CancelRequest {
        cause: crate::machine::CancelCause::Asked,
        by: "ann".into(),
        why: "wrong image".into(),
        at: slot,
    };
    let facts = [
        Fact::CycleStarted {
            origin: Origin::Slot { slot },
        },
        Fact::CyclePlanned {
            deploy: 2,
            skip: BTreeMap::from([(SkipReason::NoAgent, 1)]),
            deploy_by: time("2026-11-21T07:30:00Z"),
            spread: Duration::from_secs(3600),
        },
        Fact::CycleRetrying {
            attempt: 1,
            cause: "timeout".into(),
            message: "MAAS did not answer within 30s".into(),
            next_at: time("2026-11-21T06:00:30Z"),
        },
        Fact::CycleFailed {
            attempts: 12,
            cause: "unknown_tag".into(),
            message: "MAAS has no tag r7".into(),
        },
        Fact::CycleFinished {
            counts,
            duration: Duration::from_secs(5400),
        },
        Fact::MachineSkipped {
            machine,
            skip: Skip::of(SkipReason::MaasOwner, "ann"),
        },
        Fact::JobSubmitted {
            job: job.clone(),
            deadline,
            image: Image {
                distro: Some("noble".into()),
                kernel: Some("hwe-24.04".into()),
            },
        },
        Fact::JobRejected {
            job: job.clone(),
            status: 422,
            message: "Validation error".into(),
        },
        Fact::JobProgressed {
            job: job.clone(),
            state: "provision".into(),
        },
        Fact::JobOverdue {
            job: job.clone(),
            deadline,
        },
        Fact::JobDoubled {
            job: job.clone(),
            entries: 2,
        },
        Fact::JobFinished {
            job: job.clone(),
            verdict,
            statuses: BTreeMap::from([
                (Phase::Setup, 0),
                (Phase::Provision, 1),
                (Phase::Cleanup, 0),
            ]),
            submitted_at: Some(slot),
            cancel: Some(cancel),
            device: Some(json!({"agent_name": "node3", "device_ip": "10.0.0.3"})),
            evidence: Some(Keeping::Kept {
                digest: "SHA-256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=".into(),
                size: 4711,
            }),
        },
        Fact::TickMissed {
            origin: Origin::Slot { slot },
            cause: MissedCause::Late,
        },
    ];
    facts
        .into_iter()
        .map(|fact| Event {
            time: time("2026-11-21T06:00:01Z"),
            rack: rack.clone(),
            cycle,
            fact,
        })
        .collect()
}

#[test]
fn every_event_comes_back_from_its_body() {
    for event in one_of_each() {
        let body = event.to_json();
        assert_eq!(
            Event::from_json(&body).unwrap(),
            event,
            "{}",
            String::from_utf8_lossy(&body)
        );
    }
}

#[test]
fn every_kind_is_listed_once() {
    let words = one_of_each().into_iter().map(|event| event.fact.words());
    let mut told: Vec<String> = words
        .map(|(about, what)| format!("{about}.{what}"))
        .collect();
    told.sort();
    told.dedup();
    let mut listed = Fact::KINDS.to_vec();
    listed.sort();
    assert_eq!(told, listed);
}

#[test]
fn every_event_is_a_cloud_event_and_its_type_follows_its_subject() {
    for event in one_of_each() {
        let body: Value = serde_json::from_slice(&event.to_json()).unwrap();
        let (about, what) = event.fact.words();
        assert_eq!(body["specversion"], "1.0");
        assert_eq!(body["type"], format!("racktick.{about}.{what}"));
        assert_eq!(body["data"]["v"], 1);
        let subject = event.subject().to_string();
        assert!(
            subject.starts_with(&format!("event.{about}.r7.")) && subject.ends_with(what),
            "{subject}"
        );
        assert_eq!(subject.parse::<Subject>().unwrap(), event.subject());
    }
}

#[test]
fn ids_differ_between_facts_and_not_between_repeats() {
    let ids: Vec<String> = one_of_each().iter().map(Event::id).collect();
    let mut unique = ids.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), ids.len());
    let mut later = one_of_each();
    for event in &mut later {
        event.time = time("2027-01-01T00:00:00Z");
    }
    assert_eq!(later.iter().map(Event::id).collect::<Vec<_>>(), ids);
}

/// The operators' page shows each event as it is on the wire.
#[test]
fn the_documented_examples_are_the_events() {
    let page = include_str!("../../../docs/events.md");
    for event in one_of_each() {
        let body: Value = serde_json::from_slice(&event.to_json()).unwrap();
        let example = serde_json::to_string_pretty(&body).unwrap();
        let (about, what) = event.fact.words();
        let subject = match event.fact.machine() {
            Some(_) => format!("event.{about}.<rack>.<agent>.{what}"),
            None => format!("event.{about}.<rack>.{what}"),
        };
        assert!(
            page.contains(&format!("## `{subject}`")),
            "docs/events.md has no section for `{subject}`"
        );
        assert!(
            page.contains(&example),
            "docs/events.md does not show this example of `{subject}`:\n{example}"
        );
    }
}

#[test]
fn an_unknown_field_is_ignored_and_an_unknown_type_is_an_error() {
    let event = &one_of_each()[5];
    let mut body: Value = serde_json::from_slice(&event.to_json()).unwrap();
    body["data"]["colour"] = json!("red");
    body["sequence"] = json!(7);
    assert_eq!(
        &Event::from_json(&serde_json::to_vec(&body).unwrap()).unwrap(),
        event
    );
    body["type"] = json!("racktick.cycle.exploded");
    assert!(Event::from_json(&serde_json::to_vec(&body).unwrap()).is_err());
}

#[test]
fn a_state_from_outside_cannot_break_an_event_id() {
    let Fact::JobProgressed { job, .. } = one_of_each().swap_remove(8).fact else {
        panic!("order changed")
    };
    let mut event = one_of_each().swap_remove(8);
    event.fact = Fact::JobProgressed {
        job,
        state: format!("a\r\nb {}", "x".repeat(500)),
    };
    assert!(event.id().len() < 128 && event.id().chars().all(|c| c.is_ascii_graphic()));
}

#[test]
fn a_lost_job_names_its_cause() {
    let body = serde_json::to_value(Outcome::Lost {
        cause: LostCause::Gone,
    })
    .unwrap();
    assert_eq!(body, json!({"kind": "lost", "cause": "gone"}));
}
