//! What holds for decisions whatever MAAS and Testflinger say.

use jiff::{SignedDuration, Timestamp};
use model::id::{CycleId, JobId};
use model::name::RackName;
use model::policy::Policy;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const NOW: Timestamp = Timestamp::constant(1_795_240_800, 0);

fn names() -> impl Strategy<Value = &'static str> {
    select(vec!["m1", "m2", "m3", "m.4", "node *"])
}

fn machines() -> impl Strategy<Value = Machine> {
    let owners = select(vec!["racktick", "ci", "alice", ""]);
    (
        names(),
        "[a-z]{6}",
        option::weighted(0.95, select(vec![4_i64, 6, 10, 11, 13, 9, 77])),
        option::of(owners),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(name, system_id, status, owner, locked)| Machine {
            hostname: MachineName::new(name).unwrap(),
            system_id,
            status,
            status_name: "Some status".into(),
            owner: owner.map(str::to_owned),
            locked,
        })
}

fn agents() -> impl Strategy<Value = Agent> {
    let state = option::weighted(
        0.95,
        prop_oneof![9 => Just("waiting"), 1 => select(vec!["offline", "provision", ""])],
    );
    let location = option::weighted(0.95, prop_oneof![9 => Just("TOR3"), 1 => Just("LON1")]);
    let heard = option::weighted(0.95, -10_i64..30);
    let streak = (option::of(select(vec!["fail", "pass"])), 0_u32..24);
    let restricted = option::weighted(
        0.3,
        btree_map(
            names().prop_map(str::to_owned),
            vec("[ab]".prop_map(String::from), 0..2),
            1..3,
        ),
    );
    (
        names(),
        state,
        vec(names(), 0..6),
        location,
        heard,
        streak,
        restricted,
    )
        .prop_map(
            |(name, state, queues, location, hours, (streak_type, streak_count), restricted_to)| {
                Agent {
                    name: name.into(),
                    state: state.map(str::to_owned),
                    queues: queues
                        .into_iter()
                        .chain([name])
                        .map(str::to_owned)
                        .collect(),
                    location: location.map(str::to_owned),
                    updated_at: hours.map(|hours| NOW - SignedDuration::from_hours(hours)),
                    streak_type: streak_type.map(str::to_owned),
                    streak_count,
                    restricted_to: restricted_to.unwrap_or_default(),
                }
            },
        )
}

fn policies() -> impl Strategy<Value = Policy> {
    let exclude = vec(
        select(vec!["m1", "m?", "[", "node [*]"]).prop_map(str::to_owned),
        0..2,
    );
    let owners = vec(select(vec!["ci", "racktick"]).prop_map(str::to_owned), 0..2);
    (exclude, owners).prop_map(|(exclude, maas_owners)| Policy {
        exclude,
        maas_owners,
        ..Policy::default()
    })
}

fn inputs() -> impl Strategy<Value = Inputs> {
    let claims = btree_set(select(vec!["m1", "m2"]), 0..2);
    let allowed = btree_set(names().prop_map(str::to_owned), 0..3);
    (
        policies(),
        vec(machines(), 0..8),
        vec(agents(), 0..8),
        claims,
        allowed,
        prop::bool::weighted(0.05),
    )
        .prop_map(
            |(policy, machines, agents, claims, allowed_queues, paused)| {
                let rack = RackName::new("r1").unwrap();
                let cycle = CycleId::of_slot(&rack, NOW);
                let claim = |name: &str| {
                    let name = MachineName::new(name).unwrap();
                    let job = JobId::of(cycle, &name);
                    (name, job)
                };
                let claims = claims.into_iter().map(claim).collect();
                let whoami = "racktick".into();
                let v = Inputs::VERSION;
                Inputs {
                    v,
                    now: NOW,
                    rack,
                    paused,
                    policy,
                    whoami,
                    machines,
                    agents,
                    claims,
                    allowed_queues,
                }
            },
        )
}

fn is_a_persons(inputs: &Inputs, machine: &Machine) -> bool {
    let ours = match inputs.policy.maas_owners.as_slice() {
        [] => std::slice::from_ref(&inputs.whoami),
        listed => listed,
    };
    machine
        .owner
        .as_ref()
        .is_some_and(|owner| !owner.is_empty() && !ours.contains(owner))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_machine_is_decided_exactly_once(inputs in inputs()) {
        let decisions = decide(&inputs);
        let mut decided: Vec<&MachineName> = decisions.deploy.iter().chain(decisions.skip.keys()).collect();
        decided.sort();
        let machines: BTreeSet<&MachineName> = inputs.machines.iter().map(|machine| &machine.hostname).collect();
        prop_assert_eq!(decided, machines.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_order_of_the_inputs_changes_nothing(
        (inputs, machines, agents) in inputs().prop_flat_map(|inputs| {
            let machines = Just(inputs.machines.clone()).prop_shuffle();
            let agents = Just(inputs.agents.clone()).prop_shuffle();
            (Just(inputs), machines, agents)
        })
    ) {
        let mut shuffled = Inputs { machines, agents, ..inputs.clone() };
        shuffled.agents.iter_mut().for_each(|agent| agent.queues.reverse());
        prop_assert_eq!(decide(&shuffled), decide(&inputs));
    }

    #[test]
    fn a_machine_that_a_person_owns_is_never_deployed(inputs in inputs()) {
        let decisions = decide(&inputs);
        for machine in inputs.machines.iter().filter(|machine| is_a_persons(&inputs, machine)) {
            prop_assert!(!decisions.deploy.contains(&machine.hostname));
        }
    }

    #[test]
    fn what_is_deployed_has_nobody_against_it(inputs in inputs()) {
        for name in decide(&inputs).deploy {
            prop_assert!(!inputs.paused && !inputs.claims.contains_key(&name));
            let machines = inputs.machines.iter().filter(|machine| machine.hostname == name);
            prop_assert!(machines.into_iter().all(|machine| !machine.locked));
            let mut agents = inputs.agents.iter().filter(|agent| agent.name == name.as_str()).peekable();
            prop_assert!(agents.peek().is_some());
            for agent in agents {
                prop_assert_eq!(agent.state.as_deref(), Some("waiting"));
                prop_assert_eq!(agent.location.as_deref(), Some("TOR3"));
                let alone = object_to_agent(&inputs.policy, NOW, Some(agent), &name, &inputs.allowed_queues);
                prop_assert_eq!(alone, None);
            }
        }
    }

    #[test]
    fn a_pause_skips_every_machine(inputs in inputs()) {
        let decisions = decide(&Inputs { paused: true, ..inputs });
        prop_assert!(decisions.deploy.is_empty());
        prop_assert!(decisions.skip.values().all(|skip| skip.reason == SkipReason::RackPaused));
    }
}

#[test]
fn the_made_up_racks_reach_both_decisions() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut reasons = BTreeSet::new();
    let mut deployed = 0;
    for _ in 0..500 {
        let decisions = decide(&inputs().new_tree(&mut runner).unwrap().current());
        deployed += decisions.deploy.len();
        reasons.extend(decisions.skip.values().map(|skip| skip.reason));
    }
    assert!(deployed > 20, "only {deployed} machines were deployed");
    assert!(reasons.len() >= 13, "only {reasons:?} were reached");
}
