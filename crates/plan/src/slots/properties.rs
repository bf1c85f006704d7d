//! Slots compared with a definition that scans minute by minute and knows nothing of patterns or clock changes.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, ToSpan};
use proptest::prelude::*;

use super::*;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// Zones with gaps and folds of an hour, half an hour and two hours, at midnight and at night, twice a year around
/// Ramadan, and none at all.
const ZONES: [&str; 18] = [
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Nuuk",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kolkata",
    "Antarctica/Troll",
    "UTC",
];

fn rack() -> RackName {
    RackName::new("r7").unwrap()
}

/// Minutes and hours of a pattern, every day.
#[derive(Debug, Clone)]
struct Times {
    minutes: BTreeSet<i8>,
    hours: BTreeSet<i8>,
}

impl Times {
    fn matches(&self, time: DateTime) -> bool {
        self.minutes.contains(&time.minute()) && self.hours.contains(&time.hour())
    }

    fn schedule(&self, zone: &str) -> Schedule {
        let list = |set: &BTreeSet<i8>| set.iter().map(i8::to_string).collect::<Vec<_>>().join(",");
        Schedule::Cron {
            cron: format!("{} {} * * *", list(&self.minutes), list(&self.hours)),
            time_zone: zone.into(),
            splay: None,
        }
    }
}

fn times() -> impl Strategy<Value = Times> {
    (
        proptest::collection::btree_set(0_i8..60, 1..5),
        proptest::collection::btree_set(0_i8..24, 1..8),
    )
        .prop_map(|(minutes, hours)| Times { minutes, hours })
}

/// The definition: an instant is a slot if the wall clock, compared with the latest it has ever shown, passes over a
/// match or reaches one.
fn scan(times: &Times, zone: &TimeZone, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let mut latest = zone.to_datetime(from);
    let mut found = Vec::new();
    let mut now = from;
    while now < to {
        now += MINUTE;
        let shown = zone.to_datetime(now);
        if shown > latest {
            let mut passed =
                std::iter::successors(Some(latest + 1.minute()), |time| Some(*time + 1.minute()))
                    .take_while(|time| *time <= shown);
            if passed.any(|time| times.matches(time)) {
                found.push(now);
            }
            latest = shown;
        }
    }
    found
}

fn assert_same(times: &Times, name: &str, from: Timestamp, to: Timestamp) {
    let zone = TimeZoneDatabase::bundled().get(name).unwrap();
    let slots = Slots::new(&times.schedule(name), &rack()).unwrap();
    let ours: Vec<Timestamp> = slots
        .iter_after(from)
        .take_while(|slot| *slot <= to)
        .collect();
    assert_eq!(ours, scan(times, &zone, from, to), "{name} {times:?}");
    assert!(
        ours.iter().all(|slot| slots.contains(*slot)),
        "{name} {times:?}"
    );
    assert!(ours.is_sorted_by(|a, b| a < b), "{name} {times:?}");
}

#[test]
fn around_every_clock_change_no_slot_is_lost_and_none_comes_twice() {
    let set = |values: &[i8]| values.iter().copied().collect::<BTreeSet<i8>>();
    let patterns = [
        Times {
            minutes: (0..60).step_by(10).collect(),
            hours: (0..24).collect(),
        },
        Times {
            minutes: set(&[0, 45]),
            hours: set(&[0, 1, 2, 3]),
        },
        Times {
            minutes: set(&[15]),
            hours: set(&[2]),
        },
    ];
    let (start, end): (Timestamp, Timestamp) = (
        "2026-01-01T00:00:00Z".parse().unwrap(),
        "2028-01-01T00:00:00Z".parse().unwrap(),
    );
    let mut changes = 0;
    for name in ZONES {
        let zone = TimeZoneDatabase::bundled().get(name).unwrap();
        for change in zone
            .following(start)
            .take_while(|change| change.timestamp() < end)
        {
            changes += 1;
            let day = SignedDuration::from_hours(14);
            for times in &patterns {
                assert_same(
                    times,
                    name,
                    change.timestamp() - day,
                    change.timestamp() + day,
                );
            }
        }
    }
    assert!(changes >= 60, "only {changes} clock changes were looked at");
}

#[test]
fn in_every_zone_of_the_database_slots_increase_over_a_clock_change() {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for name in TimeZoneDatabase::bundled().available() {
        let schedule = Schedule::Cron {
            cron: "*/30 * * * *".into(),
            time_zone: name.as_str().into(),
            splay: None,
        };
        let slots = Slots::new(&schedule, &rack()).unwrap();
        let zone = TimeZoneDatabase::bundled().get(name.as_str()).unwrap();
        for change in zone.following(start).take(2) {
            let from = change.timestamp() - SignedDuration::from_hours(2);
            let around: Vec<Timestamp> = slots.iter_after(from).take(8).collect();
            assert!(around.is_sorted_by(|a, b| a < b), "{name:?}");
            assert!(around.iter().all(|slot| slots.contains(*slot)), "{name:?}");
        }
    }
}

fn moment() -> impl Strategy<Value = Timestamp> {
    // 2020 to 2060, to the nanosecond.
    (1_577_836_800_i64..2_840_140_800, 0_i32..1_000_000_000)
        .prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_times_in_any_zone_are_those_of_the_scan(times in times(), zone in 0..ZONES.len(), from in moment()) {
        let from = Timestamp::from_second(from.as_second().div_euclid(60) * 60).unwrap();
        assert_same(&times, ZONES[zone], from, from + SignedDuration::from_hours(30));
    }

    #[test]
    fn the_slot_after_a_moment_is_the_first(every in 1_u64..200_000, splay in 0_u64..200_000, from in moment()) {
        let period = Duration::from_secs(every);
        let splay = Duration::from_secs(splay % (every + 1));
        let slots = Slots::new(&Schedule::Every { every: period, splay: Some(splay) }, &rack()).unwrap();
        let slot = slots.after(from).unwrap();
        prop_assert!(slot > from);
        prop_assert!(slot.duration_since(from) <= SignedDuration::try_from(period).unwrap());
        prop_assert!(slots.contains(slot));
        prop_assert_eq!(slots.after(slot).unwrap(), slot + period);
        prop_assert_eq!(slot.subsec_nanosecond(), 0);
    }

    #[test]
    fn a_slot_does_not_depend_on_when_it_is_asked_for(
        times in times(), zone in 0..ZONES.len(), from in moment(), part in 0.0..1.0,
    ) {
        let slots = Slots::new(&times.schedule(ZONES[zone]), &rack()).unwrap();
        let slot = slots.after(from).unwrap();
        let between = from + slot.duration_since(from).mul_f64(part);
        if between < slot {
            prop_assert_eq!(slots.after(between), Some(slot));
        }
    }
}

/// Fields that look like cron, many of them with values that no clock shows.
const FIELD: &str =
    "[0-9]{1,2}|\\*|\\*/[0-9]|[0-9]-[0-9]|[0-9]{1,2}L|L|[0-9]W|[0-9]#[0-9]|[0-9],[0-9]|\\+[0-9]";

proptest! {
    #[test]
    fn nothing_that_people_write_makes_it_panic(
        cron in "[-0-9*/,#LW?+@a-zé ]{0,24}", zone in "\\PC{0,12}", from in moment(),
    ) {
        let schedule = |time_zone: &str| Schedule::Cron { cron: cron.clone(), time_zone: time_zone.into(), splay: None };
        let _ = Slots::new(&schedule(&zone), &rack());
        if let Ok(slots) = Slots::new(&schedule("Europe/Berlin"), &rack()) {
            prop_assert!(slots.period() > Duration::ZERO);
            if let Some(slot) = slots.after(from) {
                prop_assert!(slot > from);
                prop_assert!(slots.contains(slot));
            }
        }
    }

    #[test]
    fn five_odd_fields_do_no_harm(fields in proptest::collection::vec(FIELD, 5), from in moment()) {
        let schedule = Schedule::Cron { cron: fields.join(" "), time_zone: "America/New_York".into(), splay: None };
        if let Ok(slots) = Slots::new(&schedule, &rack())
            && let Some(slot) = slots.after(from)
        {
            prop_assert!(slot > from && slots.contains(slot));
        }
    }

    #[test]
    fn any_text_is_a_duration_or_an_error(text in "\\PC{0,30}") {
        let _ = parse_duration("every", &text);
    }
}
