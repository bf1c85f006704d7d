//! What Testflinger says against a deployment.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use model::name::MachineName;
use model::outcome::{Skip, SkipReason};
use model::policy::Policy;

use crate::inputs::Agent;

/// The first objection that follows from the agent alone: the rules from `no_agent` to `fail_streak`. `None` for the
/// agent means that Testflinger has none of this name. A submit that was held back asks this again.
///
/// What an agent does not say counts against it: without a location it is at none that the policy lists, without a
/// time of renewal it was never heard of, without a state it may be doing anything.
pub fn object_to_agent(
    policy: &Policy,
    now: Timestamp,
    agent: Option<&Agent>,
    name: &MachineName,
    allowed_queues: &BTreeSet<String>,
) -> Option<Skip> {
    let Some(agent) = agent else {
        return Some(Skip::new(SkipReason::NoAgent));
    };
    other_location(policy, agent)
        .or_else(|| offline(agent))
        .or_else(|| silent(policy, now, agent))
        .or_else(|| busy(agent))
        .or_else(|| not_on_queue(agent, name.as_str()))
        .or_else(|| queue_restricted(agent, name.as_str(), allowed_queues))
        .or_else(|| fail_streak(policy, agent))
        .map(|skip| Skip {
            heard_at: agent.updated_at,
            ..super::short(skip)
        })
}

fn other_location(policy: &Policy, agent: &Agent) -> Option<Skip> {
    let location = agent.location.as_deref().unwrap_or_default();
    if !location.is_empty() && policy.locations.iter().any(|listed| listed == location) {
        return None;
    }
    let detail = if location.is_empty() {
        "no location"
    } else {
        location
    };
    Some(Skip::of(SkipReason::OtherLocation, detail))
}

fn offline(agent: &Agent) -> Option<Skip> {
    let state = agent.state.as_deref()?;
    matches!(state, "offline" | "maintenance").then(|| Skip::of(SkipReason::AgentOffline, state))
}

fn silent(policy: &Policy, now: Timestamp, agent: &Agent) -> Option<Skip> {
    // The server stamps every record that an agent posts. One without a stamp is of no agent that is alive.
    let Some(updated_at) = agent.updated_at else {
        return Some(Skip::of(SkipReason::AgentSilent, "never heard of"));
    };
    let limit = SignedDuration::try_from(policy.agent_silent_after).unwrap_or(SignedDuration::MAX);
    (now.duration_since(updated_at) > limit)
        .then(|| Skip::of(SkipReason::AgentSilent, format!("since {updated_at}")))
}

fn busy(agent: &Agent) -> Option<Skip> {
    match agent.state.as_deref() {
        Some("waiting") => None,
        Some(state) if !state.is_empty() => Some(Skip::of(SkipReason::AgentBusy, state)),
        _ => Some(Skip::of(SkipReason::AgentBusy, "no state")),
    }
}

fn not_on_queue(agent: &Agent, queue: &str) -> Option<Skip> {
    if !agent.queues.iter().any(|listed| listed == queue) {
        let detail = if agent.queues.is_empty() {
            "listens on no queue".to_owned()
        } else {
            format!(
                "listens on {}",
                some_of(agent.queues.iter().map(String::as_str))
            )
        };
        return Some(Skip::of(SkipReason::NotOnQueue, detail));
    }
    // An agent with a restricted queue that has owners polls its restricted queues only.
    let polled: BTreeSet<&str> = agent
        .restricted_to
        .iter()
        .filter(|(_, owners)| !owners.is_empty())
        .map(|(queue, _)| queue.as_str())
        .collect();
    (!polled.is_empty() && !polled.contains(queue)).then(|| {
        let detail = format!("polls only {}", some_of(polled.into_iter()));
        Skip::of(SkipReason::NotOnQueue, detail)
    })
}

fn queue_restricted(agent: &Agent, queue: &str, allowed: &BTreeSet<String>) -> Option<Skip> {
    let owners = agent.restricted_to.get(queue)?;
    if allowed.contains(queue) {
        return None;
    }
    let detail = if owners.is_empty() {
        "to nobody".to_owned()
    } else {
        format!("to {}", some_of(owners.iter().map(String::as_str)))
    };
    Some(Skip::of(SkipReason::QueueRestricted, detail))
}

fn fail_streak(policy: &Policy, agent: &Agent) -> Option<Skip> {
    let failing = agent.streak_type.as_deref() == Some("fail");
    (failing && agent.streak_count > policy.fail_streak_limit).then(|| {
        let detail = format!("{} in a row", agent.streak_count);
        Skip::of(SkipReason::FailStreak, detail)
    })
}

/// The first few names of a list, sorted. Details are stored with every cycle and must stay short.
fn some_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let names: BTreeSet<&str> = names.collect();
    let shown: Vec<&str> = names.iter().take(SHOWN).copied().collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
