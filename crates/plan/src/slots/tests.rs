use jiff::SignedDuration;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn rack(name: &str) -> RackName {
    RackName::new(name).unwrap()
}

fn every(every: Duration, splay: Option<Duration>) -> Schedule {
    Schedule::Every { every, splay }
}

fn cron(cron: &str, time_zone: &str) -> Schedule {
    Schedule::Cron {
        cron: cron.into(),
        time_zone: time_zone.into(),
        splay: None,
    }
}

fn slots(schedule: &Schedule) -> Slots {
    Slots::new(schedule, &rack("r7")).unwrap()
}

fn problem(schedule: &Schedule) -> String {
    Slots::new(schedule, &rack("r7")).unwrap_err().to_string()
}

#[test]
fn golden_slots_of_every_six_hours() {
    // Written down, because armed slots and cycle ids hang on them: a change makes every rack tick twice.
    let next = |name: &str| {
        Slots::new(&Schedule::default(), &rack(name))
            .unwrap()
            .after(time("2026-11-21T00:00:00Z"))
            .unwrap()
            .to_string()
    };
    assert_eq!(
        ["r1", "r2", "r7", "rack-42", "TOR3_lab"].map(next),
        GOLDEN.map(str::to_owned)
    );
}
const GOLDEN: [&str; 5] = [
    "2026-11-21T02:30:04Z",
    "2026-11-21T04:40:37Z",
    "2026-11-21T01:03:02Z",
    "2026-11-21T05:28:11Z",
    "2026-11-21T04:33:15Z",
];

#[test]
fn the_hash_is_fnv_1a() {
    // Test vectors published with the function.
    assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
}

#[test]
fn racks_are_spread_over_the_period() {
    let mut tenths = [0; 10];
    for n in 0..100 {
        let slots = Slots::new(&every(6 * HOUR, None), &rack(&format!("r{n}"))).unwrap();
        tenths[usize::try_from(slots.shift / 2160).unwrap()] += 1;
    }
    assert!(
        tenths.iter().all(|racks| (3..=20).contains(racks)),
        "{tenths:?}"
    );
}

#[test]
fn without_splay_every_counts_from_the_epoch() {
    let slots = slots(&every(6 * HOUR, Some(Duration::ZERO)));
    assert_eq!(
        slots.after(time("2026-11-21T05:59:59.5Z")),
        Some(time("2026-11-21T06:00:00Z"))
    );
    assert_eq!(
        slots.after(time("2026-11-21T06:00:00Z")),
        Some(time("2026-11-21T12:00:00Z"))
    );
    assert_eq!(
        slots.after(time("1969-12-31T23:59:59.5Z")),
        Some(time("1970-01-01T00:00:00Z"))
    );
    assert!(slots.contains(time("2026-11-21T18:00:00Z")));
    assert!(!slots.contains(time("2026-11-21T18:00:00.000000001Z")));
    assert!(!slots.contains(time("2026-11-21T17:00:00Z")));
}

#[test]
fn a_splay_shifts_by_less_than_itself() {
    let bare = slots(&every(6 * HOUR, Some(Duration::ZERO)));
    for n in 0..50 {
        let slots = Slots::new(&every(6 * HOUR, Some(HOUR / 2)), &rack(&format!("r{n}"))).unwrap();
        let slot = slots.after(time("2026-11-21T00:00:00Z")).unwrap();
        let before = bare.after(slot - SignedDuration::from_mins(30)).unwrap();
        assert!(
            slot >= before && slot < before + HOUR / 2,
            "{slot} {before}"
        );
    }
}

#[test]
fn a_cron_schedule_may_have_a_splay() {
    let schedule = Schedule::Cron {
        cron: "30 6 * * *".into(),
        time_zone: "UTC".into(),
        splay: Some(HOUR),
    };
    let slots = slots(&schedule);
    let slot = slots.after(time("2026-11-21T00:00:00Z")).unwrap();
    assert_eq!(
        slot,
        time("2026-11-21T06:30:00Z") + SignedDuration::from_secs(slots.shift)
    );
    assert!((1..3600).contains(&slots.shift));
    assert!(slots.contains(slot));
    assert!(!slots.contains(time("2026-11-21T06:30:00Z")));
}

#[test]
fn the_period_is_the_shortest_distance_by_the_wall_clock() {
    let hours = |text: &str| slots(&cron(text, "Europe/Berlin")).period().as_secs_f64() / 3600.0;
    assert_eq!(hours("30 2 * * *"), 24.0);
    assert_eq!(hours("0 */6 * * *"), 6.0);
    assert_eq!(hours("0 0,23 * * *"), 1.0);
    assert_eq!(hours("0 0,23 * * 1,3"), 23.0);
    assert_eq!(hours("0 0,23 1,31 * *"), 1.0);
    assert_eq!(hours("0 6 * * 1-5"), 24.0);
    assert_eq!(hours("0 6 * * 1"), 168.0);
    assert_eq!(hours("*/15 8 * * *"), 0.25);
    assert_eq!(hours("* * * * *"), 1.0 / 60.0);
    assert_eq!(hours("0 0 29 2 *"), 24.0 * 1461.0);
}

#[test]
fn windows_are_at_most_a_quarter_of_the_period() {
    let policy = Policy::default();
    assert_eq!(catch_up(&policy, Some(6 * HOUR)), HOUR);
    assert_eq!(catch_up(&policy, Some(HOUR)), HOUR / 4);
    assert_eq!(catch_up(&policy, None), HOUR);
    assert_eq!(spread(&policy, Some(2 * HOUR)), HOUR / 2);
    assert_eq!(spread(&policy, None), HOUR);
    let none = Policy {
        spread: Duration::ZERO,
        ..policy
    };
    assert_eq!(spread(&none, Some(HOUR)), Duration::ZERO);
}

#[test]
fn jobs_may_be_submitted_until_spread_and_window_are_over() {
    let planned = time("2026-11-21T06:00:00Z");
    assert_eq!(
        deploy_by(planned, HOUR, HOUR / 2),
        time("2026-11-21T07:30:00Z")
    );
    assert_eq!(deploy_by(planned, Duration::MAX, HOUR), Timestamp::MAX);
}

#[test]
fn a_schedule_that_ticks_too_often_is_refused() {
    let minutes = |n: u64| slots(&every(Duration::from_secs(n * 60), None));
    minutes(60).check_shortest(HOUR).unwrap();
    let text = minutes(6).check_shortest(HOUR).unwrap_err().to_string();
    assert!(
        text.contains("every 6m") && text.contains("1h") && text.contains("RACKTICK_MIN_EVERY"),
        "{text}"
    );
    slots(&cron("0 * * * *", "Australia/Lord_Howe"))
        .check_shortest(HOUR)
        .unwrap();
    slots(&cron("0,59 * * * *", "UTC"))
        .check_shortest(HOUR)
        .unwrap_err();
}

#[test]
fn a_bad_period_is_refused_with_what_to_write() {
    assert_eq!(
        problem(&every(Duration::ZERO, None)),
        "`every` is 0: write a time, such as `6h`"
    );
    assert!(problem(&every(Duration::from_millis(1500), None)).contains("fraction of a second"));
    assert!(problem(&every(367 * 24 * HOUR, None)).contains("more than a year"));
    assert!(problem(&every(Duration::MAX, None)).contains("`every"));
    assert_eq!(
        problem(&every(HOUR, Some(2 * HOUR))),
        "the splay `2h` is longer than the schedule's period of 1h: write at most `1h`"
    );
}

#[test]
fn an_unknown_zone_is_refused_with_the_nearest() {
    let zone = |name: &str| problem(&cron("0 6 * * *", name));
    assert!(
        zone("Berlin").contains("did you mean `Europe/Berlin`"),
        "{}",
        zone("Berlin")
    );
    assert!(
        zone("Europe/Belrin").contains("`Europe/Berlin`"),
        "{}",
        zone("Europe/Belrin")
    );
    assert!(
        zone("america/new york").contains("`America/New_York`"),
        "{}",
        zone("america/new york")
    );
    assert!(
        zone("Mordor").contains("such as `Europe/Berlin`"),
        "{}",
        zone("Mordor")
    );
    assert!(zone("").contains("IANA"), "{}", zone(""));
    assert!(zone(&"x".repeat(10_000)).len() < 200);
}

#[test]
fn a_bad_cron_schedule_is_refused_with_what_to_write() {
    let cron = |text: &str| problem(&cron(text, "UTC"));
    assert_eq!(
        cron("0 30 6 * * 1-5"),
        "the cron schedule `0 30 6 * * 1-5` has 6 fields: leave the seconds out and write `30 6 * * 1-5`: \
         minute, hour, day of month, month, day of week"
    );
    assert!(cron("@daily").contains("has 1 fields"));
    assert!(cron("").contains("has 0 fields"));
    assert!(cron("61 6 * * *").contains("`61 6 * * *` is not a cron schedule"));
    assert!(cron("a b c d e").contains("is not a cron schedule"));
    assert_eq!(
        cron("0 0 30 2 *"),
        "the cron schedule `0 0 30 2 *` never comes: no year has such a day"
    );
}

#[test]
fn durations_are_read_as_people_write_them() {
    let read = |text: &str| parse_duration("every", text);
    assert_eq!(read("6h"), Ok(6 * HOUR));
    assert_eq!(read(" 1h 30m "), Ok(HOUR + HOUR / 2));
    assert_eq!(read("90 minutes"), Ok(HOUR + HOUR / 2));
    assert_eq!(read("0"), Ok(Duration::ZERO));
    assert_eq!(
        read("6").unwrap_err().to_string(),
        "`every = \"6\"` has no unit: write `6h` or `6m`"
    );
    for bad in [
        "",
        "-6h",
        "6 parsecs",
        "h",
        "6h!",
        "99999999999999999999h",
        "\u{0}",
    ] {
        assert!(read(bad).is_err(), "{bad:?}");
    }
    // A day is not always as long.
    assert!(
        read("1d")
            .unwrap_err()
            .to_string()
            .contains("`24h` for a day")
    );
}

#[test]
fn the_ends_of_the_calendar_are_no_slots_and_no_panic() {
    for schedule in [every(6 * HOUR, None), cron("0 6 * * *", "Europe/Berlin")] {
        let slots = slots(&schedule);
        assert_eq!(slots.after(Timestamp::MAX), None);
        assert!(!slots.contains(Timestamp::MIN));
        let _ = slots.after(Timestamp::MIN);
    }
}
