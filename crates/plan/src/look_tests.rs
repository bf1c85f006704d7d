use jiff::SignedDuration;
use model::id::CycleId;
use model::name::{MachineName, RackName};

use super::*;

const PACE: Pace = Pace {
    first_look: Duration::from_secs(300),
    look_every: Duration::from_secs(300),
    deadline: Duration::from_secs(4 * 3600),
};

fn now() -> Timestamp {
    "2026-11-21T06:00:00Z".parse().unwrap()
}

fn task(absent: u32, let_go: u32) -> Watch {
    let rack = RackName::new("r1").unwrap();
    let machine = MachineName::new("m1").unwrap();
    let cycle = CycleId::of_slot(&rack, now());
    Watch {
        v: Watch::VERSION,
        rack,
        cycle,
        job: JobId::of(cycle, &machine),
        machine,
        pace: PACE,
        look: 3,
        state: None,
        state_since: None,
        absent,
        let_go,
        failed: 0,
        overdue: false,
        doubled: false,
        late: false,
        deadline: None,
        traceparent: None,
    }
}

fn there<'a>(state: &'a str, agent_job: Option<&'a str>) -> Seen<'a> {
    Seen::There { state, agent_job }
}

fn not_over(absent: u32, let_go: u32) -> Conclusion {
    Conclusion::NotOver(Counters { absent, let_go })
}

#[test]
fn only_final_states_are_over() {
    for state in ["complete", "completed"] {
        assert_eq!(
            conclude(&task(0, 0), true, there(state, None)),
            Conclusion::Over
        );
        // A look before the claim says `running` may find that the job is over already.
        assert_eq!(
            conclude(&task(0, 0), false, there(state, None)),
            Conclusion::Over
        );
    }
    for state in [
        "waiting",
        "running",
        "provision",
        "reserve",
        "allocated",
        "cleanup",
        "new-state",
        "",
    ] {
        assert_eq!(
            conclude(&task(1, 1), true, there(state, None)),
            not_over(0, 0),
            "{state}"
        );
    }
}

#[test]
fn a_cancelled_job_is_over_when_two_looks_saw_that_its_agent_let_go() {
    let other = CycleId::of_slot(&RackName::new("r2").unwrap(), now()).to_string();
    for let_go in [None, Some(""), Some(other.as_str()), Some("nonsense")] {
        assert_eq!(
            conclude(&task(0, 0), true, there("cancelled", let_go)),
            not_over(0, 1)
        );
        assert_eq!(
            conclude(&task(0, 1), true, there("cancelled", let_go)),
            Conclusion::Over
        );
    }
}

#[test]
fn a_cancelled_job_that_its_agent_still_works_on_is_not_over() {
    let job = task(0, 0).job.to_string();
    let upper = job.to_uppercase();
    for agent_job in [job.as_str(), upper.as_str()] {
        for let_go in 0..5 {
            assert_eq!(
                conclude(&task(0, let_go), true, there("cancelled", Some(agent_job))),
                not_over(0, 0)
            );
        }
    }
    assert!(needs_agent("cancelled") && !needs_agent("complete") && !needs_agent("provision"));
}

#[test]
fn a_job_is_gone_when_two_looks_in_a_row_did_not_find_it() {
    assert_eq!(conclude(&task(0, 0), true, Seen::Absent), not_over(1, 0));
    assert_eq!(conclude(&task(1, 0), true, Seen::Absent), Conclusion::Gone);
    assert_eq!(
        conclude(&task(1, 0), true, there("running", None)),
        not_over(0, 0)
    );
    assert_eq!(conclude(&task(0, 1), true, Seen::Absent), not_over(1, 0));
}

#[test]
fn a_job_that_may_still_arrive_is_not_gone() {
    assert_eq!(conclude(&task(5, 0), false, Seen::Absent), not_over(0, 0));
}

#[test]
fn counters_from_a_strange_body_do_no_harm() {
    assert_eq!(
        conclude(&task(u32::MAX, 0), true, Seen::Absent),
        Conclusion::Gone
    );
    assert_eq!(
        conclude(&task(0, u32::MAX), true, there("cancelled", None)),
        Conclusion::Over
    );
}

fn next(pace: &Pace, left: i64, counters: Counters) -> i64 {
    let deadline = now() + SignedDuration::from_secs(left);
    next_look(pace, deadline, now(), counters)
        .duration_since(now())
        .as_secs()
}

#[test]
fn looks_come_regularly_and_one_at_the_deadline() {
    assert_eq!(next(&PACE, 4000, Counters::default()), 300);
    assert_eq!(next(&PACE, 301, Counters::default()), 300);
    assert_eq!(next(&PACE, 100, Counters::default()), 100);
}

#[test]
fn past_the_deadline_looks_come_less_often() {
    let slow = |minutes: u64| Pace {
        look_every: Duration::from_secs(minutes * 60),
        ..PACE
    };
    assert_eq!(next(&PACE, 0, Counters::default()), 1200);
    assert_eq!(next(&slow(20), -5, Counters::default()), 3600);
    assert_eq!(next(&slow(120), -5, Counters::default()), 7200);
    assert_eq!(
        next(
            &PACE,
            -5,
            Counters {
                absent: 0,
                let_go: 1
            }
        ),
        300
    );
    assert_eq!(
        next(
            &PACE,
            -5,
            Counters {
                absent: 1,
                let_go: 0
            }
        ),
        300
    );
}

#[test]
fn a_failed_look_is_repeated_sooner_with_growing_patience() {
    let repeat = |look_every, failed, retry_after: Option<u64>| {
        let pace = Pace {
            look_every: Duration::from_secs(look_every),
            ..PACE
        };
        let next = repeat_look(&pace, failed, now(), retry_after.map(Duration::from_secs));
        next.duration_since(now()).as_secs()
    };
    let waits: Vec<i64> = (0..8).map(|failed| repeat(300, failed, None)).collect();
    assert_eq!(waits, [30, 30, 60, 120, 240, 300, 300, 300]);
    assert_eq!(repeat(300, u32::MAX, None), 300);
    assert_eq!(repeat(5, 1, None), 5);
    assert_eq!(repeat(300, 1, Some(90)), 90);
    assert_eq!(repeat(300, 5, Some(90)), 300);
    assert_eq!(repeat(300, 1, Some(u64::MAX)), 3600);
}
