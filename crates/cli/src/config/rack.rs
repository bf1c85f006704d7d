//! A rack as a person describes it, in `[racks.<name>]` or with the flags of `rack add`.

use std::time::Duration;

use model::name::RackName;
use model::policy::{Policy, PolicyChange};
use model::schedule::Schedule;
use plan::slots::Slots;
use serde_json::{Value, json};

use super::problem::nearest;
use super::value::duration;

/// The words of a schedule, before they are one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ScheduleWords {
    /// Every so often.
    pub(crate) every: Option<Duration>,
    /// Five cron fields.
    pub(crate) cron: Option<String>,
    /// The time zone of the cron fields.
    pub(crate) time_zone: Option<String>,
    /// Over how long slots of several racks are spread.
    pub(crate) splay: Option<Duration>,
}

/// What the configuration file says of a rack; `rack add` starts from it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RackDefaults {
    /// Its schedule.
    pub(crate) schedule: ScheduleWords,
    /// Its policy.
    pub(crate) policy: PolicyChange,
}

impl ScheduleWords {
    /// The keys, as in `[racks.<name>]`.
    pub(crate) const KEYS: &'static [&'static str] = &["every", "cron", "time_zone", "splay"];

    /// Whether nothing was said.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The words of a schedule that stands, to change some of them.
    pub(crate) fn of(schedule: &Schedule) -> Self {
        match schedule.clone() {
            Schedule::Every { every, splay } => Self {
                every: Some(every),
                splay,
                ..Self::default()
            },
            Schedule::Cron {
                cron,
                time_zone,
                splay,
            } => Self {
                cron: Some(cron),
                time_zone: Some(time_zone),
                splay,
                ..Self::default()
            },
        }
    }

    /// These words over others. Saying `every` drops the others' cron, and the other way round.
    pub(crate) fn over(self, mut other: Self) -> Self {
        if self.every.is_some() {
            (other.cron, other.time_zone, other.splay) = (None, None, None);
        }
        if self.cron.is_some() {
            (other.every, other.splay) = (None, None);
        }
        Self {
            every: self.every.or(other.every),
            cron: self.cron.or(other.cron),
            time_zone: self.time_zone.or(other.time_zone),
            splay: self.splay.or(other.splay),
        }
    }

    /// The schedule that the words make, checked for a rack; the default one if nothing was said.
    pub(crate) fn settle(self, rack: &RackName, min_every: Duration) -> Result<Schedule, String> {
        let schedule = self.schedule()?;
        Slots::new(&schedule, rack)
            .and_then(|slots| slots.check_shortest(min_every))
            .map_err(|error| error.to_string())?;
        Ok(schedule)
    }

    fn schedule(self) -> Result<Schedule, String> {
        let splay = self.splay;
        match (self.every, self.cron, self.time_zone) {
            (Some(_), Some(_), _) => {
                Err("`every` and `cron` exclude each other: give one of them".into())
            }
            (_, None, Some(_)) => {
                Err("a time zone goes with `cron` only: `every` counts from the epoch".into())
            }
            (_, Some(_), None) => {
                Err("`cron` needs a time zone: give one, such as `Europe/Berlin` or `UTC`".into())
            }
            (None, Some(cron), Some(time_zone)) => Ok(Schedule::Cron {
                cron,
                time_zone,
                splay,
            }),
            (Some(every), None, None) => Ok(Schedule::Every { every, splay }),
            (None, None, None) => Ok(match Schedule::default() {
                Schedule::Every { every, .. } => Schedule::Every { every, splay },
                Schedule::Cron {
                    cron, time_zone, ..
                } => Schedule::Cron {
                    cron,
                    time_zone,
                    splay,
                },
            }),
        }
    }
}

/// A time as a person writes it.
#[derive(Clone, Copy)]
pub(crate) struct Shown(pub(crate) Duration);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
        let printer = SpanPrinter::new()
            .designator(Designator::Compact)
            .spacing(Spacing::BetweenUnits);
        f.write_str(&printer.unsigned_duration_to_string(&self.0))
    }
}

/// Takes one value into a change of policy, or says what is wrong with it.
pub(crate) fn set_policy(
    change: &mut PolicyChange,
    field: &str,
    value: Value,
) -> Result<(), String> {
    if !Policy::FIELDS.contains(&field) {
        return Err(match nearest(field, Policy::FIELDS.iter().copied()) {
            Some(nearest) => format!("unknown policy value `{field}`; did you mean `{nearest}`?"),
            None => format!(
                "unknown policy value `{field}`; there are {}",
                Policy::FIELDS.join(", ")
            ),
        });
    }
    let shown = value.to_string();
    let wrong = |why: String| format!("policy value {field} = {shown}: {why}");
    let is_time = serde_json::to_value(Policy::default())
        .ok()
        .and_then(|policy| Some(policy.get(field)?.is_string()))
        .unwrap_or_default();
    let value = match value {
        Value::String(_) | Value::Number(_) if is_time => {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            json!(Shown(duration(&text).map_err(wrong)?).to_string())
        }
        other => other,
    };
    let mut all = serde_json::to_value(&*change).map_err(|error| wrong(error.to_string()))?;
    all[field] = value;
    *change = serde_json::from_value(all).map_err(|error| wrong(error.to_string()))?;
    if field == "job" && !change.job.as_ref().is_some_and(Value::is_object) {
        return Err(wrong(
            "a job is an object with keys like `provision_data`".into(),
        ));
    }
    Ok(())
}

/// Reads `key=value` of the command line. The value is JSON if it reads as JSON, and text otherwise; for a list, a
/// text is split at its commas.
pub(crate) fn set_policy_text(change: &mut PolicyChange, text: &str) -> Result<(), String> {
    let (field, value) = text.split_once('=').ok_or_else(|| {
        format!("`{text}` is no policy value: write `key=value`, such as `spread=30m`")
    })?;
    let (field, value) = (field.trim(), value.trim());
    let parsed = serde_json::from_str(value).unwrap_or_else(|_| {
        let is_list = matches!(field, "exclude" | "locations" | "maas_owners");
        if is_list {
            value
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .collect()
        } else {
            Value::from(value)
        }
    });
    set_policy(change, field, parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn words(every: Option<Duration>, cron: Option<&str>, zone: Option<&str>) -> ScheduleWords {
        ScheduleWords {
            every,
            cron: cron.map(Into::into),
            time_zone: zone.map(Into::into),
            splay: None,
        }
    }

    fn settle(words: ScheduleWords) -> Result<Schedule, String> {
        words.settle(&RackName::new("r1").unwrap(), HOUR)
    }

    #[test]
    fn a_schedule_is_every_or_cron_with_a_zone() {
        assert_eq!(settle(words(None, None, None)), Ok(Schedule::default()));
        assert!(settle(words(Some(HOUR), None, None)).is_ok());
        assert!(settle(words(None, Some("30 6 * * *"), Some("UTC"))).is_ok());
        assert!(settle(words(None, Some("30 6 * *"), Some("UTC"))).is_err());
        assert!(settle(words(None, Some("30 6 * * *"), None)).is_err());
        assert!(settle(words(Some(HOUR), Some("30 6 * * *"), Some("UTC"))).is_err());
        assert!(settle(words(Some(HOUR), None, Some("UTC"))).is_err());
    }

    #[test]
    fn a_typed_6m_is_refused_with_the_way_out() {
        let error = settle(words(Some(Duration::from_secs(360)), None, None)).unwrap_err();
        assert!(
            error.contains("6m") && error.contains("RACKTICK_MIN_EVERY"),
            "{error}"
        );
    }

    #[test]
    fn a_new_period_replaces_a_cron_line() {
        let standing = ScheduleWords::of(&Schedule::Cron {
            cron: "30 6 * * *".into(),
            time_zone: "UTC".into(),
            splay: None,
        });
        let changed = words(Some(HOUR), None, None).over(standing);
        assert_eq!(changed, words(Some(HOUR), None, None));
    }

    #[test]
    fn policy_values_are_read_as_a_shell_gives_them() {
        let mut change = PolicyChange::default();
        for text in [
            "spread=0",
            "exclude=spare-*, m1",
            "fail_streak_limit=3",
            "deadline=1d",
            "job={\"provision_data\": {\"distro\": \"jammy\"}}",
        ] {
            set_policy_text(&mut change, text).unwrap();
        }
        assert_eq!(change.spread, Some(Duration::ZERO));
        assert_eq!(
            change.exclude.as_deref(),
            Some(&["spare-*".to_owned(), "m1".to_owned()][..])
        );
        assert_eq!(change.fail_streak_limit, Some(3));
        assert_eq!(change.deadline, Some(24 * HOUR));
    }

    #[test]
    fn bad_policy_values_say_what_to_write() {
        let refused = |text| set_policy_text(&mut PolicyChange::default(), text).unwrap_err();
        assert!(refused("spraed=1h").contains("did you mean `spread`?"));
        assert!(
            refused("spread=6").contains("has no unit"),
            "{}",
            refused("spread=6")
        );
        assert!(refused("spread").contains("key=value"));
        assert!(refused("fail_streak_limit=many").contains("fail_streak_limit"));
        assert!(refused("job=7").contains("object"));
    }
}
