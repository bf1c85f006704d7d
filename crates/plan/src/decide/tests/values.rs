//! The values at which each rule begins to object.

use super::*;

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
