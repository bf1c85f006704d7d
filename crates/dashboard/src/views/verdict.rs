//! What became of jobs, one after the other.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::outcome::Outcome;
use rusqlite::types::ToSql;
use rusqlite::{Result, Row};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::Cursor;
use super::row::{self, OUTCOME};
use crate::history::Reading;
use crate::history::time::nanos;

/// A job that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobOver {
    /// When that was known.
    pub at: Timestamp,
    /// Its rack.
    pub rack: RackName,
    /// Its machine.
    pub machine: MachineName,
    /// Its cycle.
    pub cycle: CycleId,
    /// The job.
    pub job: JobId,
    /// What became of it.
    pub outcome: Outcome,
    /// When it was in Testflinger.
    pub submitted_at: Option<Timestamp>,
}

/// Which jobs are wanted. What is not set is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OverFilter {
    /// Of this rack.
    pub rack: Option<RackName>,
    /// Of this machine.
    pub machine: Option<MachineName>,
    /// Over at this time or later.
    #[param(value_type = Option<String>)]
    pub since: Option<When>,
    /// Over before this time.
    #[param(value_type = Option<String>)]
    pub until: Option<When>,
}

/// A time, or a day of UTC, which stands for its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct When(pub Timestamp);

/// A text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time: write a day such as `2026-11-28`, or `2026-11-28T06:00:00Z`")]
pub struct BadWhen(String);

impl FromStr for When {
    type Err = BadWhen;

    fn from_str(text: &str) -> std::result::Result<Self, BadWhen> {
        let day = || {
            let day: Date = (text.len() == "2026-11-28".len()).then(|| text.parse().ok())??;
            Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
        };
        let time = text.parse().ok().or_else(day);
        time.map(Self).ok_or_else(|| {
            let text: String = text.chars().take(64).collect();
            BadWhen(text.escape_debug().to_string())
        })
    }
}

impl TryFrom<String> for When {
    type Error = BadWhen;

    fn try_from(text: String) -> std::result::Result<Self, BadWhen> {
        text.parse()
    }
}

impl From<When> for String {
    fn from(when: When) -> Self {
        when.0.to_string()
    }
}

impl Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Reading<'_> {
    /// Jobs that are over, the newest first, at most so many, each with its place.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn jobs_over(
        &self,
        filter: &OverFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<(Cursor, JobOver)>> {
        let until = filter
            .until
            .map_or(Cursor::NEWEST, |until| Cursor::of_row(nanos(until.0), 0));
        // What ends earlier is further on in the list.
        let after = match after {
            Some(after) if after.at < until.at => after,
            _ => until,
        };
        let since = filter.since.map_or(i64::MIN, |since| nanos(since.0));
        let number = after.row();
        let rack = filter.rack.as_ref().map(RackName::as_str);
        let machine = filter.machine.as_ref().map(MachineName::as_str);
        let mut values: Vec<&dyn ToSql> = vec![&after.at, &number, &since, &limit];
        let mut only = String::new();
        if let Some(machine) = &machine {
            values.push(machine);
            // Every machine that an event of a cycle is about has a decision there.
            only.push_str(
                " AND e.machine = ?5 AND e.cycle IN (SELECT cycle FROM decisions WHERE machine = ?5)",
            );
        }
        if let Some(rack) = &rack {
            values.push(rack);
            // What narrows more than the rack is looked for first: with a `+` its index is not used.
            let plus = if machine.is_some() { "+" } else { "" };
            only.push_str(&format!(" AND {plus}e.rack = ?{}", values.len()));
        }
        self.connection
            .prepare_cached(&format!(
                "SELECT e.number, e.at, j.cycle, j.machine, j.rack, coalesce(j.submitted_at, j.claimed_at), {OUTCOME}
                 FROM events e CROSS JOIN jobs j ON j.cycle = e.cycle AND j.machine = e.machine
                 WHERE e.kind IN ('job.finished', 'job.rejected') AND (e.kind = 'job.rejected') = (j.outcome = 'rejected')
                     AND (e.at, e.number) < (?1, ?2) AND e.at >= ?3{only}
                 ORDER BY e.at DESC, e.number DESC LIMIT ?4"
            ))?
            .query_map(values.as_slice(), |row| {
                Ok((Cursor::of_row(row.get(1)?, row.get(0)?), job_over(row)?))
            })?
            .collect()
    }
}

fn job_over(row: &Row) -> Result<JobOver> {
    let (cycle, machine) = (row::cycle(row, 2)?, row::machine_set(row, 3)?);
    Ok(JobOver {
        at: row::moment_set(row, 1)?,
        job: JobId::of(cycle, &machine),
        cycle,
        machine,
        rack: row::rack(row, 4)?,
        submitted_at: row::moment(row, 5)?,
        outcome: row::outcome(row, 6)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_stands_for_its_beginning() {
        let when = |text: &str| text.parse::<When>().map(|when| when.to_string());
        assert_eq!(when("2026-11-28").unwrap(), "2026-11-28T00:00:00Z");
        assert_eq!(
            when("2026-11-28T07:00:00+01:00").unwrap(),
            "2026-11-28T06:00:00Z"
        );
        for text in ["", "yesterday", "2026-13-01", "2026-11-28T07:00:00", "7d"] {
            assert!(when(text).is_err(), "{text}");
        }
    }
}
