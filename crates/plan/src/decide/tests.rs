use model::id::{CycleId, JobId};
use model::name::RackName;
use model::policy::Policy;

use super::*;

/// A rule, what makes it object, and the detail it then gives.
type Rule = (SkipReason, fn(&mut Inputs), Option<&'static str>);

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

fn agents(inputs: &mut Inputs) -> impl Iterator<Item = &mut Agent> {
    inputs.agents.iter_mut()
}

/// All rules, in the order in which they object.
const RULES: [Rule; 14] = [
    (SkipReason::RackPaused, |inputs| inputs.paused = true, None),
    (
        SkipReason::Excluded,
        |inputs| inputs.policy.exclude = vec!["x".into(), "m?".into()],
        Some("m?"),
    ),
    (
        SkipReason::InFlight,
        |inputs| inputs.claims = BTreeMap::from([(name("m1"), job())]),
        Some(JOB),
    ),
    (
        SkipReason::MaasLocked,
        |inputs| inputs.machines[0].locked = true,
        None,
    ),
    (
        SkipReason::MaasStatus,
        |inputs| {
            inputs.machines[0].status = Some(9);
            inputs.machines[0].status_name = "Deploying".into();
        },
        Some("Deploying"),
    ),
    (
        SkipReason::MaasOwner,
        |inputs| inputs.machines[0].owner = Some("alice".into()),
        Some("alice"),
    ),
    (
        SkipReason::NoAgent,
        |inputs| inputs.agents.retain(|agent| agent.name != "m1"),
        None,
    ),
    (
        SkipReason::OtherLocation,
        |inputs| agents(inputs).for_each(|agent| agent.location = Some("TOR3-b".into())),
        Some("TOR3-b"),
    ),
    (
        SkipReason::AgentOffline,
        |inputs| agents(inputs).for_each(|agent| agent.state = Some("maintenance".into())),
        Some("maintenance"),
    ),
    (
        SkipReason::AgentSilent,
        |inputs| {
            let long_ago = "2026-11-20T03:59:59Z".parse().unwrap();
            agents(inputs).for_each(|agent| agent.updated_at = Some(long_ago));
        },
        Some("since 2026-11-20T03:59:59Z"),
    ),
    (
        SkipReason::AgentBusy,
        |inputs| agents(inputs).for_each(|agent| agent.state = Some("provision".into())),
        Some("provision"),
    ),
    (
        SkipReason::NotOnQueue,
        |inputs| agents(inputs).for_each(|agent| agent.queues = vec!["lab".into(), "big".into()]),
        Some("listens on big, lab"),
    ),
    (
        SkipReason::QueueRestricted,
        |inputs| {
            agents(inputs).for_each(|agent| {
                agent
                    .restricted_to
                    .insert("m1".into(), vec!["team-b".into(), "team-a".into()]);
            });
        },
        Some("to team-a, team-b"),
    ),
    (
        SkipReason::FailStreak,
        |inputs| {
            agents(inputs).for_each(|agent| {
                (agent.streak_type, agent.streak_count) = (Some("fail".into()), 21);
            });
        },
        Some("21 in a row"),
    ),
];
const JOB: &str = "db7a158c-a598-59d8-a4e0-41dd3c70a9e2";

fn skip(inputs: &Inputs) -> Option<Skip> {
    let decisions = decide(inputs);
    assert_eq!(decisions.deploy.len() + decisions.skip.len(), 1);
    decisions.skip.get(&name("m1")).cloned()
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
fn a_sound_machine_is_deployed() {
    assert_eq!(skip(&sound()), None);
}

#[test]
fn each_rule_objects_with_its_own_code_and_names_what_it_saw() {
    for (reason, spoil, detail) in RULES {
        let mut inputs = sound();
        spoil(&mut inputs);
        assert_eq!(
            skip(&inputs),
            Some(Skip {
                reason,
                detail: detail.map(str::to_owned)
            })
        );
    }
}

#[test]
fn of_two_objections_the_first_in_order_wins() {
    for (later, (_, spoil_later, _)) in RULES.iter().enumerate() {
        for (reason, spoil, _) in &RULES[..later] {
            let mut inputs = sound();
            spoil_later(&mut inputs);
            spoil(&mut inputs);
            assert_eq!(
                skip(&inputs).map(|skip| skip.reason),
                Some(*reason),
                "before {}",
                RULES[later].0
            );
        }
    }
}

#[test]
fn the_rules_are_all_codes_in_order_but_those_of_a_late_submit() {
    let rules: Vec<SkipReason> = RULES.iter().map(|(reason, ..)| *reason).collect();
    let codes: Vec<SkipReason> = SkipReason::ALL
        .iter()
        .copied()
        .filter(|reason| !matches!(reason, SkipReason::TooLate | SkipReason::Cancelled))
        .collect();
    assert_eq!(rules, codes);
}

#[test]
fn a_deployment_may_start_from_five_statuses() {
    let allowed: Vec<i64> = (-1..40)
        .filter(|status| {
            let reason = reason(|inputs| {
                inputs.machines[0].status = Some(*status);
                inputs.machines[0].owner = Some("racktick".into());
            });
            assert!(matches!(reason, None | Some(SkipReason::MaasStatus)));
            reason.is_none()
        })
        .collect();
    assert_eq!(allowed, [4, 6, 10, 11, 13]);
    assert_eq!(
        reason(|inputs| inputs.machines[0].status = None),
        Some(SkipReason::MaasStatus)
    );
}

#[test]
fn the_owner_is_the_user_of_the_key_or_one_that_the_policy_lists() {
    let owned = |owner: &str, listed: &[&str]| {
        reason(|inputs| {
            inputs.machines[0].status = Some(6);
            inputs.machines[0].owner = Some(owner.into());
            inputs.policy.maas_owners = listed.iter().map(|name| (*name).to_owned()).collect();
        })
    };
    assert_eq!(owned("racktick", &[]), None);
    assert_eq!(owned("Racktick", &[]), Some(SkipReason::MaasOwner));
    assert_eq!(owned("ci", &["ci", "lab"]), None);
    assert_eq!(
        owned("racktick", &["ci", "lab"]),
        Some(SkipReason::MaasOwner)
    );
}

#[test]
fn a_deployed_machine_of_nobody_is_left_alone() {
    let nobody = |status, owner: Option<&str>| {
        reason(|inputs| {
            inputs.machines[0].status = Some(status);
            inputs.machines[0].owner = owner.map(str::to_owned);
        })
    };
    assert_eq!(nobody(6, None), Some(SkipReason::MaasOwner));
    assert_eq!(nobody(6, Some("")), Some(SkipReason::MaasOwner));
    assert_eq!(nobody(4, None), None);
    assert_eq!(nobody(11, None), None);
}

#[test]
fn a_location_is_compared_exactly_with_the_list() {
    let at =
        |location: Option<&str>| of_agent(|agent| agent.location = location.map(str::to_owned));
    assert_eq!(
        at(None),
        Some(Skip::of(SkipReason::OtherLocation, "no location"))
    );
    assert_eq!(
        at(Some("")),
        Some(Skip::of(SkipReason::OtherLocation, "no location"))
    );
    assert!(at(Some("tor3")).is_some());
    let listed = reason(|inputs| {
        inputs.policy.locations = vec!["LON1".into(), "BER2".into()];
        inputs.agents[0].location = Some("BER2".into());
    });
    assert_eq!(listed, None);
}

#[test]
fn an_agent_is_silent_after_26_hours_to_the_second() {
    let heard = |at: &str| of_agent(|agent| agent.updated_at = Some(at.parse().unwrap()));
    assert_eq!(heard("2026-11-20T04:00:00Z"), None);
    assert!(heard("2026-11-20T03:59:59Z").is_some());
    assert_eq!(heard("2026-11-21T07:00:00Z"), None);
    assert_eq!(
        of_agent(|agent| agent.updated_at = None),
        Some(Skip::of(SkipReason::AgentSilent, "never heard of"))
    );
}

#[test]
fn only_waiting_is_not_busy() {
    let state = |state: Option<&str>| of_agent(|agent| agent.state = state.map(str::to_owned));
    for busy in [
        "setup",
        "reserve",
        "restart",
        "unknown",
        "Waiting",
        "hibernating",
    ] {
        assert_eq!(
            state(Some(busy)),
            Some(Skip::of(SkipReason::AgentBusy, busy))
        );
    }
    assert_eq!(
        state(None),
        Some(Skip::of(SkipReason::AgentBusy, "no state"))
    );
    assert_eq!(
        state(Some("")),
        Some(Skip::of(SkipReason::AgentBusy, "no state"))
    );
    assert_eq!(
        state(Some("offline")),
        Some(Skip::of(SkipReason::AgentOffline, "offline"))
    );
}

#[test]
fn an_agent_with_restricted_queues_polls_only_those() {
    let restricted = |queues: &[(&str, &[&str])], allowed: &[&str]| {
        let mut inputs = sound();
        for (queue, owners) in queues {
            let owners = owners.iter().map(|owner| (*owner).to_owned()).collect();
            inputs.agents[0]
                .restricted_to
                .insert((*queue).to_owned(), owners);
        }
        inputs.allowed_queues = allowed.iter().map(|queue| (*queue).to_owned()).collect();
        skip(&inputs)
    };
    assert_eq!(
        restricted(&[("lab", &["team"])], &["lab"]),
        Some(Skip::of(SkipReason::NotOnQueue, "polls only lab"))
    );
    assert_eq!(restricted(&[("lab", &[])], &[]), None);
    assert_eq!(
        restricted(&[("m1", &["us"]), ("lab", &["team"])], &["m1"]),
        None
    );
    assert_eq!(
        restricted(&[("m1", &[])], &[]),
        Some(Skip::of(SkipReason::QueueRestricted, "to nobody"))
    );
    assert_eq!(
        restricted(&[("m1", &["us"])], &["lab"]),
        Some(Skip::of(SkipReason::QueueRestricted, "to us"))
    );
}

#[test]
fn a_streak_counts_only_if_it_failed_and_is_above_the_limit() {
    let streak = |kind: Option<&str>, count| {
        of_agent(|agent| (agent.streak_type, agent.streak_count) = (kind.map(str::to_owned), count))
    };
    assert_eq!(streak(Some("fail"), 20), None);
    assert!(streak(Some("fail"), 21).is_some());
    assert_eq!(streak(Some("pass"), 500), None);
    assert_eq!(streak(None, 500), None);
}

#[test]
fn a_name_that_several_machines_have_is_deployed_once_and_only_if_all_agree() {
    let mut inputs = sound();
    inputs.machines.push(Machine {
        system_id: "other".into(),
        ..machine("m1")
    });
    assert_eq!(decide(&inputs).deploy.len(), 1);
    inputs.machines[1].owner = Some("alice".into());
    let expected = Skip::of(
        SkipReason::MaasOwner,
        "alice (other, one of 2 machines of this name)",
    );
    assert_eq!(skip(&inputs), Some(expected));
    inputs.machines[0].locked = true;
    let expected = Skip::of(
        SkipReason::MaasLocked,
        "id-m1, one of 2 machines of this name",
    );
    assert_eq!(skip(&inputs), Some(expected));
}

#[test]
fn a_name_that_several_agents_have_is_deployed_only_if_all_agree() {
    let mut inputs = sound();
    inputs.agents.push(agent("m1"));
    assert_eq!(skip(&inputs), None);
    inputs.agents[2].state = Some("test".into());
    assert_eq!(skip(&inputs), Some(Skip::of(SkipReason::AgentBusy, "test")));
}

#[test]
fn what_strangers_wrote_is_cut_short() {
    let long = of_agent(|agent| agent.state = Some("é".repeat(1_000_000))).unwrap();
    assert_eq!(long.detail.unwrap().chars().count(), 203);
    let many =
        of_agent(|agent| agent.queues = (0..1000).map(|n| format!("q{n:04}")).collect()).unwrap();
    assert_eq!(
        many.detail.unwrap(),
        "listens on q0000, q0001, q0002, q0003, q0004 and 995 more"
    );
}

#[test]
fn a_late_submit_hears_the_same_from_the_agent_alone() {
    for (_, spoil, _) in RULES
        .iter()
        .skip_while(|(reason, ..)| *reason != SkipReason::NoAgent)
    {
        let mut inputs = sound();
        spoil(&mut inputs);
        let agent = inputs.agents.iter().find(|agent| agent.name == "m1");
        let alone = object_to_agent(
            &inputs.policy,
            inputs.now,
            agent,
            &name("m1"),
            &inputs.allowed_queues,
        );
        assert_eq!(alone, skip(&inputs));
    }
}

#[test]
fn inputs_come_back_from_a_file_and_decide_the_same() {
    let inputs = sound();
    let saved = serde_json::to_string_pretty(&inputs).unwrap();
    let read: Inputs = serde_json::from_str(&saved).unwrap();
    assert_eq!(read, inputs);
    assert_eq!(decide(&read), decide(&inputs));
}
