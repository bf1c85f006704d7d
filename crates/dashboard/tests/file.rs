//! The file itself: one that cannot be gone on with gives way to a new one, and what is too old goes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dashboard::history::{History, HistoryError};
use rusqlite::Connection;
use support::story::{Size, Teller};
use support::{now, rows, spoil, write};

const SIZE: Size = Size {
    racks: 1,
    machines: 3,
    cycles: 6,
};

fn fleet_size(history: &History) -> usize {
    let fleet = history.read(|reading| reading.fleet()).unwrap();
    fleet.totals.machines
}

fn filled(file: &Path) {
    let (history, mut writer) = History::open(file).unwrap();
    write(&mut writer, &Teller::new(1).story(SIZE), 50);
    assert_eq!(fleet_size(&history), 3);
}

#[test]
fn a_file_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    filled(&file);
    let (history, writer) = History::open(&file).unwrap();
    assert_eq!(fleet_size(&history), 3);
    assert!(writer.position().unwrap().is_some());
    assert!(!folder.path().join("history.db.aside-1").exists());
}

#[test]
fn a_file_that_cannot_be_gone_on_with_is_put_aside() {
    type Spoil = fn(&Path);
    let spoils: [Spoil; 5] = [
        |file| fs::write(file, "this was a letter to my aunt, and a long one at that").unwrap(),
        |file| {
            filled(file);
            let connection = Connection::open(file).unwrap();
            connection.pragma_update(None, "user_version", 999).unwrap();
        },
        |file| {
            filled(file);
            spoil(file, "events");
        },
        |file| {
            let connection = Connection::open(file).unwrap();
            connection
                .execute_batch("CREATE TABLE letters (text)")
                .unwrap();
        },
        |file| {
            filled(file);
            let connection = Connection::open(file).unwrap();
            connection.pragma_update(None, "user_version", -1).unwrap();
        },
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.db");
        spoil(&file);
        let before = fs::read(&file).unwrap();
        let (history, writer) = History::open(&file).unwrap();
        assert_eq!(writer.position().unwrap(), None, "spoil {number}");
        assert_eq!(fleet_size(&history), 0);
        let aside = fs::read(folder.path().join("history.db.aside-1")).unwrap();
        assert!(
            aside == before,
            "spoil {number}: what was put aside is another file"
        );
    }
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = History::open(Path::new("/nowhere/at/all/history.db")).unwrap_err();
    assert!(matches!(error, HistoryError::Open { .. }));
    assert!(
        error.to_string().contains("/nowhere/at/all/history.db"),
        "{error}"
    );
}

#[test]
fn what_is_too_old_goes_as_if_it_had_never_been() {
    let folder = tempfile::tempdir().unwrap();
    let (old, fresh) = (folder.path().join("old.db"), folder.path().join("fresh.db"));
    let events = Teller::new(7).story(Size { cycles: 50, ..SIZE });
    let (_, mut writer) = History::open(&old).unwrap();
    write(&mut writer, &events, 1000);
    let slot = events[events.len() / 2].time;
    let mut rounds = 0;
    while writer.forget(slot).unwrap() > 0 {
        rounds += 1;
    }
    assert!(rounds > 1, "it is done in steps");
    let kept: Vec<_> = rows(&old);
    let mut began = BTreeMap::new();
    for event in &events {
        let first = began.entry(event.cycle).or_insert(event.time);
        *first = (*first).min(event.time);
    }
    let mut cycles = events;
    cycles.retain(|event| began[&event.cycle] >= slot);
    let (_, mut writer) = History::open(&fresh).unwrap();
    write(&mut writer, &cycles, 1000);
    for ((table, kept), (_, expected)) in kept.into_iter().zip(rows(&fresh)) {
        // What was known of a machine before stays in its standing.
        if table != "jobs" && table != "machines" {
            assert_eq!(kept, expected, "{table}");
        }
        assert_eq!(kept.len(), expected.len(), "{table}");
    }
    while writer
        .forget(now() + jiff::SignedDuration::from_hours(24 * 400))
        .unwrap()
        > 0
    {}
    assert!(rows(&fresh).into_iter().all(|(_, rows)| rows.is_empty()));
}
