#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::cycle::{CycleRecord, Fate, MissedCause, Origin, Planned};
use model::event::{Fact, Job};
use model::id::{CycleId, JobId};
use model::machine::{Claim, MachineRecord, PastVerdict, Running};
use model::name::{MachineName, RackName};
use model::outcome::{FailCause, Outcome, Phase, Skip, SkipReason};
use model::rack::{Pause, RackRecord};
use model::schedule::Schedule;
use model::task::Pace;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::super::state::Input;
use super::*;
use crate::sample;

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

fn ago_by(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

fn name(number: usize) -> MachineName {
    MachineName::new(format!("m{number:02}")).unwrap()
}

/// A rack of so many machines: m00 failed three times, m01 deploys now, m02 is left alone, the others deployed.
fn state(machines: usize) -> State {
    let mut state = State::new(now(), false);
    let rack = RackName::new("r7").unwrap();
    let slot = ago_by(30);
    let cycle = CycleId::of_slot(&rack, slot);
    let names: Vec<MachineName> = (0..machines).map(name).collect();
    let is_left_alone = |machine: &&MachineName| **machine == name(2);
    let record = CycleRecord {
        v: CycleRecord::VERSION,
        rack: rack.clone(),
        cycle,
        origin: Origin::Slot { slot },
        ticked_at: slot,
        fate: Fate::Planned(Planned {
            at: slot,
            deploy_by: now(),
            spread: Duration::from_secs(60),
            deploy: names
                .iter()
                .filter(|machine| !is_left_alone(machine))
                .map(|machine| (machine.clone(), slot))
                .collect(),
            skip: names
                .iter()
                .filter(is_left_alone)
                .map(|machine| (machine.clone(), Skip::new(SkipReason::NoAgent)))
                .collect(),
            pace: Pace {
                first_look: Duration::from_secs(300),
                look_every: Duration::from_secs(300),
                deadline: Duration::from_secs(3600),
            },
            job: serde_json::Value::Null,
        }),
        outcomes: names
            .iter()
            .filter(|machine| !is_left_alone(machine) && **machine != name(1))
            .map(|machine| (machine.clone(), Outcome::Passed))
            .collect(),
        settled_at: None,
        closed: false,
    };
    state.update(Input::Cycle(format!("r7.{cycle}"), Box::new(Ok(record))));
    for (number, machine) in names.iter().enumerate() {
        let job = JobId::of(cycle, machine);
        let mut record = MachineRecord::default();
        let outcome = match number {
            0 => Outcome::Failed {
                cause: FailCause::Phase,
                phase: Some(Phase::Provision),
                exit_code: Some(7),
            },
            _ => Outcome::Passed,
        };
        if number != 2 {
            record.verdicts = (1..=3)
                .rev()
                .map(|hours| PastVerdict {
                    job,
                    cycle,
                    outcome: outcome.clone(),
                    at: ago_by(hours * 60),
                })
                .collect();
        }
        if number == 1 {
            record.claim = Claim::Running(Running {
                job,
                cycle,
                rack: rack.clone(),
                submitted_at: ago_by(20),
                deadline: now(),
                deploy_by: now(),
                renewed: false,
                doubled: None,
                verdict: None,
                cancel: None,
            });
        }
        state.update(Input::Machine(machine.token(), Box::new(Ok(record))));
    }
    let job = Job {
        machine: name(1),
        job: JobId::of(cycle, &name(1)),
    };
    let event = Event {
        time: ago_by(10),
        rack: rack.clone(),
        cycle,
        fact: Fact::JobProgressed {
            job,
            state: "provision\u{1b}[2J".into(),
        },
    };
    state.update(Input::Event(Box::new(event)));
    let every = Schedule::Every {
        every: Duration::from_secs(6 * 3600),
        splay: None,
    };
    let racks = BTreeMap::from([(rack, RackRecord::new(every, now()))]);
    state.update(Input::Racks(racks, now()));
    state
}

fn screen(state: &mut State, width: u16, height: u16) -> String {
    state.settle();
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(state, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = buffer.content.chunks(usize::from(width));
    let row = |cells: &[ratatui::buffer::Cell]| {
        let text: String = cells.iter().map(|cell| cell.symbol()).collect();
        text.trim_end().to_owned()
    };
    rows.map(row).collect::<Vec<_>>().join("\n")
}

fn press(state: &mut State, code: KeyCode) {
    state.update(Input::Key(KeyEvent::from(code)));
}

fn has_all(screen: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(screen.contains(wanted), "{wanted} in\n{screen}");
    }
}

const SIZES: [(u16, u16); 3] = [(80, 24), (40, 20), (200, 60)];

#[test]
fn the_fleet_shows_racks_cells_jobs_and_events_in_every_size() {
    for (width, height) in SIZES {
        let screen = screen(&mut state(8), width, height);
        has_all(
            &screen,
            &[
                "fleet  live 12:00:00 UTC",
                "8 machines: ✖ 1 failing",
                "> r7  8  ticks in",
                "✖ m00 failing",
                "● m01 ▶",
                "jobs now",
                "m01  ▶ provision\\u001b[2J 10m ago",
                "events",
                "11:50:00 r7 job progressed m01",
                "q end",
            ],
        );
        assert!(!screen.contains("STALE"), "{screen}");
    }
    let wide = screen(&mut state(8), 80, 24);
    has_all(
        &wide,
        &["running ████████░░ 6 of 7", "? 1 unknown", "● 6 ok"],
    );
}

#[test]
fn many_machines_are_cut_short_and_the_worst_come_first() {
    for (width, height) in SIZES {
        let screen = screen(&mut state(300), width, height);
        has_all(&screen, &["> r7  300", "    ✖ m00 failing  ", " more"]);
    }
}

#[test]
fn a_broker_that_is_away_is_said_with_since_when() {
    for (width, height) in SIZES {
        let mut state = state(3);
        state.update(Input::Now(now() + SignedDuration::from_secs(14)));
        assert!(!screen(&mut state, width, height).contains("STALE"));
        state.update(Input::Now(now() + SignedDuration::from_secs(60)));
        has_all(
            &screen(&mut state, width, height),
            &["stale 12:01:00", "STALE: the broker was not heard of"],
        );
        // What is known stays.
        has_all(&screen(&mut state, width, height), &["✖ m00 failing"]);
        state.update(Input::Racks(
            BTreeMap::new(),
            now() + SignedDuration::from_secs(60),
        ));
        has_all(&screen(&mut state, width, height), &["live 12:01:00"]);
    }
}

#[test]
fn keys_lead_into_a_rack_and_a_machine_and_back() {
    for (width, height) in SIZES {
        let mut state = state(8);
        press(&mut state, KeyCode::Enter);
        has_all(
            &screen(&mut state, width, height),
            &[
                "rack r7  live",
                "> m00 ✖ failing 3",
                "✖✖✖",
                "m02 ? unknown 0",
                "– no_agent",
            ],
        );
        press(&mut state, KeyCode::Down);
        has_all(&screen(&mut state, width, height), &["> m02"]);
        press(&mut state, KeyCode::Up);
        press(&mut state, KeyCode::Up);
        press(&mut state, KeyCode::Enter);
        has_all(
            &screen(&mut state, width, height),
            &[
                "rack r7, machine m00",
                "✖ failing",
                "3h ago, 3 in a row",
                "failed in provision",
            ],
        );
        press(&mut state, KeyCode::Esc);
        has_all(
            &screen(&mut state, width, height),
            &["rack r7  live", "> m00"],
        );
        press(&mut state, KeyCode::Esc);
        has_all(&screen(&mut state, width, height), &["fleet  live"]);
        press(&mut state, KeyCode::End);
        press(&mut state, KeyCode::Char('?'));
        has_all(&screen(&mut state, width, height), &["help", "Ctrl-C"]);
        press(&mut state, KeyCode::Char('x'));
        assert!(!screen(&mut state, width, height).contains("Ctrl-C"));
        press(&mut state, KeyCode::Char('q'));
        assert!(state.has_ended());
    }
}

#[test]
fn the_selected_machine_is_always_to_be_seen() {
    for (width, height) in SIZES {
        let mut state = state(60);
        press(&mut state, KeyCode::Enter);
        for _ in 0..10 {
            for _ in 0..6 {
                press(&mut state, KeyCode::Down);
            }
            let screen = screen(&mut state, width, height);
            assert_eq!(screen.matches("\n> m").count(), 1, "{screen}");
        }
        has_all(&screen(&mut state, width, height), &["> m59"]);
    }
}

#[test]
fn a_filter_is_typed_kept_and_cleared() {
    let mut state = state(8);
    for key in ['/', 'f', 'a', 'i', 'l', 'q'] {
        press(&mut state, KeyCode::Char(key));
    }
    assert!(!state.has_ended());
    has_all(
        &screen(&mut state, 80, 24),
        &["/failq_", "no machine is like that"],
    );
    press(&mut state, KeyCode::Backspace);
    press(&mut state, KeyCode::Enter);
    let filtered = screen(&mut state, 80, 24);
    has_all(&filtered, &["filter: fail", "✖ m00 failing"]);
    assert!(!filtered.contains("● m03"), "{filtered}");
    // A rack keeps a filter of its machines.
    press(&mut state, KeyCode::Enter);
    let filtered = screen(&mut state, 80, 24);
    has_all(&filtered, &["rack r7", "> m00"]);
    assert!(!filtered.contains("● ok"), "{filtered}");
    press(&mut state, KeyCode::Esc);
    has_all(&screen(&mut state, 80, 24), &["rack r7", "m03"]);
}

#[test]
fn nothing_known_is_no_reason_to_panic_in_a_tiny_terminal() {
    for (width, height) in [(1, 1), (10, 3), (20, 5), (80, 24)] {
        let mut empty = State::new(now(), true);
        for code in [
            KeyCode::Down,
            KeyCode::Enter,
            KeyCode::End,
            KeyCode::Esc,
            KeyCode::Char('?'),
        ] {
            press(&mut empty, code);
            screen(&mut empty, width, height);
        }
        let mut full = state(30);
        for code in [KeyCode::Enter, KeyCode::Enter, KeyCode::Char('?')] {
            press(&mut full, code);
            screen(&mut full, width, height);
        }
    }
}

fn type_filter(state: &mut State, filter: &str) {
    press(state, KeyCode::Char('/'));
    for key in filter.chars() {
        press(state, KeyCode::Char(key));
    }
    press(state, KeyCode::Enter);
}

#[test]
fn a_filter_finds_a_reason_and_a_whole_rack() {
    let mut state = state(8);
    type_filter(&mut state, "NO_AGENT");
    let filtered = screen(&mut state, 80, 24);
    has_all(&filtered, &["> r7  8", "? m02 unknown"]);
    assert!(!filtered.contains("m03"), "{filtered}");
    press(&mut state, KeyCode::Esc);
    type_filter(&mut state, "r7");
    has_all(&screen(&mut state, 80, 24), &["filter: r7", "● m03"]);
    // One that was found by its own name is shown whole.
    press(&mut state, KeyCode::Enter);
    let whole = screen(&mut state, 80, 24);
    has_all(&whole, &["rack r7  live", "m02 ? unknown", "m03 ● ok 3"]);
    assert!(!whole.contains("filter:"), "{whole}");
}

#[test]
fn who_comes_back_stands_where_they_were() {
    let mut state = state(60);
    press(&mut state, KeyCode::Enter);
    for (keys, at) in [
        (&[KeyCode::PageDown, KeyCode::PageDown][..], "> m20"),
        (&[KeyCode::Enter, KeyCode::Left], "> m20"),
        (&[KeyCode::End, KeyCode::PageUp], "> m49"),
        (&[KeyCode::Home], "> m00"),
        (&[KeyCode::PageUp, KeyCode::Down, KeyCode::Down], "> m01"),
    ] {
        for key in keys {
            press(&mut state, *key);
        }
        has_all(&screen(&mut state, 80, 40), &[at]);
    }
    press(&mut state, KeyCode::End);
    type_filter(&mut state, "m0");
    has_all(&screen(&mut state, 80, 40), &["> m00"]);
}

#[test]
fn when_the_last_machine_leaves_a_list_the_one_before_is_selected() {
    let mut state = state(8);
    type_filter(&mut state, "ok");
    press(&mut state, KeyCode::Enter);
    press(&mut state, KeyCode::End);
    has_all(&screen(&mut state, 80, 24), &["> m07 ● ok"]);
    let of = sample::cycle("r7", 30, sample::planned(30, &[], &[]));
    let failing = sample::idle(&of, "m07", &[sample::failed()]);
    state.update(Input::Machine(name(7).token(), Box::new(Ok(failing))));
    has_all(&screen(&mut state, 80, 24), &["> m06 ● ok"]);
}

#[test]
fn a_pause_and_what_became_of_the_last_cycle_are_said() {
    let mut state = state(8);
    let racks = |record: RackRecord| BTreeMap::from([(RackName::new("r7").unwrap(), record)]);
    let every = Schedule::Every {
        every: Duration::from_secs(6 * 3600),
        splay: None,
    };
    let mut record = RackRecord::new(every, now());
    record.paused = Some(Pause {
        by: "ann".into(),
        why: String::new(),
        at: now(),
    });
    state.update(Input::Racks(racks(record), now()));
    has_all(&screen(&mut state, 80, 24), &["> r7  8  paused  running"]);
    state.update(Input::Racks(BTreeMap::new(), now()));
    has_all(&screen(&mut state, 80, 24), &["> r7  8  no schedule"]);
    let failed = Fate::Failed {
        cause: "unknown_tag".into(),
        message: String::new(),
        attempts: 3,
        at: ago_by(5),
    };
    // It comes after the one that runs in a rack of its own.
    let mut cycle = sample::cycle("r8", 6, failed);
    for (fate, wanted) in [
        (
            cycle.fate.clone(),
            "  r8  0  no schedule  failed 5m ago: unknown_tag",
        ),
        (
            Fate::Missed {
                cause: MissedCause::Late,
            },
            "  r8  0  no schedule  missed 6m ago",
        ),
        (
            sample::planned(6, &[], &[]),
            "  r8  0  no schedule  finished 6m ago",
        ),
    ] {
        cycle.fate = fate;
        let key = format!("r8.{}", cycle.cycle);
        state.update(Input::Cycle(key, Box::new(Ok(cycle.clone()))));
        has_all(&screen(&mut state, 80, 24), &[wanted]);
    }
}

#[test]
fn events_are_those_of_where_the_person_is_and_a_job_may_be_late() {
    let mut state = state(8);
    let of = |rack: &str| sample::cycle(rack, 30, sample::planned(30, &[], &[]));
    let skipped = |rack: &str, machine: MachineName| {
        let skip = Skip::new(SkipReason::NoAgent);
        sample::event(&of(rack), 5, Fact::MachineSkipped { machine, skip })
    };
    for event in [skipped("r7", name(2)), skipped("r8", name(1))] {
        state.update(Input::Event(Box::new(event)));
    }
    let (in_r7, in_r8) = (
        "11:55:00 r7 machine skipped m02 no_agent",
        "11:55:00 r8 machine skipped m01 no_agent",
    );
    has_all(&screen(&mut state, 80, 40), &[in_r7, in_r8]);
    press(&mut state, KeyCode::Enter);
    let shown = screen(&mut state, 80, 40);
    has_all(&shown, &[in_r7, "11:50:00 r7 job progressed m01"]);
    assert!(!shown.contains(in_r8), "{shown}");
    press(&mut state, KeyCode::Down);
    press(&mut state, KeyCode::Enter);
    let shown = screen(&mut state, 80, 40);
    has_all(&shown, &["machine m02", in_r7]);
    assert!(!shown.contains("job progressed"), "{shown}");
    press(&mut state, KeyCode::Esc);
    assert!(!screen(&mut state, 80, 40).contains("overdue"));
    state.update(Input::Now(now() + SignedDuration::from_secs(60)));
    has_all(&screen(&mut state, 80, 40), &[" 11m ago, overdue"]);
    // The oldest go.
    for _ in 0..500 {
        state.update(Input::Event(Box::new(skipped("r7", name(3)))));
    }
    assert_eq!(state.events.len(), 500);
    assert_eq!(state.events.back().unwrap().fact.machine(), Some(&name(3)));
}
