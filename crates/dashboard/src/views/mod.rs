//! What pages, the API and the terminal show, as plain values. Each answer is one moment of the history file and says
//! as of when.

mod action;
mod cell;
mod cycle;
mod difference;
mod event;
mod fleet;
mod job;
mod machine;
mod page;
mod phase;
mod place;
mod rack;
mod row;
mod told;
mod trends;
mod verdict;

use jiff::Timestamp;
use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use action::ActionView;
pub(crate) use cell::worst_first;
pub use cell::{Cell, CurrentJob, LastDecision};
pub use cycle::{CycleState, CycleSummary, CycleView, Decision, Retry};
pub use difference::{Difference, differences};
pub use event::{EventFilter, EventView, Events};
pub(crate) use fleet::totals;
pub use fleet::{Fleet, RackCard, Totals};
pub use job::{Doubled, JobSummary, JobView, Look, Verdict};
pub use machine::MachineView;
pub use page::{BadCursor, Cursor, List, Page};
pub use phase::PhaseView;
pub use place::{BadPlace, Place};
pub(crate) use rack::ACTIONS;
pub(crate) use rack::{CYCLES, STRIP};
pub use rack::{RackMachine, RackView};
pub use trends::{Day, Flaky, PhaseLength, Trends};
pub use verdict::{BadWhen, JobOver, OverFilter, When};

use crate::history::Reading;
use crate::history::time::time;

/// As of when an answer is true.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AsOf {
    /// When the history was written last: at the latest then it knew all that the event stream held. `None`: never.
    pub at: Option<Timestamp>,
    /// The time of the newest event in it.
    pub newest_event: Option<Timestamp>,
    /// The number of the last message of the stream that was followed.
    pub sequence: u64,
    /// How many messages were no event that this racktick knows.
    pub ignored: u64,
}

impl Reading<'_> {
    /// As of when everything in this reading is true.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn as_of(&self) -> rusqlite::Result<AsOf> {
        let read = self.connection.query_row(
            "SELECT at, newest, sequence, ignored FROM position",
            [],
            |row| {
                Ok(AsOf {
                    at: Some(time(row.get(0)?)),
                    newest_event: row.get::<_, Option<i64>>(1)?.map(time),
                    sequence: row.get(2)?,
                    ignored: row.get(3)?,
                })
            },
        );
        Ok(read.optional()?.unwrap_or_default())
    }
}
