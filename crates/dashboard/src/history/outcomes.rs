//! What became of jobs: their outcomes, and what these say of a machine one after the other.

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, params};

use super::standing::{Standing, proof};
use super::time::{nanos, time};

/// The outcome of a job that Testflinger refused.
pub(super) const REJECTED: &str = "rejected";

/// What is written of a job that is over, as its columns hold it.
#[derive(Default)]
pub(super) struct Over<'a> {
    pub(super) cycle: [u8; 16],
    pub(super) machine: &'a str,
    pub(super) job: [u8; 16],
    pub(super) rack: &'a str,
    pub(super) at: i64,
    pub(super) outcome: &'static str,
    pub(super) cause: Option<&'static str>,
    pub(super) phase: Option<&'static str>,
    pub(super) exit_code: Option<i64>,
    pub(super) http_status: Option<u16>,
    pub(super) message: Option<&'a str>,
    pub(super) claimed_at: Option<i64>,
    pub(super) statuses: Option<String>,
    pub(super) cancel: Option<String>,
    pub(super) device: Option<String>,
    pub(super) evidence: Option<String>,
}

/// The statements of one transaction.
pub(super) struct Outcomes<'c> {
    newest: Statement<'c>,
    over: Statement<'c>,
    latest: Statement<'c>,
    previous: Statement<'c>,
    from: Statement<'c>,
    standing: Statement<'c>,
    latest_again: Statement<'c>,
}

impl<'c> Outcomes<'c> {
    pub(super) fn new(connection: &'c Connection) -> Result<Self> {
        let prepare = |sql| connection.prepare(sql);
        Ok(Self {
            newest: prepare(
                "SELECT deploys, proved_at, streak, since, passed_at FROM machines
                 WHERE machine = ?1 AND (outcome_at IS NULL OR (outcome_at, cycle) < (?2, ?3))",
            )?,
            over: prepare(
                "INSERT INTO jobs (cycle, machine, job, rack, outcome, outcome_at, cause, phase, exit_code, http_status,
                     message, claimed_at, statuses, cancel, device, deploys, proved_at, streak, since, passed_at,
                     evidence)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
                     ?21)
                 ON CONFLICT (cycle, machine) DO UPDATE SET
                     outcome = excluded.outcome, outcome_at = excluded.outcome_at, cause = excluded.cause,
                     phase = excluded.phase, exit_code = excluded.exit_code, http_status = excluded.http_status,
                     message = excluded.message, claimed_at = excluded.claimed_at, statuses = excluded.statuses,
                     cancel = excluded.cancel, device = excluded.device, deploys = excluded.deploys,
                     proved_at = excluded.proved_at, streak = excluded.streak, since = excluded.since,
                     passed_at = excluded.passed_at, evidence = excluded.evidence",
            )?,
            latest: prepare(
                "UPDATE machines SET cycle = ?2, outcome = ?3, outcome_at = ?4, cause = ?5, phase = ?6, exit_code = ?7,
                     http_status = ?8, message = ?9, deploys = ?10, proved_at = ?11, streak = ?12, since = ?13,
                     passed_at = ?14
                 WHERE machine = ?1",
            )?,
            previous: prepare(
                "SELECT deploys, proved_at, streak, since, passed_at FROM jobs
                 WHERE machine = ?1 AND outcome_at IS NOT NULL AND (outcome_at, cycle) < (?2, ?3)
                 ORDER BY outcome_at DESC, cycle DESC LIMIT 1",
            )?,
            from: prepare(
                "SELECT cycle, outcome, outcome_at FROM jobs
                 WHERE machine = ?1 AND outcome_at IS NOT NULL AND (outcome_at, cycle) >= (?2, ?3)
                 ORDER BY outcome_at, cycle",
            )?,
            standing: prepare(
                "UPDATE jobs SET deploys = ?3, proved_at = ?4, streak = ?5, since = ?6, passed_at = ?7
                 WHERE cycle = ?1 AND machine = ?2",
            )?,
            latest_again: prepare(
                "UPDATE machines SET (cycle, outcome, outcome_at, cause, phase, exit_code, http_status, message,
                     deploys, proved_at, streak, since, passed_at) = (
                     SELECT cycle, outcome, outcome_at, cause, phase, exit_code, http_status, message,
                         deploys, proved_at, streak, since, passed_at FROM jobs
                     WHERE machine = ?1 AND outcome_at IS NOT NULL
                     ORDER BY outcome_at DESC, cycle DESC LIMIT 1)
                 WHERE machine = ?1",
            )?,
        })
    }

    /// The job is over; `before` is when and how it was over already. What Testflinger said of it counts more than that
    /// it had refused it.
    pub(super) fn write(&mut self, over: &Over, before: Option<(i64, &str)>) -> Result<()> {
        let Over {
            cycle,
            machine,
            rack,
            at,
            ..
        } = *over;
        if before.is_some_and(|(_, before)| over.outcome == REJECTED && before != REJECTED) {
            return Ok(());
        }
        // Mostly it is the machine's newest, and goes on from the newest before it.
        let goes_on_from = match before {
            Some(_) => None,
            None => self
                .newest
                .query_row(params![machine, at, cycle], |row| standing_at(row, 0))
                .optional()?,
        };
        let standing = goes_on_from.map(|standing| standing.after(proof(over.outcome), time(at)));
        let columns = standing.unwrap_or_default();
        let (deploys, streak) = (columns.deploys, standing.map(|standing| standing.streak));
        let (proved_at, since) = (columns.proved_at.map(nanos), columns.since.map(nanos));
        let passed_at = columns.passed_at.map(nanos);
        self.over.execute(params![
            cycle,
            machine,
            over.job,
            rack,
            over.outcome,
            at,
            over.cause,
            over.phase,
            over.exit_code,
            over.http_status,
            over.message,
            over.claimed_at,
            over.statuses,
            over.cancel,
            over.device,
            deploys,
            proved_at,
            streak,
            since,
            passed_at,
            over.evidence,
        ])?;
        if standing.is_none() {
            let from = before.map_or(at, |(before, _)| before.min(at));
            return self.stand(&cycle, machine, from);
        }
        self.latest.execute(params![
            machine,
            cycle,
            over.outcome,
            at,
            over.cause,
            over.phase,
            over.exit_code,
            over.http_status,
            over.message,
            deploys,
            proved_at,
            streak,
            since,
            passed_at,
        ])?;
        Ok(())
    }

    /// Works the machine's standing out again, from the first outcome that may be another one to the newest.
    fn stand(&mut self, cycle: &[u8; 16], machine: &str, from: i64) -> Result<()> {
        let mut standing = self
            .previous
            .query_row(params![machine, from, cycle], |row| standing_at(row, 0))
            .optional()?
            .unwrap_or_default();
        let later = self
            .from
            .query_map(params![machine, from, cycle], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<Vec<([u8; 16], String, i64)>>>()?;
        for (cycle, outcome, at) in later {
            standing = standing.after(proof(&outcome), time(at));
            self.standing.execute(params![
                cycle,
                machine,
                standing.deploys,
                standing.proved_at.map(nanos),
                standing.streak,
                standing.since.map(nanos),
                standing.passed_at.map(nanos),
            ])?;
        }
        self.latest_again.execute([machine])?;
        Ok(())
    }
}

/// A standing from five columns in the order of [`Standing`]'s fields, from the one with this number on.
pub(crate) fn standing_at(row: &Row, first: usize) -> Result<Standing> {
    let moment = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(time));
    Ok(Standing {
        deploys: row.get(first)?,
        proved_at: moment(first + 1)?,
        streak: row.get::<_, Option<u32>>(first + 2)?.unwrap_or(0),
        since: moment(first + 3)?,
        passed_at: moment(first + 4)?,
    })
}
