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
mod tests {
    use std::slice;

    use bus::topology::Follower;

    use super::super::{Check, Health};
    use super::*;

    fn follower(name: &str) -> Follower {
        Follower {
            name: name.into(),
            current: true,
            offline: false,
            lag: 0,
            active: 0,
        }
    }

    fn stream(name: &str, replicas: u64) -> Standing {
        let followers = ["n2", "n3", "n4"];
        Standing {
            item: Item::Stream(name.into()),
            replicas,
            cluster: Some("racktick".into()),
            leader: Some("n1".into()),
            followers: followers
                .into_iter()
                .map(follower)
                .take(usize::try_from(replicas).unwrap() - 1)
                .collect(),
            work: None,
        }
    }

    fn node(sync: Sync, cluster_size: Option<u64>) -> Node {
        Node {
            name: "n1".into(),
            sync,
            cluster_size,
            trouble: None,
        }
    }

    /// What is not ok, and whether anything is.
    fn risks(standings: &[Standing], nodes: &[Node]) -> Vec<String> {
        let found = found(sight(standings), nodes).into_iter();
        let bad = found.filter(|check| check.health != Health::Ok);
        bad.map(|check| check.says).collect()
    }

    fn sight(standings: &[Standing]) -> Sight {
        Sight {
            standings: standings.to_vec(),
            ..Sight::default()
        }
    }

    fn found(sight: Sight, nodes: &[Node]) -> Vec<Check> {
        let mut findings = Findings::default();
        judge(&sight, nodes, &mut findings);
        findings.0
    }

    #[track_caller]
    fn one(risks: Vec<String>, part: &str) {
        assert!(risks.len() == 1 && risks[0].contains(part), "{risks:?}");
    }

    #[test]
    fn three_in_step_with_sync_are_no_risk() {
        let nodes = [node(Sync::Always, Some(3))];
        assert_eq!(
            risks(&[stream("RACK", 3), stream("TASK", 3)], &nodes),
            [""; 0]
        );
    }

    #[test]
    fn a_server_that_cannot_write_is_named_with_its_own_words() {
        let sick = Node {
            trouble: Some("write error: read-only file system".into()),
            ..node(Sync::Always, Some(3))
        };
        let found = risks(&[stream("TASK", 3)], &[sick]);
        one(found, "n1 says that it is not well: write error: read-only");
    }

    #[test]
    fn one_server_is_no_risk_but_for_its_power() {
        let alone = Standing {
            cluster: None,
            leader: None,
            ..stream("RACK", 1)
        };
        assert_eq!(
            risks(slice::from_ref(&alone), &[node(Sync::Always, None)]),
            [""; 0]
        );
        let minutes = node(Sync::Every(Duration::from_secs(120)), None);
        one(
            risks(slice::from_ref(&alone), &[minutes]),
            "every 2m: a power failure takes",
        );
        one(
            risks(&[alone], &[node(Sync::Unknown, None)]),
            "cannot be asked how it writes",
        );
    }

    #[test]
    fn what_a_cluster_does_not_give_is_named() {
        one(
            risks(&[stream("RACK", 1)], &[]),
            "on one server of a cluster",
        );
        one(risks(&[stream("RACK", 2)], &[]), "kept 2 times");
        one(
            risks(&[stream("RACK", 1), stream("TASK", 3)], &[]),
            "(stream RACK 1, stream TASK 3)",
        );
        one(
            risks(&[stream("RACK", 3)], &[node(Sync::Always, Some(4))]),
            "the cluster has 4 servers",
        );
    }

    #[test]
    fn servers_that_are_away_or_behind_are_named_with_what_is_left() {
        let mut away = stream("TASK", 3);
        away.followers[1].offline = true;
        one(
            risks(&[away], &[]),
            "n3 is offline, so 2 of 3 servers keep everything, and the loss of another one stops work",
        );
        let mut behind = stream("TASK", 3);
        behind.followers[0].current = false;
        behind.followers[0].lag = 7;
        behind.followers[0].active = 9_000_000_000;
        one(
            risks(&[behind], &[]),
            "n2 is not in step (last heard 9s ago), so 2 of 3",
        );
        let leaderless = Standing {
            leader: None,
            ..stream("TASK", 3)
        };
        one(risks(&[leaderless], &[]), "stream TASK has no leader");
    }

    #[test]
    fn copies_that_are_not_made_yet_are_named() {
        let mut one_only = stream("TASK", 3);
        one_only.followers.clear();
        one(
            risks(&[stream("RACK", 3), one_only], &[]),
            "restart or remove none until they have them: stream TASK is on 1 of 3",
        );
        let mut two = stream("TASK", 3);
        two.followers.pop();
        let said = found(sight(&[two]), &[]);
        assert_eq!(said.len(), 1, "what is said of it is not ok");
    }

    /// Streams have their copies up to a second before their consumers.
    #[test]
    fn consumers_whose_copies_are_not_made_yet_are_named() {
        let mut alone = consumer(IDLE);
        alone.followers.clear();
        let said = found(sight(&[stream("TASK", 3), alone]), &[]);
        let said: Vec<_> = said.iter().filter(|check| check.what == REPLICAS).collect();
        assert!(
            said.len() == 1
                && said[0].health == Health::Look
                && said[0]
                    .says
                    .ends_with("until they have them: consumer watch of TASK is on 1 of 3"),
            "{said:?}"
        );
    }

    #[test]
    fn nothing_is_well_kept_while_something_does_not_answer() {
        let mut silent = sight(&[stream("TASK", 3)]);
        silent.silent.insert(consumer(IDLE).item);
        assert!(found(silent, &[]).is_empty());
    }

    #[test]
    fn a_server_that_catches_up_is_not_to_be_restarted() {
        let late = Node {
            trouble: Some(
                "JetStream stream '$G > TASK' is not current: group node unhealthy".into(),
            ),
            ..node(Sync::Always, Some(3))
        };
        let said = risks(&[stream("TASK", 3)], &[late]);
        one(said, "restart or remove no server until it is well");
    }

    const IDLE: Work = Work {
        waiting: 0,
        out: 0,
        most_out: 10,
        again: 0,
        takers: 0,
    };

    fn consumer(work: Work) -> Standing {
        Standing {
            item: Item::Consumer {
                stream: "TASK".into(),
                name: "watch".into(),
            },
            work: Some(work),
            ..stream("TASK", 3)
        }
    }

    #[test]
    fn work_that_nobody_takes_is_named() {
        assert_eq!(risks(&[consumer(IDLE)], &[]), [""; 0]);
        let left = Work { waiting: 5, ..IDLE };
        one(risks(&[consumer(left)], &[]), "does a worker run?");
        let full = Work {
            out: 10,
            takers: 1,
            ..left
        };
        one(risks(&[consumer(full)], &[]), "no worker gets more");
    }
}
