//! Replicas, leaders, lag and disk: what of it is risky. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::topology::{Item, Sight, Standing, Work};
use jiff::SignedDuration;

use super::Findings;
use super::nodes::Node;

const REPLICAS: &str = "replicas";
const SYNC: &str = "sync";
const HEALTH: &str = "health";
/// A follower this far behind would take a while to catch up.
const FAR_BEHIND: u64 = 1000;
/// How a server's `/healthz` says that it has not everything yet.
const CATCHING_UP: &str = "not current";

/// Says how everything is kept, and what is risky about it.
pub(super) fn judge(sight: &Sight, nodes: &[Node], findings: &mut Findings) {
    let standings = &sight.standings;
    let streams: Vec<&Standing> = standings
        .iter()
        .filter(|standing| standing.work.is_none())
        .collect();
    let lacking = standings.iter().any(|standing| standing.lacking() > 0);
    replicas(&streams, !lacking && sight.silent.is_empty(), findings);
    for standing in standings {
        leaderless(standing, findings);
    }
    copies(standings, findings);
    followers(standings, findings);
    health(nodes, findings);
    servers(nodes, findings);
    let fewest = streams.iter().map(|stream| stream.replicas).min();
    sync(nodes, fewest.unwrap_or(1), findings);
    for standing in standings {
        if let (Item::Consumer { name, .. }, Some(work)) = (&standing.item, &standing.work) {
            lag(name, work, findings);
        }
    }
}

/// `whole`: of nothing a copy is missing or unknown.
fn replicas(streams: &[&Standing], whole: bool, findings: &mut Findings) {
    let numbers: BTreeSet<u64> = streams.iter().map(|stream| stream.replicas).collect();
    let in_cluster = streams.iter().any(|stream| stream.cluster.is_some());
    let mut leads = BTreeMap::<&str, usize>::new();
    for leader in streams.iter().filter_map(|stream| stream.leader.as_deref()) {
        *leads.entry(leader).or_default() += 1;
    }
    let leaders: Vec<String> = leads
        .iter()
        .map(|(name, number)| format!("{name} leads {number}"))
        .collect();
    let leaders = match leaders.is_empty() {
        true => String::new(),
        false => format!("; {}", leaders.join(", ")),
    };
    match (numbers.len(), numbers.first().copied()) {
        (0, _) | (_, None) => {}
        (1, Some(1)) if in_cluster => findings.look(
            REPLICAS,
            format!(
                "every stream is kept on one server of a cluster{leaders}: the loss of one server stops work; \
                 set RACKTICK_REPLICAS=3 and run `racktick setup`"
            ),
        ),
        (1, Some(1)) => findings.ok(REPLICAS, "one server keeps everything"),
        (1, Some(number)) if number % 2 == 0 => findings.look(
            REPLICAS,
            format!(
                "every stream is kept {number} times{leaders}: that survives the loss of no more servers than {} times; \
                 set RACKTICK_REPLICAS=3 and run `racktick setup`",
                number - 1
            ),
        ),
        // What says so names them.
        (1, Some(_)) if !whole => {}
        (1, Some(number)) => findings.ok(
            REPLICAS,
            format!("every stream and consumer is kept {number} times{leaders}"),
        ),
        _ => {
            let each: Vec<String> = streams
                .iter()
                .map(|stream| format!("{} {}", stream.item, stream.replicas))
                .collect();
            findings.look(
                REPLICAS,
                format!(
                    "not everything is kept equally often ({}): set RACKTICK_REPLICAS and run `racktick setup`",
                    each.join(", ")
                ),
            );
        }
    }
}

fn leaderless(standing: &Standing, findings: &mut Findings) {
    if standing.cluster.is_some() && standing.leader.is_none() {
        findings.wrong(
            REPLICAS,
            format!(
                "{} has no leader: more than half of its servers must run and reach each other",
                standing.item
            ),
        );
    }
}

/// What servers still have to be given, as after `RACKTICK_REPLICAS` became larger.
fn copies(standings: &[Standing], findings: &mut Findings) {
    let few: Vec<String> = standings
        .iter()
        .filter(|standing| standing.lacking() > 0)
        .map(|standing| {
            let kept = standing.replicas - standing.lacking();
            format!("{} is on {kept} of {}", standing.item, standing.replicas)
        })
        .collect();
    if !few.is_empty() {
        findings.look(
            REPLICAS,
            format!(
                "the servers are still being given their copies, restart or remove none until they have them: {}",
                few.join(", ")
            ),
        );
    }
}

/// What one server has to keep and does not.
#[derive(Default)]
struct Lacking {
    offline: bool,
    behind: Vec<String>,
    silent: Duration,
}

/// Servers that are away or not in step, a finding for each.
fn followers(standings: &[Standing], findings: &mut Findings) {
    let mut lacking = BTreeMap::<&str, Lacking>::new();
    for standing in standings {
        for follower in &standing.followers {
            if follower.current && !follower.offline && follower.lag < FAR_BEHIND {
                continue;
            }
            let lacks = lacking.entry(&follower.name).or_default();
            lacks.offline |= follower.offline;
            lacks.silent = lacks.silent.max(Duration::from_nanos(follower.active));
            lacks
                .behind
                .push(format!("{} by {}", standing.item, follower.lag));
        }
    }
    let away = lacking.len() as u64;
    let kept = standings.iter().map(|standing| standing.replicas).max();
    let replicas = kept.unwrap_or(1).max(away + 1);
    let spare = (replicas - away).saturating_sub(replicas / 2 + 1);
    let left = match spare {
        0 => "the loss of another one stops work".to_owned(),
        spare => format!("the loss of {spare} more is survived"),
    };
    for (name, lacks) in lacking {
        let silent = match lacks.silent.as_secs() {
            0 => String::new(),
            seconds => format!(" (last heard {seconds}s ago)"),
        };
        let is = match lacks.offline {
            true => "is offline",
            false => "is not in step",
        };
        findings.look(
            REPLICAS,
            format!(
                "{name} {is}{silent}, so {} of {replicas} servers keep everything, and {left}: see that it runs, and \
                 restart or remove no other until it caught up; it is behind in {}",
                replicas - away,
                lacks.behind.join(", ")
            ),
        );
    }
}

/// What the servers say is wrong with them. One of several may be ill without any harm.
fn health(nodes: &[Node], findings: &mut Findings) {
    for node in nodes {
        let Some(trouble) = &node.trouble else {
            continue;
        };
        let advice = match trouble.contains(CATCHING_UP) {
            true => "it may be catching up: restart or remove no server until it is well",
            false => "after an error of its disk, mend the disk and restart it",
        };
        let says = format!(
            "{} says that it is not well: {trouble}; {advice}",
            node.name
        );
        match node.cluster_size {
            None => findings.wrong(HEALTH, says),
            Some(_) => findings.look(HEALTH, says),
        }
    }
}

fn servers(nodes: &[Node], findings: &mut Findings) {
    let sizes: BTreeSet<u64> = nodes.iter().filter_map(|node| node.cluster_size).collect();
    for size in sizes {
        if size % 2 == 0 {
            findings.look(
                REPLICAS,
                format!(
                    "the cluster has {size} servers: it survives the loss of no more of them than one of {}",
                    size - 1
                ),
            );
        }
    }
}

fn sync(nodes: &[Node], replicas: u64, findings: &mut Findings) {
    for node in nodes {
        let name = &node.name;
        match (node.sync, replicas) {
            (Sync::Always, _) => findings.ok(SYNC, format!("{name}: what is acknowledged is on its disk")),
            (Sync::Every(time), 1) => findings.look(
                SYNC,
                format!(
                    "{name} writes to its disk every {}: a power failure takes as much of acknowledged work, and \
                     nothing else has a copy; set `sync_interval: always`",
                    shown(time)
                ),
            ),
            (Sync::Every(time), _) => findings.look(
                SYNC,
                format!(
                    "{name} writes to its disk every {}: a power failure of all servers takes as much of acknowledged \
                     work, unless they have independent power; set `sync_interval: always`",
                    shown(time)
                ),
            ),
            (Sync::Unknown, _) => findings.look(
                SYNC,
                format!(
                    "{name} cannot be asked how it writes to its disk: see `sync_interval` in its configuration, or \
                     `sync_always` in what its monitoring says at /varz; NATS_MONITORING tells doctor where that is"
                ),
            ),
        }
    }
}

/// When a server makes sure that what it acknowledged is on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// Before it acknowledges.
    Always,
    /// Within this time.
    Every(Duration),
    /// It cannot be asked: the protocol that clients speak does not tell.
    Unknown,
}

fn shown(time: Duration) -> String {
    match SignedDuration::try_from(time) {
        Ok(time) => format!("{time:#}"),
        Err(_) => format!("{time:?}"),
    }
}

fn lag(name: &str, work: &Work, findings: &mut Findings) {
    let what = format!("{name} tasks");
    let mut says = format!("{} wait, {} are at work", work.waiting, work.out);
    if work.again > 0 {
        says.push_str(&format!(", {} of them not for the first time", work.again));
    }
    if work.waiting > 0 && work.takers == 0 && work.out == 0 {
        findings.look(
            what,
            format!("{says}: nobody takes them; does a worker run?"),
        );
    } else if work.most_out > 0 && work.out >= work.most_out {
        findings.look(
            what,
            format!("{says}: as many as may be, so no worker gets more"),
        );
    } else {
        findings.ok(what, says);
    }
}

#[cfg(test)]
#[path = "replicas_tests.rs"]
mod tests;
