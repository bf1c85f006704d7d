//! The file itself: one that cannot be gone on with gives way to a new one, and what is too old goes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use dashboard::history::{History, HistoryError};
use dashboard::portable::{ExportError, ImportError, Imported, export, import};
use jiff::Timestamp;
use model::action::{Action, Deed, Letter, RackEvent};
use model::event::{Event, Fact, Job};
use model::id::JobId;
use model::name::MachineName;
use model::outcome::SkipReason;
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

/// A file as an earlier racktick left it.
fn of_version_4(file: &Path) {
    let connection = Connection::open(file).unwrap();
    connection
        .execute_batch(include_str!("../golden/history-4.sql"))
        .unwrap();
}

#[test]
fn a_file_of_an_earlier_version_tells_what_one_that_is_made_anew_tells() {
    let folder = tempfile::tempdir().unwrap();
    let (old, fresh) = (folder.path().join("old.db"), folder.path().join("fresh.db"));
    of_version_4(&old);
    let (brought_up, mut writer) = History::open(&old).unwrap();
    assert!(!folder.path().join("old.db.aside-1").exists());
    let position = writer.position().unwrap().unwrap();
    assert_eq!(position.sequence, 238, "the stream is gone on with");

    imported(&exported(&old), &fresh).unwrap();
    assert_eq!(rows(&old), rows(&fresh));
    let (made_anew, mut other) = History::open(&fresh).unwrap();
    let trends = |history: &History| {
        let trends = history.read_at(now(), |reading| reading.trends(Timestamp::UNIX_EPOCH));
        let trends = trends.unwrap();
        (trends.days, trends.phases, trends.flaky)
    };
    let (days, phases, _) = trends(&brought_up);
    let jobs: usize = days.iter().flat_map(|day| day.outcomes.values()).sum();
    assert_eq!((jobs, phases.is_empty()), (26, false));
    assert_eq!(trends(&brought_up), trends(&made_anew));

    // Both go on from there.
    let more = Teller::new(44).since(now()).story(SIZE);
    for writer in [&mut writer, &mut other] {
        write(writer, &more, 7);
    }
    assert_eq!(rows(&old), rows(&fresh));
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
    for (table, rows) in rows(&fresh) {
        assert!(rows.is_empty(), "{table}: {rows:?}");
    }
}

fn exported(file: &Path) -> Vec<u8> {
    let history = History::existing(file).unwrap();
    let mut lines = Vec::new();
    let events = history.read(|reading| {
        export(reading, &mut lines).map_err(|error| match error {
            ExportError::Read(error) => error,
            error => panic!("{error}"),
        })
    });
    assert_eq!(
        lines.iter().filter(|byte| **byte == b'\n').count() as u64,
        events.unwrap() + 1
    );
    lines
}

fn imported(lines: &[u8], file: &Path) -> Result<Imported, ImportError> {
    let mut writer = History::beside(file).unwrap();
    import(&mut Cursor::new(lines), &mut writer)
}

#[test]
fn an_export_folds_into_any_file_and_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut teller = Teller::new(51);
    let story = teller.story(Size { cycles: 90, ..SIZE });
    let muddled = teller.muddled(&story);
    let kinds: BTreeMap<String, usize> = story.iter().fold(BTreeMap::new(), |mut kinds, event| {
        let (about, what) = event.fact.words();
        *kinds.entry(format!("{about}.{what}")).or_default() += 1;
        kinds
    });
    // A job that is doubled is not in the story.
    let lacking: Vec<_> = Fact::KINDS
        .iter()
        .filter(|kind| !kinds.contains_key(**kind))
        .collect();
    assert_eq!(lacking, [&"job.doubled"]);
    let doubled = story.iter().find_map(|event| match &event.fact {
        Fact::JobSubmitted { job, .. } => Some((event.clone(), job.clone())),
        _ => None,
    });
    let (mut event, job) = doubled.unwrap();
    event.fact = Fact::JobDoubled { job, entries: 2 };
    let (_, mut writer) = History::open(&file("whole.db")).unwrap();
    write(&mut writer, &muddled, 500);
    let paused = RackEvent {
        rack: event.rack.clone(),
        action: Action {
            at: event.time,
            by: "ann".into(),
            why: "the switch is being replaced".into(),
            deed: Deed::Paused,
        },
    };
    writer.fold(&[event], &[paused]).unwrap();
    let (whole, lines) = (rows(&file("whole.db")), exported(&file("whole.db")));

    // Into none, twice.
    let first = imported(&lines, &file("fresh.db")).unwrap();
    assert_eq!(first.learnt, first.events);
    assert_eq!(first.events as usize, story.len() + 2);
    assert_eq!(rows(&file("fresh.db")), whole);
    assert_eq!(imported(&lines, &file("fresh.db")).unwrap().learnt, 0);
    assert_eq!(rows(&file("fresh.db")), whole);
    let position = History::open(&file("fresh.db")).unwrap().1.position();
    assert_eq!(
        position.unwrap(),
        None,
        "the stream is still to be followed"
    );

    // Into one that knows some of it, and goes on to be written meanwhile.
    let (_, mut writer) = History::open(&file("half.db")).unwrap();
    write(&mut writer, &story[story.len() / 2..], 300);
    let before = writer.position().unwrap();
    imported(&lines, &file("half.db")).unwrap();
    assert_eq!(writer.position().unwrap(), before);
    write(&mut writer, &story[..10], 5);
    assert_eq!(rows(&file("half.db")), whole);
    // Another order, and the same events.
    let sorted = |lines: &[u8]| {
        let mut lines: Vec<Vec<u8>> = lines
            .split(|byte| *byte == b'\n')
            .skip(1)
            .map(<[u8]>::to_vec)
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&exported(&file("half.db"))), sorted(&lines));
}

#[test]
fn an_export_that_cannot_be_trusted_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (from, into) = (folder.path().join("from.db"), folder.path().join("into.db"));
    filled(&from);
    let whole = String::from_utf8(exported(&from)).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let without = |line: usize| {
        let mut lines = lines.clone();
        lines.remove(line);
        lines.join("\n") + "\n"
    };
    let other_job = whole.replacen(
        "\"job\":\"",
        "\"job\":\"00000000-0000-0000-0000-000000000000\",\"x\":\"",
        1,
    );
    let other_job_line = lines
        .iter()
        .position(|line| line.contains("\"job\":\""))
        .unwrap()
        + 1;
    let cases = [
        (String::new(), "this is no export of a history".to_owned()),
        (
            "{\"a letter\": 1}\n".into(),
            "this is no export of a history".into(),
        ),
        (without(0), "this is no export of a history".into()),
        (
            whole.replacen("\"racktick_history\":1", "\"racktick_history\":9", 1),
            "a later racktick wrote this export (version 9)".into(),
        ),
        (
            without(7),
            format!("line 1 says that {} events follow", lines.len() - 1),
        ),
        (
            whole.clone() + lines[3] + "\n",
            "the export is not whole".into(),
        ),
        // Cut off in the middle of its last line.
        (
            whole[..whole.len() - 20].into(),
            format!("line {} is no event", lines.len()),
        ),
        (
            whole.replacen(lines[5], "{\"specversion\":", 1),
            "line 6 is no event".into(),
        ),
        (
            other_job,
            format!("line {other_job_line} is no event of racktick's"),
        ),
    ];
    for (number, (text, wanted)) in cases.into_iter().enumerate() {
        let error = imported(text.as_bytes(), &into).unwrap_err().to_string();
        assert!(error.contains(&wanted), "{number}: {error}");
        assert!(
            rows(&into).into_iter().all(|(_, rows)| rows.is_empty()),
            "{number}"
        );
    }
}

#[test]
fn a_file_that_others_may_be_at_work_on_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.db");
    let error = History::existing(&file).unwrap_err();
    assert!(matches!(error, HistoryError::Missing { .. }), "{error}");
    filled(&file);
    let connection = Connection::open(&file).unwrap();
    for version in [1, 999] {
        connection
            .pragma_update(None, "user_version", version)
            .unwrap();
        for error in [
            History::existing(&file).unwrap_err(),
            History::beside(&file).unwrap_err(),
        ] {
            assert!(
                error
                    .to_string()
                    .contains(&format!("it has version {version}")),
                "{error}"
            );
        }
    }
    assert!(!folder.path().join("history.db.aside-1").exists());
}

/// Whoever may publish events could otherwise end every follower for as long as the stream keeps one.
#[test]
fn no_number_of_an_event_is_too_large_to_be_known() {
    let folder = tempfile::tempdir().unwrap();
    let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
    let story = Teller::new(1).story(SIZE);
    let with = |fact: Fact| Event {
        fact,
        ..story[0].clone()
    };
    let (rack, cycle) = (story[0].rack.clone(), story[0].cycle);
    let machine = MachineName::new("m1").unwrap();
    let job = JobId::of(cycle, &machine);
    let most = SkipReason::ALL.iter().map(|reason| (*reason, usize::MAX));
    let planned = with(Fact::CyclePlanned {
        deploy: usize::MAX,
        skip: most.collect(),
        deploy_by: Timestamp::MAX,
        spread: Duration::MAX,
    });
    let doubled = with(Fact::JobDoubled {
        job: Job { machine, job },
        entries: usize::MAX,
    });
    let letter = Letter {
        number: u64::MAX,
        subject: "rack.tick".into(),
        reason: "nobody reads it".into(),
        at: now(),
    };
    let replayed = RackEvent {
        rack: rack.clone(),
        action: Action {
            at: Timestamp::MIN,
            by: "ann".into(),
            why: String::new(),
            deed: Deed::Replayed { letter },
        },
    };
    let learnt = writer.fold(&[planned, doubled], &[replayed]).unwrap();
    assert_eq!(learnt, 3);
    let known = history.read(|reading| {
        let doubled = reading.job(job)?.and_then(|view| view.job.doubled);
        let actions = reading.rack(&rack)?.map(|view| view.actions.len());
        let deploy = reading.cycle(cycle)?.and_then(|view| view.cycle.deploy);
        Ok((doubled.is_some(), actions, deploy.is_some()))
    });
    assert_eq!(known.unwrap(), (true, Some(1), true));
}
