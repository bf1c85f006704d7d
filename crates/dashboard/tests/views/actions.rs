//! What people do to racks.

use dashboard::history::{Batch, History, Position};
use dashboard::views::EventFilter;
use model::action::{Action, Deed, Letter, RackEvent};

use crate::lab::{at, events, rack};
#[test]
fn what_people_do_to_racks_is_shown_whatever_came_first_and_forgotten_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
    let event = |by: &str, clock, deed| RackEvent {
        rack: rack(),
        action: Action {
            at: at(clock),
            by: by.into(),
            why: "power work".into(),
            deed,
        },
    };
    let letter = Letter {
        number: 12,
        subject: "rack.tick".into(),
        reason: "tried too often".into(),
        at: at("05:00:00"),
    };
    let replayed = |by: &str, clock| {
        let letter = letter.clone();
        event(by, clock, Deed::Replayed { letter })
    };
    let told = [
        replayed("bob", "07:00:00"),
        event("ann", "06:30:00", Deed::Paused),
        replayed("ann", "06:59:00"),
        event("ann", "06:30:00", Deed::Paused),
        replayed("bob", "07:00:00"),
    ];
    for actions in told.chunks(2) {
        let position = Position {
            stream_created: at("00:00:00"),
            sequence: 1,
            stored_at: None,
        };
        let batch = Batch {
            events: events(),
            actions: actions.to_vec(),
            ignored: 0,
            position,
        };
        writer.write(&batch, at("08:00:00")).unwrap();
    }
    let shown = || {
        history
            .read(|reading| reading.actions(&rack(), 10))
            .unwrap()
    };
    let lines: Vec<_> = shown()
        .into_iter()
        .map(|action| (action.by, action.what, action.letter))
        .collect();
    let expected = [("ann", "replayed", Some(12)), ("ann", "paused", None)];
    let expected = expected.map(|(by, what, letter)| (by.to_owned(), what.to_owned(), letter));
    assert_eq!(lines, expected);
    let filter = EventFilter {
        rack: Some(rack()),
        kind: Some("rack.replayed".into()),
        ..EventFilter::default()
    };
    let listed = |filter: &EventFilter| {
        let events = history.read(|reading| reading.events(filter, None, 100));
        events.unwrap().page.items
    };
    let found = listed(&filter);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].cycle, found[0].at), (None, at("06:59:00")));
    assert_eq!(found[0].word.as_deref(), Some("dead letter 12"));
    assert_eq!(found[0].why.as_deref(), Some("power work"));
    let all = listed(&EventFilter::default());
    assert_eq!(all.len(), events().len() + 2);
    while writer.forget(at("23:00:00")).unwrap() > 0 {}
    assert_eq!(
        (shown().len(), listed(&EventFilter::default()).len()),
        (0, 0)
    );
}
