//! When a rack ticks, as a person sets it. The slots that follow from it are computed in `plan`.

use std::fmt;
use std::time::Duration;

use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
use serde::{Deserialize, Serialize};

/// A rack's schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Schedule {
    /// Every so often, counted from the Unix epoch plus the rack's splay, so that it needs no memory.
    Every {
        /// The period.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        every: Duration,
        /// Slots are shifted by a stable share of this, taken from the rack's name. Default: the whole period.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional"
        )]
        splay: Option<Duration>,
    },
    /// By the wall clock of a time zone.
    Cron {
        /// Five fields: minute, hour, day of month, month, day of week.
        cron: String,
        /// IANA name, such as `Europe/Berlin`.
        time_zone: String,
        /// As for `every`; default: none, because a person who writes 6:30 means 6:30.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional"
        )]
        splay: Option<Duration>,
    },
}

/// As a person says it: `every 6h`, `cron 30 6 * * 1-5 Europe/Berlin`, with `splay 1h` where one is set.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printer = SpanPrinter::new()
            .designator(Designator::Compact)
            .spacing(Spacing::BetweenUnits);
        let span = |span| printer.unsigned_duration_to_string(span);
        let splay = match self {
            Self::Every { every, splay } => {
                write!(f, "every {}", span(every))?;
                splay
            }
            Self::Cron {
                cron,
                time_zone,
                splay,
            } => {
                write!(f, "cron {cron} {time_zone}")?;
                splay
            }
        };
        match splay {
            Some(splay) => write!(f, " splay {}", span(splay)),
            None => Ok(()),
        }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Every {
            every: Duration::from_secs(6 * 3600),
            splay: None,
        }
    }
}
