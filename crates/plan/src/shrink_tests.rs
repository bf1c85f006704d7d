use model::name::RackName;

use super::*;

fn cycle(hour: i8) -> CycleId {
    let time = jiff::civil::date(2026, 11, 21).at(hour, 0, 0, 0);
    CycleId::of_slot(
        &RackName::new("r1").unwrap(),
        time.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp(),
    )
}

fn sizes(machines: usize, agents: usize) -> Sizes {
    Sizes { machines, agents }
}

fn doubt(machines: usize, agents: usize, hour: i8) -> Option<Doubted> {
    Some(Doubted {
        sizes: sizes(machines, agents),
        cycle: cycle(hour),
    })
}

fn believed(now: Sizes, good: Option<Sizes>, doubted: Option<Doubted>) -> bool {
    matches!(judge(now, good, doubted, cycle(6), false), Judgement::Believed(sizes) if sizes == now)
}

const GOOD: Option<Sizes> = Some(Sizes {
    machines: 40,
    agents: 500,
});

#[test]
fn the_first_lists_are_believed_whatever_their_size() {
    assert!(believed(sizes(0, 0), None, None));
    assert!(believed(sizes(40, 500), None, None));
}

#[test]
fn a_list_is_doubted_below_half_and_from_five_fewer() {
    assert!(believed(sizes(20, 500), GOOD, None));
    assert!(!believed(sizes(19, 500), GOOD, None));
    assert!(believed(sizes(40, 250), GOOD, None));
    assert!(!believed(sizes(40, 249), GOOD, None));
    assert!(!believed(sizes(0, 500), GOOD, None));
    assert!(believed(sizes(0, 500), Some(sizes(4, 500)), None));
    assert!(!believed(sizes(0, 500), Some(sizes(5, 500)), None));
    assert!(believed(sizes(400, 5000), GOOD, None));
}

#[test]
fn the_same_smaller_list_is_believed_in_another_cycle_only() {
    let shrunk = sizes(10, 500);
    assert!(!believed(shrunk, GOOD, doubt(10, 500, 6)));
    assert!(believed(shrunk, GOOD, doubt(10, 500, 0)));
    assert!(!believed(shrunk, GOOD, doubt(11, 500, 0)));
    // The other list may go on changing.
    assert!(believed(shrunk, GOOD, doubt(10, 502, 0)));
    assert!(!believed(sizes(10, 100), GOOD, doubt(10, 500, 0)));
}

#[test]
fn a_person_can_accept_it_at_once() {
    assert_eq!(
        judge(sizes(0, 0), GOOD, None, cycle(6), true),
        Judgement::Believed(sizes(0, 0))
    );
}

#[test]
fn what_is_doubted_is_remembered_and_told() {
    let judgement = judge(sizes(10, 100), GOOD, doubt(12, 500, 0), cycle(6), false);
    let Judgement::Doubted { doubted, message } = judgement else {
        panic!("{judgement:?}")
    };
    assert_eq!(Some(doubted), doubt(10, 100, 6));
    assert!(
        message.contains("10 machines of the rack where there were 40"),
        "{message}"
    );
    assert!(
        message.contains("100 agents of the fleet where there were 500"),
        "{message}"
    );
    assert!(message.contains("--accept-shrink"), "{message}");
}
