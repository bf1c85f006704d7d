//! Each rule, and the order in which they object.

use super::*;

/// A rule, what makes it object, and the detail it then gives.
type Rule = (SkipReason, fn(&mut Inputs), Option<&'static str>);

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
                detail: detail.map(str::to_owned),
                heard_at: None,
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
        assert_eq!(alone, decide(&inputs).skip.remove(&name("m1")));
    }
}

#[test]
fn rules_about_an_agent_say_when_it_was_heard_of() {
    for (reason, spoil, _) in RULES {
        let mut inputs = sound();
        spoil(&mut inputs);
        let agent = inputs.agents.iter().find(|agent| agent.name == "m1");
        let wanted = match reason > SkipReason::NoAgent {
            true => agent.and_then(|agent| agent.updated_at),
            false => None,
        };
        let skip = decide(&inputs).skip.remove(&name("m1")).unwrap();
        assert_eq!(skip.heard_at, wanted, "{reason}");
    }
}
