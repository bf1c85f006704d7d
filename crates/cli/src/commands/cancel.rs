//! `racktick cancel`: drops what is not yet submitted, cancels in Testflinger what is.

use clap::Args;
use jiff::Timestamp;
use ledger::{Cancelled, Ledger};
use model::cycle::{CycleRecord, Fate};
use model::id::{CycleId, JobId};
use model::machine::{CancelCause, CancelRequest};
use model::name::{MachineName, RackName};
use model::subject::{Subject, filter, key, stream};
use model::task::{Task, Tick};
use serde::Serialize;

use crate::app::App;
use crate::ask::Consent;
use crate::exit::Usage;
use crate::foresight::machines;
use crate::{output, person};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A job's id, a cycle's id, or a rack
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    target: Option<String>,
    /// Every job of every rack
    #[arg(long)]
    all: bool,
    /// Why, for the records
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    consent: Consent,
}

/// What is to be cancelled.
#[derive(Default)]
struct Targets {
    /// Machines without an outcome, with their cycle.
    open: Vec<(CycleRecord, MachineName)>,
    /// Ticks that wait for their next attempt.
    waiting: Vec<(String, Tick)>,
}

/// What became of it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Report {
    /// Machines whose job will never be submitted.
    dropped: usize,
    /// Machines whose job Testflinger is asked to cancel.
    asked: usize,
    /// Machines whose fate was decided before.
    already_over: usize,
    /// Cycles that were given up before anything was decided.
    given_up: usize,
}

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<()> {
    let ledger = Ledger::new(app.bus().await?);
    let targets = targets(arguments, &ledger).await?;
    let (open, waiting) = (targets.open.len(), targets.waiting.len());
    if open + waiting == 0 {
        output::say("nothing to cancel: every machine there has its outcome");
        return app.output.print(&Report::default(), text);
    }
    if arguments.consent.asks() {
        output::say(format!(
            "the jobs of {} would be cancelled or never submitted, and {waiting} waiting ticks given up",
            machines(open)
        ));
        arguments.consent.get("Cancel them?")?;
    }
    let request = CancelRequest {
        cause: CancelCause::Asked,
        by: person::name(),
        why: arguments.reason.clone(),
        at: Timestamp::now(),
    };
    let mut report = Report::default();
    for (cycle, machine) in &targets.open {
        match ledger.cancel(cycle, machine, &request).await? {
            Cancelled::Dropped => report.dropped += 1,
            Cancelled::Asked => report.asked += 1,
            Cancelled::AlreadyOver => report.already_over += 1,
        }
    }
    for (subject, tick) in &targets.waiting {
        report.given_up += usize::from(give_up(&ledger, subject, tick, &request).await?);
    }
    app.output.print(&report, text)
}

fn text(report: &Report) -> String {
    format!(
        "{} never submitted, {} asked of Testflinger, {} over before, {} waiting ticks given up",
        report.dropped, report.asked, report.already_over, report.given_up
    )
}

async fn targets(arguments: &Arguments, ledger: &Ledger) -> anyhow::Result<Targets> {
    let Some(target) = &arguments.target else {
        return Ok(Targets {
            open: open(ledger, ">").await?,
            waiting: waiting(ledger, filter::ARMED).await?,
        });
    };
    if let Ok(cycle) = target.parse::<CycleId>() {
        let (mut found, mut matching) = (false, Vec::new());
        for entry in ledger.cycles().entries(">").await?.into_values() {
            let record = entry.value;
            let is_cycle = record.cycle == cycle;
            let Fate::Planned(planned) = &record.fate else {
                found |= is_cycle;
                continue;
            };
            for machine in planned.deploy.keys() {
                if is_cycle || JobId::of(record.cycle, machine).to_string() == *target {
                    found = true;
                    if !record.outcomes.contains_key(machine) {
                        matching.push((record.clone(), machine.clone()));
                    }
                }
            }
            found |= is_cycle;
        }
        let mut waiting = waiting(ledger, filter::ARMED).await?;
        waiting.retain(|(_, tick)| {
            tick.resume
                .as_ref()
                .is_some_and(|resume| resume.cycle == cycle)
        });
        if !found && waiting.is_empty() {
            anyhow::bail!("there is no cycle and no job {target}");
        }
        return Ok(Targets {
            open: matching,
            waiting,
        });
    }
    let rack = RackName::new(target.as_str()).map_err(|_| {
        Usage(format!(
            "`{target}` is neither the id of a job or a cycle nor a rack"
        ))
    })?;
    Ok(Targets {
        open: open(ledger, &key::cycles_of(&rack)).await?,
        waiting: waiting(ledger, &filter::retries_of(&rack)).await?,
    })
}

/// Machines without an outcome, of the cycles with these keys.
async fn open(ledger: &Ledger, keys: &str) -> anyhow::Result<Vec<(CycleRecord, MachineName)>> {
    let mut open = Vec::new();
    for entry in ledger.cycles().entries(keys).await?.into_values() {
        let record = entry.value;
        open.extend(
            record
                .open()
                .map(|machine| (record.clone(), machine.clone())),
        );
    }
    Ok(open)
}

/// Ticks that wait for their next attempt, with the subject each waits on.
async fn waiting(ledger: &Ledger, pattern: &str) -> anyhow::Result<Vec<(String, Tick)>> {
    let bus = ledger.bus();
    let mut waiting = Vec::new();
    for subject in bus.subjects(stream::RACK, pattern).await?.into_keys() {
        if !matches!(subject.parse(), Ok(Subject::Retry { .. })) {
            continue;
        }
        let stored = bus.last_on(stream::RACK, &subject).await?;
        if let Some(tick) = stored.and_then(|stored| Tick::parse(&stored.body).ok()) {
            waiting.push((subject, tick));
        }
    }
    Ok(waiting)
}

/// Ends a cycle that was never decided. False when a worker was faster.
async fn give_up(
    ledger: &Ledger,
    subject: &str,
    tick: &Tick,
    request: &CancelRequest,
) -> anyhow::Result<bool> {
    let Some(resume) = &tick.resume else {
        return Ok(false);
    };
    let why = match request.why.as_str() {
        "" => String::new(),
        why => format!(": {why}"),
    };
    let record = CycleRecord {
        v: CycleRecord::VERSION,
        rack: tick.rack.clone(),
        cycle: resume.cycle,
        origin: resume.origin.clone(),
        ticked_at: resume.ticked_at,
        fate: Fate::Failed {
            cause: "cancelled".into(),
            message: format!("cancelled by {}{why}", request.by),
            attempts: resume.attempt.saturating_sub(1),
            at: request.at,
        },
        outcomes: Default::default(),
        settled_at: None,
        closed: false,
    };
    // The record first: from then on the tick, should it still come out, finds its cycle decided.
    let written = ledger
        .cycles()
        .create(&key::cycle(&tick.rack, resume.cycle), &record)
        .await?;
    ledger.bus().purge(stream::RACK, subject).await?;
    ledger.close(&tick.rack, resume.cycle).await?;
    Ok(matches!(written, bus::Written::Done(_)))
}
