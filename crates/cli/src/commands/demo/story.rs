//! Events as lines that a person reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::Reader;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lab::Stats;
use ledger::Ledger;
use model::cycle::{Fate, Origin};
use model::event::{Event, Fact};
use model::id::CycleId;
use model::name::RackName;
use model::outcome::{Counts, FailCause, LostCause, Outcome, Skip};

use crate::config::Shown;
use crate::exit::Exit;
use crate::foresight::{counted, machines};
use crate::tone::Tone;
use crate::{output, plain};

/// What was told so far.
pub(super) struct Story {
    racks: Vec<RackName>,
    cycles: Option<u32>,
    told: BTreeSet<String>,
    finished: BTreeMap<RackName, Vec<(CycleId, Counts)>>,
}

impl Story {
    pub(super) fn new(racks: Vec<RackName>, cycles: Option<u32>) -> Self {
        Self {
            racks,
            cycles,
            told: BTreeSet::new(),
            finished: BTreeMap::new(),
        }
    }

    /// Tells what happens, until there is nothing more to wait for.
    pub(super) async fn tell(&mut self, mut reader: Reader, ledger: &Ledger) -> anyhow::Result<()> {
        while !self.is_over() {
            let stored = reader.next().await?;
            let Ok(event) = Event::from_json(&stored.body) else {
                continue;
            };
            // A fact may be published again; it has the same id then.
            if self.told.insert(event.id()) {
                self.line(&event, ledger).await?;
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.cycles.is_some_and(|wanted| {
            let finished = |rack| self.finished.get(rack).map_or(0, Vec::len);
            self.racks
                .iter()
                .all(|rack| finished(rack) >= wanted as usize)
        })
    }

    async fn line(&mut self, event: &Event, ledger: &Ledger) -> anyhow::Result<()> {
        let (tone, text) = match &event.fact {
            Fact::CycleStarted { origin } => (
                Tone::Plain,
                format!("cycle {} begins: {}", event.cycle, cause(origin)),
            ),
            Fact::CyclePlanned {
                deploy,
                skip,
                spread,
                ..
            } => {
                let skips = counted(skip.iter().map(|(reason, count)| (reason.as_str(), *count)));
                let skips = if skips.is_empty() {
                    String::new()
                } else {
                    format!("; left alone: {skips}")
                };
                (
                    Tone::Plain,
                    format!(
                        "decided: deploy {} over {}{skips}",
                        machines(*deploy),
                        whole_seconds(*spread)
                    ),
                )
            }
            Fact::CycleRetrying {
                message, next_at, ..
            } => (
                Tone::Bad,
                format!("{message}; tried again at {}", clock(*next_at)),
            ),
            Fact::CycleFailed { message, .. } => (Tone::Bad, format!("cycle failed: {message}")),
            Fact::CycleFinished { counts, duration } => {
                let words = counted(
                    counts
                        .outcomes
                        .iter()
                        .map(|(word, count)| (word.as_str(), *count)),
                );
                let line = format!(
                    "cycle {} finished after {}: {words}",
                    event.cycle,
                    whole_seconds(*duration)
                );
                self.finished
                    .entry(event.rack.clone())
                    .or_default()
                    .push((event.cycle, counts.clone()));
                (Tone::Good, line)
            }
            Fact::MachineSkipped { machine, skip } => {
                (Tone::Quiet, format!("{machine} left alone: {}", why(skip)))
            }
            Fact::JobSubmitted { job, .. } => (
                Tone::Plain,
                format!("{} job {} submitted", job.machine, job.job),
            ),
            Fact::JobRejected {
                job,
                status,
                message,
            } => (
                Tone::Bad,
                format!("{} job refused with {status}: {message}", job.machine),
            ),
            Fact::JobProgressed { job, state } => (Tone::Quiet, format!("{} {state}", job.machine)),
            Fact::JobOverdue { job, .. } => (
                Tone::Bad,
                format!("{} overdue, its job is being cancelled", job.machine),
            ),
            Fact::JobDoubled { job, entries } => (
                Tone::Bad,
                format!("{} Testflinger has its job {entries} times", job.machine),
            ),
            Fact::JobFinished { job, verdict, .. } => {
                let tone = if *verdict == Outcome::Passed {
                    Tone::Good
                } else {
                    Tone::Bad
                };
                (tone, format!("{} {}", job.machine, verdict_words(verdict)))
            }
            Fact::TickMissed { cause, .. } => {
                (Tone::Bad, format!("a slot was missed: {}", cause.as_str()))
            }
        };
        self.print(event, tone, &text)?;
        if let Fact::CyclePlanned { .. } = event.fact {
            self.decisions(event, ledger).await?;
        }
        Ok(())
    }

    /// The machines to deploy, by name: the event has only their number.
    async fn decisions(&self, event: &Event, ledger: &Ledger) -> anyhow::Result<()> {
        let record = ledger.cycle(&event.rack, event.cycle).await?;
        if let Some(Fate::Planned(planned)) = record.map(|record| record.fate) {
            let names: Vec<&str> = planned
                .deploy
                .keys()
                .map(|machine| machine.as_str())
                .collect();
            if !names.is_empty() {
                self.print(
                    event,
                    Tone::Quiet,
                    &format!("to deploy: {}", names.join(", ")),
                )?;
            }
        }
        Ok(())
    }

    fn print(&self, event: &Event, tone: Tone, text: &str) -> anyhow::Result<()> {
        let line = format!("{} {:<4} {text}", clock(event.time), event.rack);
        output::coloured_line(&tone.paint(&plain::line(&line)))
    }

    /// What it came to, and whether it is what was promised.
    pub(super) fn summary(&self, stats: &Stats) -> anyhow::Result<Exit> {
        let rows = self.finished.iter().flat_map(|(rack, cycles)| {
            cycles.iter().map(move |(cycle, counts)| {
                let outcomes = counted(
                    counts
                        .outcomes
                        .iter()
                        .map(|(word, count)| (word.as_str(), *count)),
                );
                let reasons = counted(
                    counts
                        .reasons
                        .iter()
                        .map(|(reason, count)| (reason.as_str(), *count)),
                );
                vec![rack.to_string(), cycle.to_string(), outcomes, reasons]
            })
        });
        let table = output::table(&["rack", "cycle", "outcomes", "left alone because"], rows);
        output::line(&format!("\n{table}\n"))?;
        let twice = stats.jobs_with_same_id + stats.machines_with_two_jobs_in_one_cycle;
        output::line(&format!(
            "the lab counted {} jobs; machines with two jobs in one cycle: {}; jobs sent twice: {}",
            stats.jobs_submitted,
            stats.machines_with_two_jobs_in_one_cycle,
            stats.jobs_with_same_id
        ))?;
        Ok(if twice == 0 { Exit::Ok } else { Exit::Failed })
    }
}

fn clock(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system())
        .strftime("%H:%M:%S")
        .to_string()
}

fn whole_seconds(time: Duration) -> Shown {
    Shown(Duration::from_secs(time.as_secs()))
}

fn cause(origin: &Origin) -> String {
    match origin {
        Origin::Slot { slot } => format!("slot of {}", clock(*slot)),
        Origin::Manual {
            reason: Some(reason),
            ..
        } => reason.clone(),
        Origin::Manual { by: Some(by), .. } => format!("ticked by {by}"),
        Origin::Manual { .. } => "ticked by hand".into(),
    }
}

fn why(skip: &Skip) -> String {
    match &skip.detail {
        Some(detail) => format!("{} ({detail})", skip.reason),
        None => skip.reason.to_string(),
    }
}

fn verdict_words(verdict: &Outcome) -> String {
    match verdict {
        Outcome::Failed {
            cause,
            phase,
            exit_code,
        } => {
            let what = match cause {
                FailCause::Phase => "failed",
                FailCause::Killed => "failed, killed",
                FailCause::RecoveryFailed => "failed, and cannot be recovered",
                FailCause::NotProvisioned => "failed, it was not provisioned",
            };
            match (phase, exit_code) {
                (Some(phase), Some(code)) => format!("{what} in {phase} with {code}"),
                _ => what.into(),
            }
        }
        Outcome::Lost {
            cause: LostCause::Deadline,
        } => "lost: past its deadline".into(),
        Outcome::Lost {
            cause: LostCause::Gone,
        } => "lost: Testflinger no longer knows the job".into(),
        other => other.word().into(),
    }
}
