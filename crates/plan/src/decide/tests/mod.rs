//! A rack to which nothing objects, and what its decisions are when something does.

use model::id::{CycleId, JobId};
use model::name::RackName;
use model::policy::Policy;

use super::*;

mod rules;
mod values;

fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

fn job() -> JobId {
    let rack = RackName::new("r1").unwrap();
    let cycle = CycleId::of_slot(&rack, "2026-11-21T00:00:00Z".parse().unwrap());
    JobId::of(cycle, &name("m1"))
}

fn machine(hostname: &str) -> Machine {
    Machine {
        hostname: name(hostname),
        system_id: format!("id-{hostname}"),
        status: Some(4),
        status_name: "Ready".into(),
        owner: None,
        locked: false,
    }
}

fn agent(name: &str) -> Agent {
    Agent {
        name: name.into(),
        state: Some("waiting".into()),
        queues: vec![name.into(), "lab".into()],
        location: Some("TOR3".into()),
        updated_at: Some("2026-11-21T05:00:00Z".parse().unwrap()),
        streak_type: None,
        streak_count: 0,
        restricted_to: BTreeMap::new(),
    }
}

/// A rack of one machine to which nothing objects.
fn sound() -> Inputs {
    Inputs {
        v: Inputs::VERSION,
        now: "2026-11-21T06:00:00Z".parse().unwrap(),
        rack: RackName::new("r1").unwrap(),
        paused: false,
        policy: Policy::default(),
        whoami: "racktick".into(),
        machines: vec![machine("m1")],
        agents: vec![agent("m1"), agent("m2")],
        claims: BTreeMap::new(),
        allowed_queues: BTreeSet::new(),
    }
}

fn skip(inputs: &Inputs) -> Option<Skip> {
    let decisions = decide(inputs);
    assert_eq!(decisions.deploy.len() + decisions.skip.len(), 1);
    let skip = decisions.skip.get(&name("m1")).cloned()?;
    // Said by every rule about an agent, and the same in all tests but one.
    Some(Skip {
        heard_at: None,
        ..skip
    })
}

fn reason(change: impl FnOnce(&mut Inputs)) -> Option<SkipReason> {
    let mut inputs = sound();
    change(&mut inputs);
    skip(&inputs).map(|skip| skip.reason)
}

fn of_agent(change: impl FnOnce(&mut Agent)) -> Option<Skip> {
    let mut inputs = sound();
    change(&mut inputs.agents[0]);
    skip(&inputs)
}

#[test]
fn inputs_come_back_from_a_file_and_decide_the_same() {
    let inputs = sound();
    let saved = serde_json::to_string_pretty(&inputs).unwrap();
    let read: Inputs = serde_json::from_str(&saved).unwrap();
    assert_eq!(read, inputs);
    assert_eq!(decide(&read), decide(&inputs));
}
