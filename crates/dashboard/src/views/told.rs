//! Events as they were told, made from what the file keeps of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::event::{Event, Fact, Job};
use model::id::{CycleId, JobId};
use model::image::Image;
use model::name::MachineName;
use model::outcome::Skip;
use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};

use super::row::{self, OUTCOME};
use crate::history::Reading;
use crate::history::time::{span, time};

impl Reading<'_> {
    /// How many events the file knows.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn count_events(&self) -> Result<u64> {
        self.connection
            .query_row("SELECT count(*) FROM events", [], |row| row.get(0))
    }

    /// Gives the body of every event that the file knows, in the order in which it learnt of them. Folded again they give
    /// the same rows. What no row keeps is not told: the message of a refusal after which the job ran all the same.
    ///
    /// # Errors
    /// When the file cannot be read, or with what `each` says.
    pub fn each_event<E: From<Error>>(
        &self,
        mut each: impl FnMut(&[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut statement = self.connection.prepare(&format!(
            "SELECT {OUTCOME}, e.cycle AS in_cycle, e.machine AS about, e.kind, e.word, e.rack AS of_rack, e.at AS told_at,
                 c.origin, c.deploy, c.skip, c.deploy_by, c.spread, c.attempts, c.cause AS cycle_cause,
                 c.message AS cycle_message, c.counts, c.duration, c.missed,
                 r.cause AS retry_cause, r.message AS retry_message, r.next_at, d.reason, d.detail,
                 j.deadline, j.entries, j.claimed_at, j.statuses, j.cancel, j.device, j.distro, j.kernel, j.evidence, a.body
             FROM events e
             LEFT JOIN cycles c ON e.machine = '' AND c.cycle = e.cycle
             LEFT JOIN retries r ON e.kind = 'cycle.retrying' AND r.cycle = e.cycle AND r.attempt = CAST(e.word AS INTEGER)
             LEFT JOIN decisions d ON e.kind = 'machine.skipped' AND d.cycle = e.cycle AND d.machine = e.machine
             LEFT JOIN jobs j ON e.kind LIKE 'job.%' AND j.cycle = e.cycle AND j.machine = e.machine
             LEFT JOIN actions a ON e.cycle = x'' AND a.id = e.word
             ORDER BY e.number"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let body = match row.get("body")? {
                Some(body) => body,
                None => told(row)?.to_json(),
            };
            each(&body)?;
        }
        Ok(())
    }
}

fn told(row: &Row) -> Result<Event> {
    let cycle = row::cycle(row, "in_cycle")?;
    let at = row::moment_set(row, "told_at")?;
    Ok(Event {
        time: at,
        rack: row::rack(row, "of_rack")?,
        cycle,
        fact: fact(row, cycle, at)?,
    })
}

fn fact(row: &Row, cycle: CycleId, at: Timestamp) -> Result<Fact> {
    let kind: String = row.get("kind")?;
    let machine = || row::machine_set(row, "about");
    let job = || -> Result<Job> {
        let machine: MachineName = machine()?;
        let job = JobId::of(cycle, &machine);
        Ok(Job { machine, job })
    };
    Ok(match kind.as_str() {
        "cycle.started" => Fact::CycleStarted {
            origin: set(row::json(row, "origin")?, "origin")?,
        },
        "cycle.planned" => Fact::CyclePlanned {
            deploy: row.get("deploy")?,
            skip: row::json(row, "skip")?.unwrap_or_default(),
            deploy_by: row::moment_set(row, "deploy_by")?,
            spread: span(row.get("spread")?),
        },
        "cycle.retrying" => Fact::CycleRetrying {
            attempt: row.get::<_, String>("word")?.parse().unwrap_or_default(),
            cause: row.get("retry_cause")?,
            message: row.get("retry_message")?,
            next_at: time(row.get("next_at")?),
        },
        "cycle.failed" => Fact::CycleFailed {
            attempts: row.get("attempts")?,
            cause: row.get("cycle_cause")?,
            message: row.get("cycle_message")?,
        },
        "cycle.finished" => Fact::CycleFinished {
            counts: row::json(row, "counts")?.unwrap_or_default(),
            duration: span(row.get("duration")?),
        },
        "tick.missed" => Fact::TickMissed {
            origin: set(row::json(row, "origin")?, "origin")?,
            cause: set(row::word(row, "missed")?, "missed")?,
        },
        "machine.skipped" => Fact::MachineSkipped {
            machine: machine()?,
            skip: Skip {
                detail: row.get("detail")?,
                ..Skip::new(set(row::word(row, "reason")?, "reason")?)
            },
        },
        "job.submitted" => Fact::JobSubmitted {
            job: job()?,
            deadline: row::moment_set(row, "deadline")?,
            image: Image {
                distro: row.get("distro")?,
                kernel: row.get("kernel")?,
            },
        },
        "job.rejected" => Fact::JobRejected {
            job: job()?,
            status: row.get::<_, Option<u16>>("http_status")?.unwrap_or(0),
            message: row.get::<_, Option<String>>("message")?.unwrap_or_default(),
        },
        "job.progressed" => Fact::JobProgressed {
            job: job()?,
            state: row.get("word")?,
        },
        "job.overdue" => Fact::JobOverdue {
            job: job()?,
            deadline: row::moment(row, "deadline")?.unwrap_or(at),
        },
        "job.doubled" => Fact::JobDoubled {
            job: job()?,
            entries: row.get("entries")?,
        },
        "job.finished" => Fact::JobFinished {
            job: job()?,
            verdict: set(row::outcome(row, "outcome")?, "outcome")?,
            statuses: row::json(row, "statuses")?.unwrap_or_else(BTreeMap::new),
            submitted_at: row::moment(row, "claimed_at")?,
            cancel: row::json(row, "cancel")?,
            device: row::json(row, "device")?,
            evidence: row::json(row, "evidence")?,
        },
        other => return Err(lacking(&format!("nobody knows how `{other}` was told"))),
    })
}

fn set<T>(value: Option<T>, column: &str) -> Result<T> {
    value.ok_or_else(|| lacking(&format!("`{column}` of an event is not there")))
}

fn lacking(why: &str) -> Error {
    Error::FromSqlConversionFailure(0, Type::Text, why.into())
}
