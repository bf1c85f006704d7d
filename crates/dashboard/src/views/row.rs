//! Columns as the values they stand for. What cannot be read back names its column.

use std::fmt::Display;

use jiff::Timestamp;
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::outcome::Outcome;
use rusqlite::types::Type;
use rusqlite::{Error, Result, Row, RowIndex};
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};

use crate::history::time::time;

fn bad(column: usize, why: impl Display) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, why.to_string().into())
}

pub(super) fn moment(row: &Row, column: impl RowIndex) -> Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(time))
}

pub(super) fn moment_set(row: &Row, column: impl RowIndex) -> Result<Timestamp> {
    Ok(time(row.get(column)?))
}

pub(super) fn rack(row: &Row, column: impl RowIndex) -> Result<RackName> {
    let index = column.idx(row.as_ref())?;
    RackName::new(row.get::<_, String>(index)?).map_err(|why| bad(index, why))
}

/// The machine; `None` where the column is empty or null.
pub(super) fn machine(row: &Row, column: impl RowIndex) -> Result<Option<MachineName>> {
    let index = column.idx(row.as_ref())?;
    row.get::<_, Option<String>>(index)?
        .filter(|name| !name.is_empty())
        .map(|name| MachineName::new(name).map_err(|why| bad(index, why)))
        .transpose()
}

pub(super) fn machine_set(row: &Row, column: impl RowIndex) -> Result<MachineName> {
    let index = column.idx(row.as_ref())?;
    machine(row, index)?.ok_or_else(|| bad(index, "a machine without a name"))
}

pub(super) fn cycle(row: &Row, column: impl RowIndex) -> Result<CycleId> {
    Ok(CycleId::from_bytes(row.get(column)?))
}

/// The cycle; `None` where there are no bytes.
pub(super) fn cycle_if_any(row: &Row, column: impl RowIndex) -> Result<Option<CycleId>> {
    let index = column.idx(row.as_ref())?;
    match row.get_ref(index)?.as_blob()? {
        [] => Ok(None),
        _ => cycle(row, index).map(Some),
    }
}

pub(super) fn job(row: &Row, column: impl RowIndex) -> Result<Option<JobId>> {
    Ok(row
        .get::<_, Option<[u8; 16]>>(column)?
        .map(JobId::from_bytes))
}

/// A value that is kept as JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row, column: impl RowIndex) -> Result<Option<T>> {
    let index = column.idx(row.as_ref())?;
    row.get::<_, Option<String>>(index)?
        .map(|text| serde_json::from_str(&text).map_err(|why| bad(index, why)))
        .transpose()
}

/// A value that is kept as its word.
pub(super) fn word<T: DeserializeOwned>(row: &Row, column: impl RowIndex) -> Result<Option<T>> {
    let index = column.idx(row.as_ref())?;
    row.get_ref(index)?
        .as_str_or_null()?
        .map(|text| {
            let word: StrDeserializer<WordError> = text.into_deserializer();
            T::deserialize(word).map_err(|why| bad(index, why))
        })
        .transpose()
}

fn word_set<T: DeserializeOwned>(row: &Row, column: impl RowIndex) -> Result<T> {
    let index = column.idx(row.as_ref())?;
    word(row, index)?.ok_or_else(|| bad(index, "nothing is there"))
}

/// The columns that [`outcome`] reads, in this order, of a `jobs` named `j`.
pub(super) const OUTCOME: &str =
    "j.outcome, j.cause, j.phase, j.exit_code, j.http_status, j.message";

/// The outcome of a row of `jobs`, if the job is over. `column` is the first of [`OUTCOME`].
pub(super) fn outcome(row: &Row, column: impl RowIndex) -> Result<Option<Outcome>> {
    let first = column.idx(row.as_ref())?;
    let [cause, phase, exit_code, status, message] = [1, 2, 3, 4, 5].map(|next| first + next);
    let kind = row.get_ref(first)?.as_str_or_null()?;
    Ok(Some(match kind {
        None => return Ok(None),
        Some("passed") => Outcome::Passed,
        Some("failed") => Outcome::Failed {
            cause: word_set(row, cause)?,
            phase: word(row, phase)?,
            exit_code: row.get(exit_code)?,
        },
        Some("cancelled") => Outcome::Cancelled,
        Some("lost") => Outcome::Lost {
            cause: word_set(row, cause)?,
        },
        Some("rejected") => Outcome::Rejected {
            status: row.get(status)?,
            message: row.get(message)?,
        },
        Some(other) => return Err(bad(first, format!("`{other}` is no outcome of a job"))),
    }))
}
