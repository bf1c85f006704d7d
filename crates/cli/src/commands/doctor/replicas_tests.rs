#![allow(clippy::unwrap_used, reason = "a test may panic")]

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
        trouble: Some("JetStream stream '$G > TASK' is not current: group node unhealthy".into()),
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
