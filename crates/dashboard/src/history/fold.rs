//! Events become rows. The same events give the same rows in whatever order and however often they come: an event is
//! written only when it is not known yet, or known with a later time; every column is written by one kind of event
//! alone; and what several events tell together is worked out again from the rows.

use model::event::{Event, Fact, Job};
use model::id::JobId;
use model::name::MachineName;
use model::outcome::{FailCause, LostCause, Outcome};
use rusqlite::{Connection, OptionalExtension, Result, Statement, params};
use serde::Serialize;

use super::standing::{Standing, proof};
use super::time::{nanos, span_nanos, time};

/// The statements of one transaction.
pub(crate) struct Fold<'c> {
    event: Statement<'c>,
    cycle: Statement<'c>,
    decision: Statement<'c>,
    skipped: Statement<'c>,
    member: Statement<'c>,
    machine: Statement<'c>,
    job: Statement<'c>,
    submitted: Statement<'c>,
    state: Statement<'c>,
    outcome_at: Statement<'c>,
    rejected: Statement<'c>,
    finished: Statement<'c>,
    before: Statement<'c>,
    from: Statement<'c>,
    standing: Statement<'c>,
    latest: Statement<'c>,
    connection: &'c Connection,
}

/// The key of a machine's row in a cycle.
struct Key<'a> {
    cycle: &'a [u8; 16],
    machine: &'a str,
}

impl<'c> Fold<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Result<Self> {
        let prepare = |sql| connection.prepare(sql);
        Ok(Self {
            event: prepare(
                "INSERT INTO events (cycle, machine, kind, word, rack, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (cycle, machine, kind, word) DO UPDATE SET at = excluded.at WHERE excluded.at < at",
            )?,
            cycle: prepare(
                "INSERT INTO cycles (cycle, rack, at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (cycle) DO UPDATE SET at = excluded.at WHERE excluded.at < at",
            )?,
            decision: prepare(
                "INSERT INTO decisions (cycle, machine, rack, at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (cycle, machine) DO UPDATE SET at = excluded.at WHERE excluded.at < at",
            )?,
            skipped: prepare(
                "UPDATE decisions SET reason = ?3, detail = ?4 WHERE cycle = ?1 AND machine = ?2",
            )?,
            member: prepare(
                "INSERT INTO members (rack, machine, cycle, at)
                 SELECT rack, machine, cycle, at FROM decisions WHERE machine = ?2 AND rack = ?1
                 ORDER BY at DESC, cycle DESC LIMIT 1
                 ON CONFLICT (rack, machine) DO UPDATE SET cycle = excluded.cycle, at = excluded.at
                 WHERE (excluded.cycle, excluded.at) <> (cycle, at)",
            )?,
            machine: prepare("INSERT INTO machines (machine) VALUES (?1) ON CONFLICT DO NOTHING")?,
            job: prepare(
                "INSERT INTO jobs (cycle, machine, job, rack) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            )?,
            submitted: prepare(
                "UPDATE jobs SET submitted_at = ?3, deadline = ?4 WHERE cycle = ?1 AND machine = ?2",
            )?,
            state: prepare(
                "UPDATE jobs SET (state, state_at) = (
                     SELECT word, at FROM events
                     WHERE cycle = ?1 AND machine = ?2 AND kind = 'job.progressed'
                     ORDER BY at DESC, word DESC LIMIT 1)
                 WHERE cycle = ?1 AND machine = ?2",
            )?,
            outcome_at: prepare("SELECT outcome_at FROM jobs WHERE cycle = ?1 AND machine = ?2")?,
            rejected: prepare(
                "UPDATE jobs SET outcome = 'rejected', outcome_at = ?3, http_status = ?4, message = ?5
                 WHERE cycle = ?1 AND machine = ?2 AND (outcome IS NULL OR outcome = 'rejected')",
            )?,
            finished: prepare(
                "UPDATE jobs SET outcome = ?3, outcome_at = ?4, cause = ?5, phase = ?6, exit_code = ?7,
                     claimed_at = ?8, statuses = ?9, cancel = ?10, device = ?11, http_status = NULL, message = NULL
                 WHERE cycle = ?1 AND machine = ?2",
            )?,
            before: prepare(
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
            latest: prepare(
                "UPDATE machines SET (outcome, outcome_at, job, deploys, proved_at, streak, since, passed_at) = (
                     SELECT outcome, outcome_at, job, deploys, proved_at, streak, since, passed_at FROM jobs
                     WHERE machine = ?1 AND outcome_at IS NOT NULL
                     ORDER BY outcome_at DESC, cycle DESC LIMIT 1)
                 WHERE machine = ?1",
            )?,
            connection,
        })
    }

    /// Writes what an event says. False when it was known already, or is none that racktick publishes: a job's id
    /// follows from its cycle and its machine.
    pub(crate) fn apply(&mut self, event: &Event) -> Result<bool> {
        let about = job(&event.fact);
        if about.is_some_and(|about| about.job != JobId::of(event.cycle, &about.machine)) {
            return Ok(false);
        }
        let cycle = &event.cycle.to_bytes();
        let machine = event.fact.machine().map_or("", MachineName::as_str);
        let (rack, at) = (event.rack.as_str(), nanos(event.time));
        let (subject, what) = event.fact.words();
        let kind = format!("{subject}.{what}");
        let word = word(event);
        if self
            .event
            .execute(params![cycle, machine, kind, word, rack, at])?
            == 0
        {
            return Ok(false);
        }
        self.cycle.execute(params![cycle, rack, at])?;
        let key = Key { cycle, machine };
        if !machine.is_empty() {
            self.machine.execute([machine])?;
            if self.decision.execute(params![cycle, machine, rack, at])? > 0 {
                self.member.execute(params![rack, machine])?;
            }
        }
        if let Some(about) = about {
            self.job
                .execute(params![cycle, machine, about.job.to_bytes(), rack])?;
        }
        self.details(event, &key, at)?;
        Ok(true)
    }

    fn details(&mut self, event: &Event, key: &Key, at: i64) -> Result<()> {
        let Key { cycle, machine } = *key;
        match &event.fact {
            Fact::CycleStarted { origin } => self.set_cycle(
                "origin = ?2, started_at = ?3",
                params![cycle, json(origin), at],
            ),
            Fact::CyclePlanned {
                deploy,
                skip,
                deploy_by,
                spread,
            } => self.set_cycle(
                "planned_at = ?2, deploy = ?3, skip = ?4, deploy_by = ?5, spread = ?6",
                params![
                    cycle,
                    at,
                    deploy,
                    json(skip),
                    nanos(*deploy_by),
                    span_nanos(*spread)
                ],
            ),
            Fact::CycleRetrying {
                attempt,
                cause,
                message,
                next_at,
            } => {
                self.connection.execute(
                    "INSERT OR REPLACE INTO retries (cycle, attempt, at, cause, message, next_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![cycle, attempt, at, cause, message, nanos(*next_at)],
                )?;
                Ok(())
            }
            Fact::CycleFailed {
                attempts,
                cause,
                message,
            } => self.set_cycle(
                "failed_at = ?2, attempts = ?3, cause = ?4, message = ?5",
                params![cycle, at, attempts, cause, message],
            ),
            Fact::CycleFinished { counts, duration } => self.set_cycle(
                "finished_at = ?2, counts = ?3, duration = ?4",
                params![cycle, at, json(counts), span_nanos(*duration)],
            ),
            Fact::TickMissed { origin, cause } => self.set_cycle(
                "origin = ?2, missed_at = ?3, missed = ?4",
                params![cycle, json(origin), at, cause.as_str()],
            ),
            Fact::MachineSkipped { skip, .. } => {
                self.skipped
                    .execute(params![cycle, machine, skip.reason.as_str(), skip.detail])?;
                Ok(())
            }
            Fact::JobSubmitted { deadline, .. } => {
                self.submitted
                    .execute(params![cycle, machine, at, nanos(*deadline)])?;
                Ok(())
            }
            Fact::JobProgressed { .. } => {
                self.state.execute(params![cycle, machine])?;
                Ok(())
            }
            Fact::JobOverdue { .. } => self.set_job("overdue_at = ?3", params![cycle, machine, at]),
            Fact::JobDoubled { entries, .. } => self.set_job(
                "doubled_at = ?3, entries = ?4",
                params![cycle, machine, at, entries],
            ),
            Fact::JobRejected {
                status, message, ..
            } => {
                let before = self.outcome_at(key)?;
                self.rejected
                    .execute(params![cycle, machine, at, status, message])?;
                self.stand(key, before)
            }
            Fact::JobFinished {
                verdict,
                statuses,
                submitted_at,
                cancel,
                device,
                ..
            } => {
                let before = self.outcome_at(key)?;
                let (cause, phase, exit_code) = match verdict {
                    Outcome::Failed {
                        cause,
                        phase,
                        exit_code,
                    } => (
                        Some(fail_cause(*cause)),
                        phase.map(|phase| phase.as_str()),
                        *exit_code,
                    ),
                    Outcome::Lost { cause } => (Some(lost_cause(*cause)), None, None),
                    _ => (None, None, None),
                };
                self.finished.execute(params![
                    cycle,
                    machine,
                    verdict.word(),
                    at,
                    cause,
                    phase,
                    exit_code,
                    submitted_at.map(nanos),
                    json(statuses),
                    cancel.as_ref().map(json),
                    device.as_ref().map(json),
                ])?;
                self.stand(key, before)
            }
        }
    }

    fn set_cycle(&self, columns: &str, values: impl rusqlite::Params) -> Result<()> {
        self.connection.execute(
            &format!("UPDATE cycles SET {columns} WHERE cycle = ?1"),
            values,
        )?;
        Ok(())
    }

    fn set_job(&self, columns: &str, values: impl rusqlite::Params) -> Result<()> {
        self.connection.execute(
            &format!("UPDATE jobs SET {columns} WHERE cycle = ?1 AND machine = ?2"),
            values,
        )?;
        Ok(())
    }

    fn outcome_at(&mut self, key: &Key) -> Result<Option<i64>> {
        self.outcome_at
            .query_row(params![key.cycle, key.machine], |row| row.get(0))
    }

    /// Works the machine's standing out again, from the outcome that came, or moved here from another time, to the
    /// newest: mostly that is the one that came.
    fn stand(&mut self, key: &Key, before: Option<i64>) -> Result<()> {
        let Some(now) = self.outcome_at(key)? else {
            return Ok(());
        };
        let from = before.map_or(now, |before| before.min(now));
        let machine = key.machine;
        let mut standing = self
            .before
            .query_row(params![machine, from, key.cycle], |row| standing_at(row, 0))
            .optional()?
            .unwrap_or_default();
        let later = self
            .from
            .query_map(params![machine, from, key.cycle], |row| {
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
        self.latest.execute([machine])?;
        Ok(())
    }
}

/// A standing from five columns in the order of [`Standing`]'s fields, from the one with this number on.
pub(crate) fn standing_at(row: &rusqlite::Row, first: usize) -> Result<Standing> {
    let moment = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(time));
    Ok(Standing {
        deploys: row.get(first)?,
        proved_at: moment(first + 1)?,
        streak: row.get::<_, Option<u32>>(first + 2)?.unwrap_or(0),
        since: moment(first + 3)?,
        passed_at: moment(first + 4)?,
    })
}

fn job(fact: &Fact) -> Option<&Job> {
    match fact {
        Fact::JobSubmitted { job, .. }
        | Fact::JobRejected { job, .. }
        | Fact::JobProgressed { job, .. }
        | Fact::JobOverdue { job, .. }
        | Fact::JobDoubled { job, .. }
        | Fact::JobFinished { job, .. } => Some(job),
        _ => None,
    }
}

/// What tells this event from others of its kind about the same thing: the last part of its id.
fn word(event: &Event) -> String {
    match &event.fact {
        Fact::CycleRetrying { attempt, .. } => attempt.to_string(),
        Fact::JobProgressed { job, .. } => {
            let id = event.id();
            let start = job.job.to_string().len() + ".progressed.".len();
            id[start..].to_owned()
        }
        _ => String::new(),
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("events hold only text, numbers, lists and maps by text")
}

fn fail_cause(cause: FailCause) -> &'static str {
    match cause {
        FailCause::Phase => "phase",
        FailCause::Killed => "killed",
        FailCause::RecoveryFailed => "recovery_failed",
        FailCause::NotProvisioned => "not_provisioned",
    }
}

fn lost_cause(cause: LostCause) -> &'static str {
    match cause {
        LostCause::Deadline => "deadline",
        LostCause::Gone => "gone",
    }
}
