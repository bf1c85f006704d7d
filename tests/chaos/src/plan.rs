//! What a round will do and when: all of it drawn from a seed before the round begins.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::fault::{Cable, Fault, Node, Role, lab_faults};

/// Faults and ticks happen within this after the system is up.
pub(crate) const TROUBLE: Duration = Duration::from_secs(58);
/// Everything has settled so long after the faults stopped: a message may have to come again twice, ten seconds apart,
/// because a broker first hands it to what was left waiting by a worker that is gone; then there is a settle time, a
/// job, and a look.
pub(crate) const HEAL: Duration = Duration::from_secs(20);
/// The last tick comes so long after the start, so that faults strike what it began.
const LAST_TICK: f64 = 46.0;

/// Racks of the lab, `r1` and on.
pub(crate) const RACKS: u32 = 8;
/// Machines of each.
pub(crate) const MACHINES: u32 = 50;
/// The last rack ticks by schedule, the others by hand.
pub(crate) const SCHEDULED: u32 = RACKS;
/// Its slots are so far apart.
pub(crate) const EVERY: Duration = Duration::from_secs(20);
/// It is paused after so many slots.
pub(crate) const SLOTS: usize = 3;
/// Cancels of a round.
const CANCELS: usize = 30;
/// How long a cancel may take: longer than it waits for a broker that comes back.
const CANCEL_LIMIT: Duration = Duration::from_secs(10);
/// Cycles of a round.
pub(crate) const CYCLES: usize = 20;

/// A manual tick.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at: Duration,
    /// `r<number>`.
    pub(crate) rack: u32,
    /// The bare rack name, as `nats pub` would send it, instead of what `racktick tick` sends.
    pub(crate) plain: bool,
}

/// A job, or a whole cycle, that somebody cancels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cancel {
    pub(crate) at: Duration,
    pub(crate) whole_cycle: bool,
    /// Whoever cancels is killed after this, unless the cancel is done before.
    pub(crate) limit: Duration,
}

/// A fault, from when, for how long.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Injection {
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) fault: Fault,
}

/// A round.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) ticks: Vec<Tick>,
    pub(crate) cancels: Vec<Cancel>,
    /// Injections that never overlap in time, lane by lane; lanes do.
    pub(crate) lanes: Vec<Vec<Injection>>,
}

impl Plan {
    /// Draws a round.
    pub(crate) fn draw(seed: u64, cluster: bool) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let ticks = ticks(&mut chance);
        let mut lanes = Vec::new();
        for role in Role::ALL {
            lanes.push(lane(&mut chance, 3.0..16.0, 6.0..26.0, |chance| {
                if chance.random_bool(0.6) {
                    (Fault::Kill(role), chance.random_range(0.0..4.0))
                } else {
                    (Fault::Pause(role), chance.random_range(1.0..20.0))
                }
            }));
            lanes.push(lane(&mut chance, 4.0..22.0, 8.0..30.0, |chance| {
                let cable = *[
                    Cable::Cut,
                    Cable::Stall,
                    Cable::HalfCloseOut,
                    Cable::HalfCloseIn,
                ]
                .choose(chance)
                .expect("it is not empty");
                (Fault::Cable(role, cable), chance.random_range(0.2..8.0))
            }));
        }
        lanes.push(match cluster {
            false => lane(&mut chance, 8.0..26.0, 12.0..30.0, broker),
            true => lane(&mut chance, 6.0..16.0, 8.0..16.0, node),
        });
        lanes.push(lane(&mut chance, 1.0..3.0, 0.5..2.5, lab));
        Self {
            ticks,
            cancels: cancels(&mut chance),
            lanes,
        }
    }
}

/// Each rack's ticks are apart, so that most of them find idle machines.
fn ticks(chance: &mut StdRng) -> Vec<Tick> {
    let count = CYCLES - SLOTS;
    let racks = (RACKS - 1) as usize;
    let mut ticks: Vec<Tick> = (0..count)
        .map(|number| {
            let turns = count.div_ceil(racks) as f64;
            let turn = (number / racks) as f64;
            let length = LAST_TICK / turns;
            let at = turn * length + chance.random_range(0.0..length * 0.7);
            Tick {
                at: Duration::from_secs_f64(at),
                rack: (number % racks) as u32 + 1,
                plain: chance.random_bool(0.3),
            }
        })
        .collect();
    ticks.sort_by_key(|tick| tick.at);
    ticks
}

/// Half of those who cancel are killed in the middle of it, which takes them some hundredths of a second.
fn cancels(chance: &mut StdRng) -> Vec<Cancel> {
    let latest = (TROUBLE - CANCEL_LIMIT).as_secs_f64();
    let mut cancels: Vec<Cancel> = (0..CANCELS)
        .map(|_| Cancel {
            at: Duration::from_secs_f64(chance.random_range(2.0..latest)),
            whole_cycle: chance.random_bool(0.1),
            limit: if chance.random_bool(0.5) {
                Duration::from_secs_f64(chance.random_range(0.01..0.2))
            } else {
                CANCEL_LIMIT
            },
        })
        .collect();
    cancels.sort_by_key(|cancel| cancel.at);
    cancels
}

/// One fault after the other until the time is over.
fn lane(
    chance: &mut StdRng,
    first: std::ops::Range<f64>,
    rest: std::ops::Range<f64>,
    mut draw: impl FnMut(&mut StdRng) -> (Fault, f64),
) -> Vec<Injection> {
    let mut lane = Vec::new();
    let mut at = chance.random_range(first);
    loop {
        let (fault, wanted) = draw(chance);
        let left = TROUBLE.as_secs_f64() - at;
        // Brokers in turn take as long as they take; everything else is over when it is told.
        let least = match fault {
            Fault::RollingRestart => wanted,
            _ => 1.0,
        };
        if left < least {
            return lane;
        }
        let lasts = wanted.min(left);
        lane.push(Injection {
            at: Duration::from_secs_f64(at),
            lasts: Duration::from_secs_f64(lasts),
            fault,
        });
        at += lasts + chance.random_range(rest.clone());
    }
}

/// The only broker is down for up to 20 s, more often for less.
fn broker(chance: &mut StdRng) -> (Fault, f64) {
    let down = 20.0 * chance.random_range(0.0_f64..1.0).powi(2);
    if chance.random_bool(0.5) {
        (Fault::KillBroker(Node::Only), down)
    } else {
        (Fault::RestartBroker(Node::Only), down)
    }
}

/// One broker of a cluster at a time, so that two are always there to go on.
fn node(chance: &mut StdRng) -> (Fault, f64) {
    let follower = Node::Follower(chance.random_range(0..2));
    let down = chance.random_range(0.5..10.0);
    match chance.random_range(0..4) {
        0 => (Fault::KillBroker(Node::Leader), down),
        1 => (Fault::KillBroker(follower), down),
        2 => (Fault::CutOffBroker(follower), down),
        // It takes about so long.
        _ => (Fault::RollingRestart, 12.0),
    }
}

fn lab(chance: &mut StdRng) -> (Fault, f64) {
    match chance.random_range(0..16) {
        0..=2 => (Fault::ForgetJob(chance.random_range(0.0..1.0)), 0.0),
        3 => (Fault::RestartAgents, 0.0),
        _ => {
            let (kind, mut fault) = lab_faults()
                .choose(chance)
                .expect("it is not empty")
                .clone();
            // What is rare gets targets of its own, or hardly anything would strike a POST.
            let targets: &[&str] = match kind {
                "lab_token_refused" => &["testflinger", "POST /v1/job"],
                _ => &["all", "maas", "testflinger", "POST /v1/job", "/v1/result"],
            };
            fault.target = (*targets.choose(chance).expect("it is not empty")).into();
            fault.probability = chance.random_range(0.1..0.9);
            (Fault::Lab(kind, fault), chance.random_range(1.0..4.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all(cluster: bool) -> impl Iterator<Item = Plan> {
        (0..200).map(move |seed| Plan::draw(seed, cluster))
    }

    #[test]
    fn the_same_seed_draws_the_same_round() {
        assert_eq!(Plan::draw(7, false), Plan::draw(7, false));
        assert_ne!(Plan::draw(7, false), Plan::draw(8, false));
    }

    #[test]
    fn faults_end_in_time_and_do_not_overlap_in_a_lane() {
        for plan in all(false).chain(all(true)) {
            for lane in &plan.lanes {
                for injection in lane {
                    assert!(injection.at + injection.lasts <= TROUBLE + Duration::from_millis(1));
                }
                for pair in lane.windows(2) {
                    assert!(pair[0].at + pair[0].lasts < pair[1].at);
                }
            }
        }
    }

    #[test]
    fn a_round_has_its_ticks_before_the_trouble_ends() {
        for plan in all(false) {
            assert_eq!(plan.ticks.len() + SLOTS, CYCLES);
            assert!(plan.ticks.iter().all(|tick| tick.at < TROUBLE));
            assert!(plan.ticks.iter().any(|tick| tick.plain));
            assert!(plan.ticks.iter().any(|tick| !tick.plain));
        }
    }

    #[test]
    fn cancels_end_before_the_trouble_does() {
        for plan in all(false) {
            let in_time = |cancel: &Cancel| cancel.at + cancel.limit <= TROUBLE;
            assert!(plan.cancels.iter().all(in_time));
            assert!(
                plan.cancels
                    .iter()
                    .any(|cancel| cancel.limit < CANCEL_LIMIT)
            );
        }
    }

    #[test]
    fn every_kind_comes_up() {
        let kinds = |cluster| -> BTreeSet<&str> {
            all(cluster)
                .flat_map(|plan| plan.lanes.into_iter().flatten())
                .map(|injection| injection.fault.kind())
                .collect()
        };
        let single = kinds(false);
        for (kind, _) in lab_faults() {
            assert!(single.contains(kind), "{kind}");
        }
        for kind in [
            "broker_killed",
            "broker_restarted",
            "connection_cut",
            "connection_half_closed",
            "connection_stalled",
            "lab_agents_restarted",
            "lab_job_forgotten",
            "scheduler_killed",
            "scheduler_paused",
            "worker_killed",
            "worker_paused",
        ] {
            assert!(single.contains(kind), "{kind}");
        }
        let cluster = kinds(true);
        for kind in [
            "broker_leader_killed",
            "broker_follower_killed",
            "broker_cut_off",
            "brokers_restarted_in_turn",
        ] {
            assert!(cluster.contains(kind) && !single.contains(kind), "{kind}");
        }
    }
}
