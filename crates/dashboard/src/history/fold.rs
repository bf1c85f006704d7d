//! Events become rows. The same events give the same rows in whatever order and however often they come: an event is
//! written only when it is not known yet, or known with a later time; every column is written by one kind of event
//! alone; and what several events tell together goes on from the rows when an event is the newest, and is worked out
//! again from them when it is not.

use std::collections::HashMap;

use model::event::{Event, Fact, Job};
use model::id::JobId;
use model::name::MachineName;
use model::outcome::{FailCause, LostCause, Outcome};
use rusqlite::{Connection, OptionalExtension, Result, Statement, params};
use serde::Serialize;

use super::standing::{Standing, proof};
use super::tally::Tally;
use super::time::{nanos, span_nanos, time};

/// The outcome of a job that Testflinger refused.
const REJECTED: &str = "rejected";

/// The statements of one transaction, and what it knows already.
pub(crate) struct Fold<'c> {
    event: Statement<'c>,
    earlier: Statement<'c>,
    cycle: Statement<'c>,
    decision: Statement<'c>,
    skipped: Statement<'c>,
    member: Statement<'c>,
    machine: Statement<'c>,
    submitted: Statement<'c>,
    progressed: Statement<'c>,
    state: Statement<'c>,
    before: Statement<'c>,
    newest: Statement<'c>,
    over: Statement<'c>,
    latest: Statement<'c>,
    previous: Statement<'c>,
    from: Statement<'c>,
    standing: Statement<'c>,
    latest_again: Statement<'c>,
    connection: &'c Connection,
    /// No event before this time needs to be looked for in these cycles.
    cycles: HashMap<[u8; 16], i64>,
    tally: Tally,
}

/// The key of a machine's row in a cycle.
struct Key<'a> {
    cycle: &'a [u8; 16],
    machine: &'a str,
}

/// What is written of a job that is over, as its columns hold it.
#[derive(Default)]
struct Over<'a> {
    outcome: &'static str,
    cause: Option<&'static str>,
    phase: Option<&'static str>,
    exit_code: Option<i64>,
    http_status: Option<u16>,
    message: Option<&'a str>,
    claimed_at: Option<i64>,
    statuses: Option<String>,
    cancel: Option<String>,
    device: Option<String>,
}

impl<'c> Fold<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Result<Self> {
        let prepare = |sql| connection.prepare(sql);
        Ok(Self {
            event: prepare(
                "INSERT INTO events (cycle, machine, kind, word, rack, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO NOTHING",
            )?,
            earlier: prepare(
                "UPDATE events SET at = ?5
                 WHERE cycle = ?1 AND machine = ?2 AND kind = ?3 AND word = ?4 AND at > ?5",
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
                "INSERT INTO decisions (cycle, machine, rack, at, reason, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (cycle, machine) DO UPDATE SET
                     at = min(at, excluded.at), reason = excluded.reason, detail = excluded.detail",
            )?,
            member: prepare(
                "INSERT INTO members (rack, machine, cycle, at, reason, detail)
                 SELECT rack, machine, cycle, at, reason, detail FROM decisions WHERE machine = ?2 AND rack = ?1
                 ORDER BY at DESC, cycle DESC LIMIT 1
                 ON CONFLICT (rack, machine) DO UPDATE SET
                     cycle = excluded.cycle, at = excluded.at, reason = excluded.reason, detail = excluded.detail",
            )?,
            machine: prepare("INSERT INTO machines (machine) VALUES (?1) ON CONFLICT DO NOTHING")?,
            submitted: prepare(
                "INSERT INTO jobs (cycle, machine, job, rack, submitted_at, deadline) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (cycle, machine) DO UPDATE SET
                     submitted_at = excluded.submitted_at, deadline = excluded.deadline",
            )?,
            progressed: prepare(
                "INSERT INTO jobs (cycle, machine, job, rack, state, state_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (cycle, machine) DO UPDATE SET state = excluded.state, state_at = excluded.state_at
                 WHERE state_at IS NULL OR (excluded.state_at, excluded.state) > (state_at, state)",
            )?,
            state: prepare(
                "UPDATE jobs SET (state, state_at) = (
                     SELECT word, at FROM events
                     WHERE cycle = ?1 AND machine = ?2 AND kind = 'job.progressed'
                     ORDER BY at DESC, word DESC LIMIT 1)
                 WHERE cycle = ?1 AND machine = ?2",
            )?,
            before: prepare(
                "SELECT outcome_at, outcome FROM jobs WHERE cycle = ?1 AND machine = ?2",
            )?,
            newest: prepare(
                "SELECT deploys, proved_at, streak, since, passed_at FROM machines
                 WHERE machine = ?1 AND (outcome_at IS NULL OR (outcome_at, cycle) < (?2, ?3))",
            )?,
            over: prepare(
                "INSERT INTO jobs (cycle, machine, job, rack, outcome, outcome_at, cause, phase, exit_code, http_status,
                     message, claimed_at, statuses, cancel, device, deploys, proved_at, streak, since, passed_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
                 ON CONFLICT (cycle, machine) DO UPDATE SET
                     outcome = excluded.outcome, outcome_at = excluded.outcome_at, cause = excluded.cause,
                     phase = excluded.phase, exit_code = excluded.exit_code, http_status = excluded.http_status,
                     message = excluded.message, claimed_at = excluded.claimed_at, statuses = excluded.statuses,
                     cancel = excluded.cancel, device = excluded.device, deploys = excluded.deploys,
                     proved_at = excluded.proved_at, streak = excluded.streak, since = excluded.since,
                     passed_at = excluded.passed_at",
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
            connection,
            cycles: HashMap::new(),
            tally: Tally::default(),
        })
    }

    /// Writes what is added up over all events.
    pub(crate) fn finish(self) -> Result<()> {
        self.tally.write(self.connection)
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
        let known = self
            .event
            .execute(params![cycle, machine, kind, word, rack, at])?
            == 0;
        if known
            && self
                .earlier
                .execute(params![cycle, machine, kind, word, at])?
                == 0
        {
            return Ok(false);
        }
        if self.cycles.get(cycle).is_none_or(|begun| at < *begun) {
            self.cycle.execute(params![cycle, rack, at])?;
            self.cycles.insert(*cycle, at);
        }
        let key = Key { cycle, machine };
        match about {
            Some(about) => {
                if self.decision.execute(params![cycle, machine, rack, at])? > 0 {
                    self.has(rack, machine)?;
                }
                self.job(event, &key, about, at, &word, known)?;
            }
            None => self.details(event, &key, at)?,
        }
        Ok(true)
    }

    /// The rack has this machine, and its latest decision may be another one.
    fn has(&mut self, rack: &str, machine: &str) -> Result<()> {
        self.machine.execute([machine])?;
        self.member.execute([rack, machine])?;
        Ok(())
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
                let rack = event.rack.as_str();
                self.skipped.execute(params![
                    cycle,
                    machine,
                    rack,
                    at,
                    skip.reason.as_str(),
                    skip.detail
                ])?;
                self.has(rack, machine)
            }
            // These are about a job.
            Fact::JobSubmitted { .. }
            | Fact::JobRejected { .. }
            | Fact::JobProgressed { .. }
            | Fact::JobOverdue { .. }
            | Fact::JobDoubled { .. }
            | Fact::JobFinished { .. } => Ok(()),
        }
    }

    fn job(
        &mut self,
        event: &Event,
        key: &Key,
        about: &Job,
        at: i64,
        word: &str,
        known: bool,
    ) -> Result<()> {
        let Key { cycle, machine } = *key;
        let (id, rack) = (about.job.to_bytes(), event.rack.as_str());
        match &event.fact {
            Fact::JobSubmitted { deadline, .. } => {
                self.submitted
                    .execute(params![cycle, machine, id, rack, at, nanos(*deadline)])?;
                Ok(())
            }
            // The one that is the latest may not be that any more.
            Fact::JobProgressed { .. } if known => {
                self.state.execute(params![cycle, machine])?;
                Ok(())
            }
            Fact::JobProgressed { .. } => {
                self.progressed
                    .execute(params![cycle, machine, id, rack, word, at])?;
                Ok(())
            }
            Fact::JobOverdue { .. } => {
                self.set_job("overdue_at", "?5", params![cycle, machine, id, rack, at])
            }
            Fact::JobDoubled { entries, .. } => self.set_job(
                "doubled_at, entries",
                "?5, ?6",
                params![cycle, machine, id, rack, at, entries],
            ),
            Fact::JobRejected {
                status, message, ..
            } => {
                let over = Over {
                    outcome: REJECTED,
                    http_status: Some(*status),
                    message: Some(message),
                    ..Over::default()
                };
                self.over(key, id, rack, at, &over)
            }
            Fact::JobFinished {
                verdict,
                statuses,
                submitted_at,
                cancel,
                device,
                ..
            } => {
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
                let over = Over {
                    outcome: verdict.word(),
                    cause,
                    phase,
                    exit_code,
                    claimed_at: submitted_at.map(nanos),
                    statuses: Some(json(statuses)),
                    cancel: cancel.as_ref().map(json),
                    device: device.as_ref().map(json),
                    ..Over::default()
                };
                self.over(key, id, rack, at, &over)
            }
            _ => Ok(()),
        }
    }

    fn set_cycle(&self, columns: &str, values: impl rusqlite::Params) -> Result<()> {
        self.connection.execute(
            &format!("UPDATE cycles SET {columns} WHERE cycle = ?1"),
            values,
        )?;
        Ok(())
    }

    fn set_job(&self, columns: &str, places: &str, values: impl rusqlite::Params) -> Result<()> {
        self.connection.execute(
            &format!(
                "INSERT INTO jobs (cycle, machine, job, rack, {columns}) VALUES (?1, ?2, ?3, ?4, {places})
                 ON CONFLICT (cycle, machine) DO UPDATE SET ({columns}) = ({places})"
            ),
            values,
        )?;
        Ok(())
    }

    /// The job is over. What Testflinger said of it counts more than that it had refused it.
    fn over(&mut self, key: &Key, id: [u8; 16], rack: &str, at: i64, over: &Over) -> Result<()> {
        let Key { cycle, machine } = *key;
        let before: Option<(i64, String)> = self
            .before
            .query_row(params![cycle, machine], |row| {
                Ok(row.get::<_, Option<_>>(0)?.zip(row.get(1)?))
            })
            .optional()?
            .flatten();
        if let Some((before_at, before)) = &before {
            if over.outcome == REJECTED && before != REJECTED {
                return Ok(());
            }
            self.tally.add(*cycle, rack, *before_at, before, -1);
        }
        self.tally.add(*cycle, rack, at, over.outcome, 1);
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
            id,
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
        ])?;
        if standing.is_none() {
            let from = before.map_or(at, |(before, _)| before.min(at));
            return self.stand(key, from);
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
    fn stand(&mut self, key: &Key, from: i64) -> Result<()> {
        let machine = key.machine;
        let mut standing = self
            .previous
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
        self.latest_again.execute([machine])?;
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
