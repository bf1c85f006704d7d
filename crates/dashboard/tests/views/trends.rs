//! How the fleet does over days.

use std::collections::BTreeMap;

use dashboard::history::History;
use dashboard::views::EventFilter;
use jiff::{SignedDuration, Timestamp};
use model::event::{Event, Fact};
use model::outcome::{Outcome, Phase};

use crate::lab::{at, cycle, failed, job, lab, node, rack};
use crate::support::write;
#[test]
fn trends_count_by_day_and_find_who_has_not_deployed() {
    let lab = lab();
    let trends = lab
        .history
        .read(|reading| reading.trends(at("00:00:00")))
        .unwrap();
    let days: Vec<_> = trends
        .days
        .iter()
        .map(|day| (day.day.to_string(), day.distro.as_deref(), &day.outcomes))
        .collect();
    let day = "2026-11-21".to_owned();
    let words = |counts: &[(&str, usize)]| {
        let counts = counts
            .iter()
            .map(|(word, count)| ((*word).to_owned(), *count));
        counts.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(
        days,
        [
            (day.clone(), None, &words(&[("rejected", 1)])),
            (day, Some("noble"), &words(&[("failed", 2), ("passed", 1)])),
        ]
    );
    // Whose looks saw no phase is not counted as one that took no time.
    let [phase] = &trends.phases[..] else {
        panic!("{:?}", trends.phases)
    };
    let about = (
        &phase.rack,
        phase.distro.as_deref(),
        phase.phase,
        phase.jobs,
    );
    assert_eq!(about, (&rack(), Some("noble"), Phase::Provision, 1));
    // It took 30 minutes.
    let told = [phase.median, phase.p95].map(|length| length.as_secs().abs_diff(30 * 60));
    assert!(told.iter().all(|off| off * 8 <= 30 * 60), "{phase:?}");
    assert_eq!(trends.longest_without_pass[0].machine, node(2));
    assert!(trends.flaky.is_empty());
}

#[test]
fn a_machine_that_was_not_seen_to_deploy_for_long_is_named_although_nothing_failed() {
    let folder = tempfile::tempdir().unwrap();
    let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
    write(&mut writer, &ends(&[&Outcome::Passed]), 1);
    let longest = |days: i64| {
        let now = at("00:50:00") + SignedDuration::from_hours(24 * days);
        let trends = history.read_at(now, |reading| reading.trends(Timestamp::UNIX_EPOCH));
        let cells = trends.unwrap().longest_without_pass;
        cells
            .iter()
            .map(|cell| cell.machine.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(longest(6), []);
    assert_eq!(longest(8), [node(1)]);
}

/// One cycle every six hours, in which node1 ends like this.
fn ends(outcomes: &[&Outcome]) -> Vec<Event> {
    let slots = ["00:00:00", "06:00:00", "12:00:00", "18:00:00"];
    let told = slots.iter().zip(outcomes).map(|(slot, outcome)| Event {
        time: at(slot) + SignedDuration::from_mins(50),
        rack: rack(),
        cycle: cycle(slot),
        fact: Fact::JobFinished {
            job: job(slot, 1),
            verdict: (*outcome).clone(),
            statuses: BTreeMap::new(),
            submitted_at: None,
            cancel: None,
            device: None,
            evidence: None,
        },
    });
    told.collect()
}

#[test]
fn who_changes_often_is_flaky() {
    let folder = tempfile::tempdir().unwrap();
    let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
    let passed = Outcome::Passed;
    write(
        &mut writer,
        &ends(&[&passed, &failed(), &passed, &Outcome::Cancelled]),
        2,
    );
    let ask = |from| {
        let trends = history.read(|reading| reading.trends(at(from))).unwrap();
        let flaky = trends.flaky.into_iter();
        let flaky = flaky.map(|flaky| (flaky.machine, flaky.changes, flaky.verdicts));
        flaky.collect::<Vec<_>>()
    };
    assert_eq!(ask("00:00:00"), [(node(1), 2, 3)]);
    assert_eq!(ask("06:00:00"), [(node(1), 2, 2)]);
    assert_eq!(ask("12:00:00"), []);
}

#[test]
fn a_job_that_was_refused_and_ran_after_all_counts_once() {
    for refused_first in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
        let mut events = ends(&[&failed(), &failed()]);
        let refused = Event {
            fact: Fact::JobRejected {
                job: job("00:00:00", 1),
                status: 422,
                message: "no".into(),
            },
            // Of the day before.
            time: at("00:00:00") - SignedDuration::from_mins(5),
            ..events[0].clone()
        };
        events.insert(if refused_first { 0 } else { 2 }, refused);
        write(&mut writer, &events, 1);
        let trends = history.read(|reading| reading.trends(Timestamp::UNIX_EPOCH));
        let days = trends.unwrap().days;
        let [day] = &days[..] else { panic!("{days:?}") };
        assert_eq!(day.outcomes, BTreeMap::from([("failed".to_owned(), 2)]));
        let view = history.read(|reading| reading.machine(&node(1)));
        let cell = view.unwrap().unwrap().cell;
        assert_eq!((cell.streak, cell.since), (2, Some(at("00:50:00"))));
    }
}

#[test]
fn what_racktick_cannot_have_published_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (history, mut writer) = History::open(&folder.path().join("history.db")).unwrap();
    // A job's id follows from its cycle and its machine.
    let mut foreign = ends(&[&failed()]);
    for event in &mut foreign {
        if let Fact::JobFinished { job: about, .. } = &mut event.fact {
            about.job = job("00:00:00", 2).job;
        }
    }
    write(&mut writer, &foreign, 1);
    let known = history.read(|reading| {
        let events = reading.events(&EventFilter::default(), None, 10)?;
        Ok((reading.machine(&node(1))?, events.page.items))
    });
    assert_eq!(known.unwrap(), (None, Vec::new()));
}
