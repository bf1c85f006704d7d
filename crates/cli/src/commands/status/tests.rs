#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use model::cycle::{Fate, MissedCause};
use model::outcome::{LostCause, Outcome, Skip, SkipReason};
use model::schedule::Schedule;
use model::subject::key;

use super::*;
use crate::sample::{
    at_work, before, cycle, failed, has_all, idle, line, machine, now, planned, rack,
};

/// What the buckets hold of cycles and machines.
#[derive(Default)]
struct Held(Records);

impl Held {
    fn cycle(&mut self, cycle: &CycleRecord) {
        let key = key::cycle(&cycle.rack, cycle.cycle);
        self.0.add_cycle(&key, Ok(cycle.clone()));
    }

    fn machine(&mut self, name: &str, record: model::machine::MachineRecord) {
        self.0
            .add_machine(&key::machine(&machine(name)), Ok(record));
    }

    fn fleet(&self, racks: Racks, retrying: &[(&str, usize)], dead_letters: u64) -> Fleet {
        let retrying = retrying.iter().map(|(name, count)| (rack(name), *count));
        Fleet::of(racks, &self.0, &retrying.collect(), dead_letters, now())
    }
}

type Racks = BTreeMap<RackName, Read<RackRecord>>;

/// A rack that ticks every six hours.
fn record() -> RackRecord {
    let every = Schedule::Every {
        every: Duration::from_secs(6 * 3600),
        splay: None,
    };
    RackRecord::new(every, before(10_000))
}

fn paused(why: &str) -> RackRecord {
    RackRecord {
        paused: Some(Pause {
            by: "ann".into(),
            why: why.into(),
            at: before(90),
        }),
        ..record()
    }
}

fn unreadable() -> BusError {
    BusError::Malformed {
        bucket: "racks".into(),
        key: "r4".into(),
        source: serde_json::from_str::<u8>("x").unwrap_err(),
    }
}

/// What became of a rack's machines that all passed.
fn passed(names: &[&str], mut cycle: CycleRecord) -> CycleRecord {
    for name in names {
        assert!(cycle.account(&machine(name), &Outcome::Passed, cycle.ticked_at));
    }
    cycle
}

#[test]
fn a_rack_is_said_with_its_slot_its_pause_and_its_cycle() {
    let mut held = Held::default();
    let early = cycle("r2", 60, planned(60, &["b1", "b2"], &[]));
    held.cycle(&passed(&["b1"], early.clone()));
    held.cycle(&cycle("r1", 30, planned(30, &["a1"], &[])));
    held.machine("b2", at_work(&early, "b2", -60));
    let missed = Fate::Missed {
        cause: MissedCause::Paused,
    };
    held.cycle(&cycle("r3", 120, missed));
    let racks = BTreeMap::from([
        (rack("r1"), Ok(record())),
        (rack("r3"), Ok(paused("flood"))),
        (rack("r4"), Err(unreadable())),
        (rack("r6"), Ok(record())),
    ]);
    let fleet = held.fleet(racks, &[("r5", 1), ("r6", 2)], 3);
    let shown = fleet::text(&fleet, now());
    let totals = "3 machines in 6 racks, 1 deploying now, 0 left alone, 2 cycles running";
    has_all(
        &shown,
        &[
            totals,
            "rack r3 is paused by ann since 1h 30m ago: flood",
            "rack r4 is unreadable: key `r4`",
            "3 dead letters: `racktick dlq list`",
        ],
    );
    assert!(
        line(&shown, "r1 ").ends_with("running, 0 of 1 jobs over"),
        "{shown}"
    );
    assert!(
        line(&shown, "r1 ").starts_with("r1 ? 1 unknown in "),
        "{shown}"
    );
    assert_eq!(
        line(&shown, "r2 "),
        "r2 ? 2 unknown never added running, 1 of 2 jobs over: passed 1"
    );
    assert_eq!(
        line(&shown, "r3 "),
        "r3 - paused missed 2h ago: the rack is paused"
    );
    assert_eq!(line(&shown, "r4 "), "r4 - unreadable none yet");
    let again = "r5 - never added none yet; 1 tick tried again";
    assert_eq!(line(&shown, "r5 "), again);
    assert!(
        line(&shown, "r6 ").ends_with("none yet; 2 ticks tried again"),
        "{shown}"
    );
    // The oldest first, whatever their racks' names.
    let running: Vec<&str> = fleet
        .running
        .iter()
        .map(|cycle| cycle.summary.rack.as_str())
        .collect();
    assert_eq!(running, ["r2", "r1"]);
    assert!(
        !fleet.fails(),
        "what is unreadable, paused or missed is no failure"
    );
}

#[test]
fn machines_that_do_not_deploy_are_listed_once_and_the_worst_for_longest_first() {
    let mut held = Held::default();
    let names: Vec<String> = (1..=22).map(|number| format!("m{number:02}")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("gone");
    let streak = Skip::of(SkipReason::FailStreak, "20 in a row");
    let first = cycle("r1", 30, planned(30, &names, &[("bad", streak)]));
    held.cycle(&first);
    // Another rack has one of them, too.
    held.cycle(&cycle("r2", 20, planned(20, &["m02"], &[])));
    for name in &names[..22] {
        held.machine(name, idle(&first, name, &[failed()]));
    }
    held.machine("bad", idle(&first, "bad", &[failed(), failed(), failed()]));
    held.machine("m07", idle(&first, "m07", &[failed(), failed()]));
    let lost = Outcome::Lost {
        cause: LostCause::Gone,
    };
    held.machine(
        "m09",
        idle(&first, "m09", &[Outcome::Passed, failed(), lost]),
    );
    let fleet = held.fleet(Racks::new(), &[], 0);
    assert!(fleet.fails());
    let shown = fleet::text(&fleet, now());
    let listed: Vec<&str> = shown
        .lines()
        .skip_while(|line| !line.starts_with("MACHINE"))
        .skip(1)
        .take_while(|line| !line.starts_with("and "))
        .collect();
    assert_eq!(listed.len(), 20, "{shown}");
    has_all(&shown, &["and 3 more: `racktick status <rack>`"]);
    assert_eq!(
        line(&shown, "bad"),
        "bad r1 ■ quarantined 3x 3h ago left alone: Its deployments failed too often in a row (20 in a row)."
    );
    assert_eq!(
        line(&shown, "m07"),
        "m07 r1 ✖ failing 2x 2h ago failed in provision, exit status 7"
    );
    assert_eq!(
        line(&shown, "m01"),
        "m01 r1 ▲ suspect 1x 1h ago failed in provision, exit status 7"
    );
    let first: Vec<&str> = listed.iter().map(|line| &line[..3]).take(4).collect();
    // The one since two hours ago comes before those since one.
    assert_eq!(first, ["bad", "m07", "m09", "m01"]);
    let twice = listed.iter().filter(|line| line.starts_with("m02"));
    assert_eq!(twice.count(), 1);
    has_all(
        &shown,
        &["■ 1 quarantined  ✖ 1 failing  ▲ 21 suspect  ? 1 unknown"],
    );
}

#[test]
fn a_cycle_whose_machines_could_not_be_learnt_fails_the_fleet_and_its_rack() {
    let mut held = Held::default();
    let names = ["a1"];
    held.cycle(&passed(&names, cycle("r1", 90, planned(90, &names, &[]))));
    held.machine(
        "a1",
        idle(
            &cycle("r1", 90, planned(90, &names, &[])),
            "a1",
            &[Outcome::Passed],
        ),
    );
    assert!(!held.fleet(Racks::new(), &[], 0).fails());
    let unlearnt = Fate::Failed {
        cause: "unavailable".into(),
        message: "MAAS answered 503".into(),
        attempts: 3,
        at: before(10),
    };
    held.cycle(&cycle("r1", 30, unlearnt));
    let fleet = held.fleet(Racks::new(), &[], 0);
    assert!(fleet.fails());
    let shown = fleet::text(&fleet, now());
    let words = "failed 10m ago: unavailable: MAAS answered 503";
    assert!(line(&shown, "r1 ").ends_with(words), "{shown}");
    let one = Rack::of(rack("r1"), None, &held.0, 0, now()).unwrap();
    assert!(one.fails());
    // A later one that is well ends it.
    held.cycle(&passed(&names, cycle("r1", 5, planned(5, &names, &[]))));
    assert!(!held.fleet(Racks::new(), &[], 0).fails());
    let one = Rack::of(rack("r1"), None, &held.0, 0, now()).unwrap();
    assert!(!one.fails());
}

#[test]
fn one_rack_is_said_with_its_machines_and_its_last_cycles() {
    let mut held = Held::default();
    let locked = Skip::of(SkipReason::MaasLocked, "locked");
    let names = ["a1", "a2", "a3", "a4"];
    for minutes in [700, 600, 500, 400, 300] {
        held.cycle(&passed(
            &names,
            cycle("r1", minutes, planned(minutes, &names, &[])),
        ));
    }
    let last = cycle("r1", 100, planned(100, &names, &[("a5", locked)]));
    held.cycle(&passed(&["a3", "a4"], last.clone()));
    let mut history = vec![failed(), Outcome::Passed];
    history.extend(std::iter::repeat_n(Outcome::Passed, 12));
    held.machine("a3", idle(&last, "a3", &history));
    held.machine("a1", at_work(&last, "a1", 10));
    held.machine("a2", at_work(&last, "a2", -10));
    let shown_of = |record| {
        let one = Rack::of(rack("r1"), Some(Ok(record)), &held.0, 2, now()).unwrap();
        rack::text(&one, now())
    };
    let shown = shown_of(paused("flood"));
    assert_eq!(
        line(&shown, "next slot"),
        "next slot paused by ann at 2026-11-28T10:30:00Z: flood"
    );
    has_all(
        &shown,
        &["2: MAAS or Testflinger could not be read", "every 6h"],
    );
    let running = format!("cycle {} running, 2 of 4 jobs over: passed 2", last.cycle);
    assert!(line(&shown, "cycle").starts_with(&running), "{shown}");
    assert_eq!(line(&shown, "a1"), "a1 ? unknown - ▶ submitted, overdue");
    assert_eq!(line(&shown, "a2"), "a2 ? unknown - ▶ submitted");
    // Twelve of fourteen: the failure is not among them.
    assert_eq!(
        line(&shown, "a3"),
        format!("a3 ● ok 13x 13h ago {} passed", "●".repeat(12))
    );
    assert_eq!(line(&shown, "a4"), "a4 ? unknown - no job yet");
    assert_eq!(
        line(&shown, "a5"),
        "a5 ? unknown - – left alone: The machine is locked in MAAS (locked)."
    );
    let short = &last.cycle.to_string()[..8];
    let listed = line(&shown, &format!("{short} "));
    let words = "1h 40m ago schedule running, 2 of 4 jobs over: passed 2, skipped 1";
    assert!(listed.ends_with(words), "{listed}");
    // Five of six.
    let finished = shown.lines().filter(|line| line.contains(" finished "));
    assert_eq!(finished.count(), 4, "{shown}");
    let shown = shown_of(record());
    assert!(line(&shown, "next slot").contains(" (in "), "{shown}");

    let unreadable = Rack::of(rack("r4"), Some(Err(unreadable())), &held.0, 0, now());
    let shown = rack::text(&unreadable.unwrap(), now());
    has_all(&shown, &["unreadable: key `r4`"]);
    assert!(Rack::of(rack("r9"), None, &held.0, 0, now()).is_none());
    assert!(Rack::of(rack("r9"), None, &held.0, 1, now()).is_some());
}

#[test]
fn what_a_cycle_led_to_is_said_with_the_reasons() {
    let owner = Skip::of(SkipReason::MaasOwner, "ann");
    let agent = Skip::new(SkipReason::NoAgent);
    let skips = [("a2", owner.clone()), ("a3", owner), ("a4", agent)];
    let open = cycle("r1", 30, planned(30, &["a1"], &skips));
    assert_eq!(
        super::cycle_words(&open),
        "running: 1 machine to deploy, 1 open; skipped 3 (maas_owner 2, no_agent 1)"
    );
    assert_eq!(
        super::cycle_words(&passed(&["a1"], open)),
        "finished: passed 1, skipped 3 (maas_owner 2, no_agent 1)"
    );
    let missed = Fate::Missed {
        cause: MissedCause::Late,
    };
    assert_eq!(super::cycle_words(&cycle("r1", 30, missed)), "missed: late");
}
