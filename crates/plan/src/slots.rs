//! The slots of a schedule: when a rack ticks.
//!
//! Slots are whole seconds, follow from the schedule and the rack's name alone, and are the same on every machine: the
//! time zones are those built into the program.

mod calendar;
mod error;
mod text;
mod zone;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use model::name::RackName;
use model::policy::Policy;
use model::rack::RackRecord;
use model::schedule::Schedule;

use calendar::Calendar;

pub use error::ScheduleError;
pub use text::parse_duration;

/// Longer than this nobody plans, and the arithmetic stays far from every limit.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The slots of one rack.
#[derive(Debug, Clone)]
pub struct Slots {
    rule: Rule,
    /// Seconds by which the rack's slots come later than those of the bare rule.
    shift: i64,
    period: Duration,
}

#[derive(Debug, Clone)]
enum Rule {
    /// Every so many seconds, counted from the Unix epoch.
    Every(i64),
    /// By the wall clock.
    Calendar(Box<Calendar>),
}

impl Slots {
    /// Checks a rack's schedule and computes what is needed of it.
    pub fn new(schedule: &Schedule, rack: &RackName) -> Result<Self, ScheduleError> {
        match schedule {
            Schedule::Every { every, splay } => {
                let seconds = text::whole_seconds("every", *every)?;
                if seconds == 0 {
                    return Err(ScheduleError::Zero { what: "every" });
                }
                if *every > LONGEST {
                    return Err(ScheduleError::TooLong {
                        what: "every",
                        value: text::show(*every),
                    });
                }
                let shift = shift(rack, splay.unwrap_or(*every), *every)?;
                Ok(Self {
                    rule: Rule::Every(seconds),
                    shift,
                    period: *every,
                })
            }
            Schedule::Cron {
                cron,
                time_zone,
                splay,
            } => {
                let calendar = Calendar::new(cron, zone::find(time_zone)?)?;
                let period = calendar.shortest_gap();
                let shift = shift(rack, splay.unwrap_or_default(), period.min(LONGEST))?;
                Ok(Self {
                    rule: Rule::Calendar(Box::new(calendar)),
                    shift,
                    period,
                })
            }
        }
    }

    /// The slots that will come of a rack: none while it is paused, or when its schedule cannot be used.
    pub fn of(rack: &RackName, record: &RackRecord) -> Option<Self> {
        match record.paused {
            Some(_) => None,
            None => Self::new(&record.schedule, rack).ok(),
        }
    }

    /// The first slot after `time`, and not at it. `None` only at the end of all calendars.
    pub fn after(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every(every) => {
                // The next whole multiple, for any fraction of a second and on either side of the epoch.
                let bare = time.as_second().checked_sub(self.shift)?;
                let bare = if time.subsec_nanosecond() < 0 {
                    bare - 1
                } else {
                    bare
                };
                let next = (bare.div_euclid(*every) + 1) * every + self.shift;
                Timestamp::from_second(next).ok()
            }
            Rule::Calendar(calendar) => {
                let shift = SignedDuration::from_secs(self.shift);
                calendar
                    .after(time.checked_sub(shift).ok()?)?
                    .checked_add(shift)
                    .ok()
            }
        }
    }

    /// The slots after `time`, one after the other.
    pub fn iter_after(&self, time: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.after(time), |slot| self.after(*slot))
    }

    /// Whether the schedule has exactly this slot.
    pub fn contains(&self, slot: Timestamp) -> bool {
        let just_before = slot.checked_sub(SignedDuration::from_nanos(1));
        just_before.is_ok_and(|time| self.after(time) == Some(slot))
    }

    /// How far slots are apart: `every`, or the shortest distance of two neighbours of a cron schedule by the wall
    /// clock. Clock changes do not count: at one, two slots can be nearer.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Refuses a schedule that ticks more often than the operator allows.
    pub fn check_shortest(&self, shortest: Duration) -> Result<(), ScheduleError> {
        if self.period >= shortest {
            return Ok(());
        }
        Err(ScheduleError::TooOften {
            period: text::show(self.period),
            shortest: text::show(shortest),
        })
    }
}

/// How late a tick may still run. Without a period (a manual tick) the policy alone says.
pub fn catch_up(policy: &Policy, period: Option<Duration>) -> Duration {
    at_most_a_quarter(policy.catch_up, period)
}

/// The time over which the submits of a cycle leave. Without a period the policy alone says.
pub fn spread(policy: &Policy, period: Option<Duration>) -> Duration {
    at_most_a_quarter(policy.spread, period)
}

fn at_most_a_quarter(wanted: Duration, period: Option<Duration>) -> Duration {
    period.map_or(wanted, |period| wanted.min(period / 4))
}

/// Until when jobs of a cycle may be submitted.
pub fn deploy_by(planned_at: Timestamp, spread: Duration, submit_window: Duration) -> Timestamp {
    later(planned_at, spread.saturating_add(submit_window))
}

/// `wait` after `time`, or the end of all calendars.
pub fn later(time: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait)
        .ok()
        .and_then(|wait| time.checked_add(wait).ok())
        .unwrap_or(Timestamp::MAX)
}

/// The rack's own share of the splay, in seconds.
fn shift(rack: &RackName, splay: Duration, period: Duration) -> Result<i64, ScheduleError> {
    let splay_seconds = text::whole_seconds("splay", splay)?;
    if splay > period {
        return Err(ScheduleError::Splay {
            splay: text::show(splay),
            period: text::show(period),
        });
    }
    let Ok(share) = u64::try_from(splay_seconds) else {
        return Ok(0);
    };
    let share = fnv1a(rack.as_str().as_bytes())
        .checked_rem(share)
        .unwrap_or(0);
    Ok(i64::try_from(share).unwrap_or(0))
}

/// FNV-1a with 64 bits. Written out because every rack's slots hang on it: it must never change.
fn fnv1a(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod clock_changes;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
