//! Events become rows. The same events give the same rows in whatever order and however often they come: an event is
//! written only when it is not known yet, or known with a later time; every column is written by one kind of event
//! alone; and what several events tell together goes on from the rows when an event is the newest, and is worked out
//! again from them when it is not.

use std::collections::HashMap;

use model::action::RackEvent;
use model::event::{Event, Fact, Job};
use model::id::JobId;
use model::name::MachineName;
use model::outcome::{FailCause, LostCause, Outcome};
use rusqlite::{Connection, Result, Statement, params};
use serde::Serialize;

use super::outcomes::{Outcomes, Over, REJECTED};
use super::tally::Tally;
use super::time::{nanos, span_nanos};

/// The cycle of events that belong to none.
pub(crate) const NO_CYCLE: &[u8] = &[];

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
    action: Statement<'c>,
    connection: &'c Connection,
    /// No event before this time needs to be looked for in these cycles.
    cycles: HashMap<[u8; 16], i64>,
    outcomes: Outcomes<'c>,
    tally: Tally<'c>,
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
                "INSERT INTO jobs (cycle, machine, job, rack, submitted_at, deadline, distro, kernel)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (cycle, machine) DO UPDATE SET
                     submitted_at = excluded.submitted_at, deadline = excluded.deadline,
                     distro = excluded.distro, kernel = excluded.kernel",
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
            action: prepare(
                "INSERT INTO actions (id, rack, what, at, by, why, letter, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (id) DO UPDATE SET at = excluded.at, by = excluded.by, why = excluded.why, body = excluded.body
                 WHERE (excluded.at, excluded.by, excluded.why) < (at, by, why)",
            )?,
            connection,
            cycles: HashMap::new(),
            outcomes: Outcomes::new(connection)?,
            tally: Tally::new(connection)?,
        })
    }

    /// Writes what is added up over all events.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.tally.write()
    }

    /// Writes what an event says. False when it was known already, or is none that racktick publishes.
    pub(crate) fn apply(&mut self, event: &Event) -> Result<bool> {
        if !is_ours(event) {
            return Ok(false);
        }
        let about = job(&event.fact);
        let cycle = &event.cycle.to_bytes();
        let machine = event.fact.machine().map_or("", MachineName::as_str);
        let (rack, at) = (event.rack.as_str(), nanos(event.time));
        let (subject, what) = event.fact.words();
        let kind = format!("{subject}.{what}");
        let word = word(event);
        let before = match counts(&event.fact) {
            true => self.tally.of(cycle, machine)?,
            false => None,
        };
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
                let was_over = before.as_ref().map(|over| (over.at, over.outcome.as_str()));
                self.job(event, &key, about, &word, known, was_over)?;
                if before.is_some() || ends(&event.fact) {
                    let now = self.tally.of(cycle, machine)?;
                    self.tally.change(before, now);
                }
            }
            None => self.details(event, &key, at)?,
        }
        Ok(true)
    }

    /// Writes what an event about a rack says. False when it was known already.
    pub(crate) fn apply_action(&mut self, event: &RackEvent) -> Result<bool> {
        let (rack, action) = (event.rack.as_str(), &event.action);
        let (id, what, at) = (event.id(), action.deed.word(), nanos(action.at));
        let kind = format!("rack.{what}");
        let letter = action.deed.letter().map(|letter| number(letter.number));
        let body = event.to_json();
        let written = self.action.execute(params![
            id, rack, what, at, action.by, action.why, letter, body
        ])?;
        let known = self
            .event
            .execute(params![NO_CYCLE, "", kind, id, rack, at])?
            == 0;
        if known {
            self.earlier.execute(params![NO_CYCLE, "", kind, id, at])?;
        }
        Ok(written > 0)
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
                    number(*deploy),
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
        word: &str,
        known: bool,
        was_over: Option<(i64, &str)>,
    ) -> Result<()> {
        let Key { cycle, machine } = *key;
        let at = nanos(event.time);
        let (id, rack) = (about.job.to_bytes(), event.rack.as_str());
        let about_job = Over {
            cycle: *cycle,
            machine,
            job: id,
            rack,
            at,
            ..Over::default()
        };
        match &event.fact {
            Fact::JobSubmitted {
                deadline, image, ..
            } => {
                let deadline = nanos(*deadline);
                let (distro, kernel) = (&image.distro, &image.kernel);
                self.submitted.execute(params![
                    cycle, machine, id, rack, at, deadline, distro, kernel
                ])?;
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
                params![cycle, machine, id, rack, at, number(*entries)],
            ),
            Fact::JobRejected {
                status, message, ..
            } => {
                let over = Over {
                    outcome: REJECTED,
                    http_status: Some(*status),
                    message: Some(message),
                    ..about_job
                };
                self.outcomes.write(&over, was_over)
            }
            Fact::JobFinished {
                verdict,
                statuses,
                submitted_at,
                cancel,
                device,
                evidence,
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
                    evidence: evidence.as_ref().map(json),
                    ..about_job
                };
                self.outcomes.write(&over, was_over)
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
}

/// Whether racktick may have published this: a job's id follows from its cycle and its machine.
pub(crate) fn is_ours(event: &Event) -> bool {
    job(&event.fact).is_none_or(|about| about.job == JobId::of(event.cycle, &about.machine))
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

/// Whether it ends a job.
fn ends(fact: &Fact) -> bool {
    matches!(fact, Fact::JobRejected { .. } | Fact::JobFinished { .. })
}

/// Whether a job that is over may count for something else after it.
fn counts(fact: &Fact) -> bool {
    ends(fact) || matches!(fact, Fact::JobSubmitted { .. } | Fact::JobProgressed { .. })
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

/// A number for the file. One beyond its range becomes the greatest there is: an event that could not be written would
/// be met again at every start.
fn number(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
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
