//! What can be wrong with a schedule.

/// A schedule that cannot be used. The text names the value and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A number without a unit.
    #[error("`{what} = \"{value}\"` has no unit: write `{value}h` or `{value}m`")]
    NoUnit {
        /// The setting.
        what: &'static str,
        /// What was written.
        value: String,
    },
    /// Not a duration.
    #[error(
        "`{what} = \"{value}\"` is not a duration: write hours and minutes, such as `6h`, `1h30m`, or `24h` for a day"
    )]
    NotADuration {
        /// The setting.
        what: &'static str,
        /// What was written.
        value: String,
    },
    /// Nothing, where a time is needed.
    #[error("`{what}` is 0: write a time, such as `6h`")]
    Zero {
        /// The setting.
        what: &'static str,
    },
    /// Not a whole number of seconds.
    #[error("`{what} = \"{value}\"` has a fraction of a second: slots are whole seconds")]
    Fraction {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// More than a year.
    #[error(
        "`{what} = \"{value}\"` is more than a year: pause the rack instead, and tick it by hand"
    )]
    TooLong {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// More often than the operator allows.
    #[error(
        "the schedule ticks every {period}, and the shortest allowed is {shortest}, because each tick deploys the whole \
         rack: write a longer one, or lower the limit with RACKTICK_MIN_EVERY"
    )]
    TooOften {
        /// The schedule's period.
        period: String,
        /// The limit.
        shortest: String,
    },
    /// A splay that would carry slots past their successors.
    #[error(
        "the splay `{splay}` is longer than the schedule's period of {period}: write at most `{period}`"
    )]
    Splay {
        /// The splay.
        splay: String,
        /// The schedule's period.
        period: String,
    },
    /// No such time zone.
    #[error("`{name}` is not a time zone: {advice}")]
    Zone {
        /// What was written.
        name: String,
        /// What to write.
        advice: String,
    },
    /// Not five fields.
    #[error("the cron schedule `{cron}` has {found} fields: {advice}")]
    Fields {
        /// What was written.
        cron: String,
        /// How many fields it has.
        found: usize,
        /// What to write.
        advice: String,
    },
    /// Five fields that say nothing.
    #[error("`{cron}` is not a cron schedule: {problem}")]
    Cron {
        /// What was written.
        cron: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No day matches.
    #[error("the cron schedule `{cron}` never comes: no year has such a day")]
    Never {
        /// What was written.
        cron: String,
    },
}
