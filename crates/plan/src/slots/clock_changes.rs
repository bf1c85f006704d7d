//! Cron slots on the days when clocks change, by hand.

use jiff::tz::TimeZone;

use super::*;

fn cron(cron: &str, time_zone: &str) -> Schedule {
    Schedule::Cron {
        cron: cron.into(),
        time_zone: time_zone.into(),
        splay: None,
    }
}

/// The next slots, by the wall clock of a zone.
fn local(schedule: &Schedule, zone: &str, after: &str, count: usize) -> Vec<String> {
    let zone = TimeZone::get(zone).unwrap();
    Slots::new(schedule, &RackName::new("r7").unwrap())
        .unwrap()
        .iter_after(after.parse().unwrap())
        .take(count)
        .map(|slot| {
            slot.to_zoned(zone.clone())
                .strftime("%d %H:%M %Z")
                .to_string()
        })
        .collect()
}

#[test]
fn a_slot_in_the_gap_comes_at_its_end() {
    // Berlin goes from 2:00 to 3:00 on 29 March 2026.
    assert_eq!(
        local(
            &cron("30 2 * * *", "Europe/Berlin"),
            "Europe/Berlin",
            "2026-03-27T12:00:00Z",
            3
        ),
        ["28 02:30 CET", "29 03:00 CEST", "30 02:30 CEST"]
    );
    // What is lost in the gap comes once, and together with what is due at its end.
    assert_eq!(
        local(
            &cron("*/20 1-3 * * *", "Europe/Berlin"),
            "Europe/Berlin",
            "2026-03-29T00:30:00Z",
            4
        ),
        [
            "29 01:40 CET",
            "29 03:00 CEST",
            "29 03:20 CEST",
            "29 03:40 CEST"
        ]
    );
    assert_eq!(
        local(
            &cron("0 2 * * *", "Europe/Berlin"),
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            1
        ),
        ["29 03:00 CEST"]
    );
    // New York goes from 2:00 to 3:00 on 8 March 2026.
    assert_eq!(
        local(
            &cron("59 2 * * *", "America/New_York"),
            "America/New_York",
            "2026-03-08T00:00:00Z",
            2
        ),
        ["08 03:00 EDT", "09 02:59 EDT"]
    );
    // Lord Howe's gap is half an hour: from 2:00 to 2:30 on 4 October 2026.
    assert_eq!(
        local(
            &cron("15 2 * * *", "Australia/Lord_Howe"),
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            2
        ),
        ["04 02:30 +11", "05 02:15 +11"]
    );
    // Santiago's begins at midnight, so the day begins at 1:00 on 6 September 2026.
    assert_eq!(
        local(
            &cron("0 0 * * *", "America/Santiago"),
            "America/Santiago",
            "2026-09-05T12:00:00Z",
            2
        ),
        ["06 01:00 -03", "07 00:00 -03"]
    );
}

#[test]
fn a_doubled_slot_comes_once_at_the_first_time() {
    // Berlin goes from 3:00 back to 2:00 on 25 October 2026.
    assert_eq!(
        local(
            &cron("30 2 * * *", "Europe/Berlin"),
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            2
        ),
        ["25 02:30 CEST", "26 02:30 CET"]
    );
    assert_eq!(
        local(
            &cron("*/30 * * * *", "Europe/Berlin"),
            "Europe/Berlin",
            "2026-10-24T23:45:00Z",
            4
        ),
        [
            "25 02:00 CEST",
            "25 02:30 CEST",
            "25 03:00 CET",
            "25 03:30 CET"
        ]
    );
    // Asked within the second showing.
    assert_eq!(
        local(
            &cron("30 2 * * *", "Europe/Berlin"),
            "Europe/Berlin",
            "2026-10-25T01:10:00Z",
            1
        ),
        ["26 02:30 CET"]
    );
    // New York goes from 2:00 back to 1:00 on 1 November 2026.
    assert_eq!(
        local(
            &cron("30 1 * * *", "America/New_York"),
            "America/New_York",
            "2026-11-01T00:00:00Z",
            2
        ),
        ["01 01:30 EDT", "02 01:30 EST"]
    );
    // Lord Howe shows only 1:30 to 2:00 twice, on 5 April 2026.
    assert_eq!(
        local(
            &cron("15,45 1 * * *", "Australia/Lord_Howe"),
            "Australia/Lord_Howe",
            "2026-04-04T12:00:00Z",
            3
        ),
        ["05 01:15 +11", "05 01:45 +11", "06 01:15 +1030"]
    );
}

#[test]
fn a_day_that_never_was_is_made_up_for() {
    // Samoa went from 29 to 31 December 2011.
    assert_eq!(
        local(
            &cron("0 12 * * *", "Pacific/Apia"),
            "Pacific/Apia",
            "2011-12-29T12:00:00Z",
            3
        ),
        ["29 12:00 -10", "31 00:00 +14", "31 12:00 +14"]
    );
}
