//! What people did to a rack.

use jiff::Timestamp;
use model::name::RackName;
use rusqlite::{Result, params};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::row;
use crate::history::Reading;

/// Something that somebody did to a rack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActionView {
    /// When.
    pub at: Timestamp,
    /// What: `added`, `changed`, `paused`, `resumed`, `removed`, `replayed` or `dropped`.
    pub what: String,
    /// Who.
    pub by: String,
    /// Why; empty when they did not say.
    pub why: String,
    /// The number of the dead letter, for `replayed` and `dropped`.
    pub letter: Option<u64>,
}

impl Reading<'_> {
    /// What people did to a rack, the newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn actions(&self, rack: &RackName, limit: usize) -> Result<Vec<ActionView>> {
        self.connection
            .prepare_cached(
                "SELECT at, what, by, why, letter FROM actions WHERE rack = ?1 ORDER BY at DESC, id DESC LIMIT ?2",
            )?
            .query_map(params![rack.as_str(), limit], |row| {
                Ok(ActionView {
                    at: row::moment_set(row, "at")?,
                    what: row.get("what")?,
                    by: row.get("by")?,
                    why: row.get("why")?,
                    letter: row.get("letter")?,
                })
            })?
            .collect()
    }
}
