//! Columns as the values they stand for. What cannot be read back names its column.

use std::fmt::Display;

use jiff::Timestamp;
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::outcome::Outcome;
use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};

use crate::history::time::time;

fn bad(column: usize, why: impl Display) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, why.to_string().into())
}

pub(super) fn moment(row: &Row, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(time))
}

pub(super) fn moment_set(row: &Row, column: &str) -> Result<Timestamp> {
    Ok(time(row.get(column)?))
}

pub(super) fn rack(row: &Row, column: &str) -> Result<RackName> {
    let index = row.as_ref().column_index(column)?;
    RackName::new(row.get::<_, String>(index)?).map_err(|why| bad(index, why))
}

/// The machine; `None` where the column is empty or null.
pub(super) fn machine(row: &Row, column: &str) -> Result<Option<MachineName>> {
    let index = row.as_ref().column_index(column)?;
    row.get::<_, Option<String>>(index)?
        .filter(|name| !name.is_empty())
        .map(|name| MachineName::new(name).map_err(|why| bad(index, why)))
        .transpose()
}

pub(super) fn machine_set(row: &Row, column: &str) -> Result<MachineName> {
    let index = row.as_ref().column_index(column)?;
    machine(row, column)?.ok_or_else(|| bad(index, "a machine without a name"))
}

pub(super) fn cycle(row: &Row, column: &str) -> Result<CycleId> {
    Ok(CycleId::from_bytes(row.get(column)?))
}

pub(super) fn job(row: &Row, column: &str) -> Result<Option<JobId>> {
    Ok(row
        .get::<_, Option<[u8; 16]>>(column)?
        .map(JobId::from_bytes))
}

/// A value that is kept as JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row, column: &str) -> Result<Option<T>> {
    let index = row.as_ref().column_index(column)?;
    row.get::<_, Option<String>>(index)?
        .map(|text| serde_json::from_str(&text).map_err(|why| bad(index, why)))
        .transpose()
}

/// A value that is kept as its word.
pub(super) fn word<T: DeserializeOwned>(row: &Row, column: &str) -> Result<Option<T>> {
    let index = row.as_ref().column_index(column)?;
    row.get::<_, Option<String>>(index)?
        .map(|text| {
            let word: StrDeserializer<WordError> = text.as_str().into_deserializer();
            T::deserialize(word).map_err(|why| bad(index, why))
        })
        .transpose()
}

fn word_set<T: DeserializeOwned>(row: &Row, column: &str) -> Result<T> {
    let index = row.as_ref().column_index(column)?;
    word(row, column)?.ok_or_else(|| bad(index, "nothing is there"))
}

/// The columns that [`outcome`] reads, of a `jobs` named `j`.
pub(super) const OUTCOME: &str =
    "j.outcome, j.cause, j.phase, j.exit_code, j.http_status, j.message";

/// The outcome of a row of `jobs`, if the job is over.
pub(super) fn outcome(row: &Row) -> Result<Option<Outcome>> {
    let index = row.as_ref().column_index("outcome")?;
    let Some(kind) = row.get::<_, Option<String>>(index)? else {
        return Ok(None);
    };
    Ok(Some(match kind.as_str() {
        "passed" => Outcome::Passed,
        "failed" => Outcome::Failed {
            cause: word_set(row, "cause")?,
            phase: word(row, "phase")?,
            exit_code: row.get("exit_code")?,
        },
        "cancelled" => Outcome::Cancelled,
        "lost" => Outcome::Lost {
            cause: word_set(row, "cause")?,
        },
        "rejected" => Outcome::Rejected {
            status: row.get("http_status")?,
            message: row.get("message")?,
        },
        other => return Err(bad(index, format!("`{other}` is no outcome of a job"))),
    }))
}
