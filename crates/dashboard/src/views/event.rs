//! What happened, one line each.

use jiff::Timestamp;
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use rusqlite::types::ToSql;
use rusqlite::{Params, Result, Row};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::place::Place;
use super::{AsOf, Cursor, Page, row};
use crate::history::Reading;

/// An event in a line. Its body is in the event stream, as long as that keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// When it happened.
    pub at: Timestamp,
    /// What happened, such as `job.finished`.
    pub kind: String,
    /// The rack.
    pub rack: RackName,
    /// The cycle; `None` for what people do to racks.
    pub cycle: Option<CycleId>,
    /// The machine, for events about one.
    pub machine: Option<MachineName>,
    /// The job, for events about one.
    pub job: Option<JobId>,
    /// What tells it from others of its kind, in a word: the state, the outcome, the reason code, the cause, the
    /// attempt, the dead letter.
    pub word: Option<String>,
    /// Who did it, for what people do to racks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why they did it; empty when they did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Which events are wanted. What is not set is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventFilter {
    /// Of this rack.
    pub rack: Option<RackName>,
    /// About this machine.
    pub machine: Option<MachineName>,
    /// Of this cycle.
    pub cycle: Option<CycleId>,
    /// Of this kind, such as `job.finished`.
    pub kind: Option<String>,
}

/// A page of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Events {
    /// As of when.
    pub as_of: AsOf,
    /// From here on, what is not in the list yet is followed.
    #[schema(value_type = String)]
    pub last_event_id: Place,
    /// The events, the newest first.
    #[serde(flatten)]
    pub page: Page<EventView>,
}

/// The kinds that most events are of. The others have an index, whose condition names these in this order.
const FREQUENT: [&str; 4] = [
    "job.submitted",
    "job.progressed",
    "job.finished",
    "machine.skipped",
];

pub(super) const EVENTS: &str = "SELECT e.number, e.at, e.kind, e.rack, e.cycle, e.machine, a.by, a.why, CASE
        WHEN a.id IS NOT NULL THEN 'dead letter ' || a.letter
        WHEN e.kind = 'machine.skipped' THEN d.reason
        WHEN e.kind = 'job.finished' THEN j.outcome
        WHEN e.kind = 'cycle.failed' THEN c.cause
        WHEN e.kind = 'tick.missed' THEN c.missed
        ELSE nullif(e.word, '') END AS word
    FROM events e
    LEFT JOIN decisions d ON e.kind = 'machine.skipped' AND d.cycle = e.cycle AND d.machine = e.machine
    LEFT JOIN jobs j ON e.kind = 'job.finished' AND j.cycle = e.cycle AND j.machine = e.machine
    LEFT JOIN actions a ON e.cycle = x'' AND a.id = e.word
    LEFT JOIN cycles c ON e.kind IN ('cycle.failed', 'tick.missed') AND c.cycle = e.cycle";

impl Reading<'_> {
    /// The events that a filter lets through, the newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn events(
        &self,
        filter: &EventFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Events> {
        let after = after.unwrap_or(Cursor::NEWEST);
        let cycle = filter.cycle.map(CycleId::to_bytes);
        let (number, limit_and_one) = (after.row(), limit + 1);
        let mut conditions = String::from("(e.at, e.number) < (?1, ?2)");
        let mut values: Vec<&dyn ToSql> = vec![&after.at, &number];
        let rack = filter.rack.as_ref().map(RackName::as_str);
        let machine = filter.machine.as_ref().map(MachineName::as_str);
        let mut only = |condition: &str, value| {
            values.push(value);
            let place = format!("?{}", values.len());
            conditions.push_str(" AND ");
            conditions.push_str(&condition.replace('?', &place));
        };
        if let Some(cycle) = &cycle {
            only("e.cycle = ?", cycle);
        }
        if let Some(machine) = &machine {
            // Every machine that an event of a cycle is about has a decision there.
            only(
                "e.machine = ? AND e.cycle IN (SELECT cycle FROM decisions WHERE machine = ?)",
                machine,
            );
        }
        let rare = filter
            .kind
            .as_deref()
            .is_some_and(|kind| !FREQUENT.contains(&kind));
        if let Some(kind) = &filter.kind {
            only("e.kind = ?", kind);
        }
        if let Some(rack) = &rack {
            // What narrows more than the rack is looked for first: with a `+` its index is not used.
            let narrower = rare || machine.is_some() || cycle.is_some();
            only(
                if narrower {
                    "+e.rack = ?"
                } else {
                    "e.rack = ?"
                },
                rack,
            );
        }
        if rare {
            conditions.push_str(&format!(" AND e.kind NOT IN ('{}')", FREQUENT.join("', '")));
        }
        values.push(&limit_and_one);
        let which = format!(
            "WHERE {conditions} ORDER BY e.at DESC, e.number DESC LIMIT ?{}",
            values.len()
        );
        Ok(Events {
            as_of: self.as_of()?,
            last_event_id: self.last_place()?,
            page: Page::of(self.event_rows(&which, values.as_slice())?, limit),
        })
    }

    /// What happened to a cycle itself, the oldest first.
    pub(super) fn timeline(&self, cycle: CycleId) -> Result<Vec<EventView>> {
        let found = self.event_rows(
            "WHERE e.cycle = ?1 AND e.machine = '' ORDER BY e.at, e.number",
            [cycle.to_bytes()],
        )?;
        Ok(found.into_iter().map(|(_, event)| event).collect())
    }

    fn event_rows(&self, which: &str, values: impl Params) -> Result<Vec<(Cursor, EventView)>> {
        self.connection
            .prepare_cached(&format!("{EVENTS} {which}"))?
            .query_map(values, |row| {
                let place = Cursor::of_row(row.get("at")?, row.get("number")?);
                Ok((place, event(row)?))
            })?
            .collect()
    }
}

pub(super) fn event(row: &Row) -> Result<EventView> {
    let kind: String = row.get("kind")?;
    let cycle = row::cycle_if_any(row, "cycle")?;
    let machine = row::machine(row, "machine")?;
    Ok(EventView {
        at: row::moment_set(row, "at")?,
        rack: row::rack(row, "rack")?,
        job: match (cycle, &machine) {
            (Some(cycle), Some(machine)) if kind.starts_with("job.") => {
                Some(JobId::of(cycle, machine))
            }
            _ => None,
        },
        kind,
        cycle,
        machine,
        word: row.get("word")?,
        by: row.get("by")?,
        why: row.get("why")?,
    })
}
