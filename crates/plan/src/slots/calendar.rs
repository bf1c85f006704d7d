//! Cron by the wall clock of a time zone.
//!
//! The cron pattern is evaluated on plain dates and times, and each match is then given its instant: what falls into
//! the gap of a clock change comes at the gap's end, what the clock shows twice comes at the first time. The pattern
//! library has rules of its own for this, which differ between patterns, so it is not shown the time zone.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{DateTime, date};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::ScheduleError;
use super::text::quoted;

/// From here it is seen whether and how often a pattern matches. Any day will do; this one starts a leap cycle.
const REFERENCE: DateTime = date(2000, 1, 1).at(0, 0, 0, 0);
/// How many days of a pattern are looked at to see how near two of them are.
const DAYS: usize = 60;

/// A pattern in a time zone.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    pattern: Cron,
    zone: TimeZone,
}

impl Calendar {
    pub(super) fn new(cron: &str, zone: TimeZone) -> Result<Self, ScheduleError> {
        check_fields(cron)?;
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let pattern = parser.parse(cron).map_err(|error| ScheduleError::Cron {
            cron: quoted(cron),
            problem: quoted(&error.to_string()),
        })?;
        let calendar = Self { pattern, zone };
        match calendar.next(REFERENCE, true) {
            Some(_) => Ok(calendar),
            None => Err(ScheduleError::Never { cron: quoted(cron) }),
        }
    }

    /// The first slot after `time`.
    pub(super) fn after(&self, time: Timestamp) -> Option<Timestamp> {
        // Instants never run backwards against the wall clock, so nothing before this can come after `time`.
        let civil = self.zone.to_datetime(time);
        let from =
            date(civil.year(), civil.month(), civil.day()).at(civil.hour(), civil.minute(), 0, 0);
        let mut next = self.next(from, true)?;
        loop {
            // What the clock shows a second time, and what shares its instant with an earlier match, is over already.
            let instant = self.instant(next)?;
            if instant > time {
                return Some(instant);
            }
            next = self.next(next, false)?;
        }
    }

    /// The shortest distance of two neighbours by the wall clock.
    pub(super) fn shortest_gap(&self) -> Duration {
        let Some(first) = self.next(REFERENCE, true) else {
            return Duration::MAX;
        };
        // Every day that matches at all has the same times of day.
        let times: Vec<DateTime> =
            std::iter::successors(Some(first), |time| self.next(*time, false))
                .take_while(|time| time.date() == first.date())
                .collect();
        let within = times
            .windows(2)
            .map(|pair| pair[1].duration_since(pair[0]))
            .min();
        let last = times.last().copied().unwrap_or(first);
        let day_length = last.duration_since(first);

        let days = std::iter::successors(Some(first), |day| {
            let next_day = day.date().tomorrow().ok()?;
            self.next(next_day.at(0, 0, 0, 0), true)
        });
        let days: Vec<DateTime> = days.take(DAYS).collect();
        let between = days
            .windows(2)
            .map(|pair| pair[1].duration_since(pair[0]) - day_length)
            .min();

        let gap = within
            .into_iter()
            .chain(between)
            .min()
            .unwrap_or(SignedDuration::MAX);
        gap.unsigned_abs()
    }

    fn next(&self, from: DateTime, inclusive: bool) -> Option<DateTime> {
        self.pattern.find_next_occurrence(&from, inclusive).ok()
    }

    /// When the wall clock first shows this time, or has jumped over it.
    fn instant(&self, civil: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(civil);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
            AmbiguousOffset::Gap { before, .. } => {
                // By the clock that was not changed this is at the change or after it, and before the next one.
                let unchanged = before.to_timestamp(civil).ok()?;
                let change = self
                    .zone
                    .preceding(unchanged.checked_add(SignedDuration::from_nanos(1)).ok()?)
                    .next()?;
                Some(change.timestamp())
            }
        }
    }
}

fn check_fields(cron: &str) -> Result<(), ScheduleError> {
    let fields: Vec<&str> = cron.split_whitespace().collect();
    let advice = match fields.len() {
        5 => return Ok(()),
        6 => format!(
            "leave the seconds out and write `{}`: minute, hour, day of month, month, day of week",
            quoted(&fields[1..].join(" "))
        ),
        _ => "write minute, hour, day of month, month and day of week, such as `30 6 * * 1-5`"
            .to_owned(),
    };
    Err(ScheduleError::Fields {
        cron: quoted(cron),
        found: fields.len(),
        advice,
    })
}
