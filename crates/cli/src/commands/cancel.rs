//! `racktick cancel`: drops what is not yet submitted, cancels in Testflinger what is.

use clap::Args;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use ledger::{Cancelled, Ledger};
use model::cycle::{CycleRecord, Fate};
use model::id::{CycleId, JobId};
use model::machine::{CancelCause, CancelRequest};
use model::name::{MachineName, RackName};
use model::subject::{Subject, filter, key, stream as streams};
use model::task::{Task, Tick};
use serde::Serialize;

use crate::app::App;
use crate::ask::Consent;
use crate::exit::Usage;
use crate::foresight::machines;
use crate::{output, person};

/// How many machines are dealt with at a time. Outcomes that arrive together are written together.
const AT_ONCE: usize = 32;

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
    /// Cycles, each with those of its machines that have no outcome.
    open: Vec<(CycleRecord, Vec<MachineName>)>,
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
    let open: usize = targets
        .open
        .iter()
        .map(|(_, machines)| machines.len())
        .sum();
    let waiting = targets.waiting.len();
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
    let open = targets
        .open
        .iter()
        .flat_map(|(cycle, machines)| machines.iter().map(move |machine| (cycle, machine)));
    let mut cancels = stream::iter(open)
        .map(|(cycle, machine)| ledger.cancel(cycle, machine, &request))
        .buffer_unordered(AT_ONCE);
    while let Some(cancelled) = cancels.next().await {
        match cancelled? {
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
    if let (Ok(cycle), Ok(job)) = (target.parse(), target.parse()) {
        return by_id(ledger, cycle, job).await;
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

/// A cycle, or one job of one.
async fn by_id(ledger: &Ledger, cycle: CycleId, job: JobId) -> anyhow::Result<Targets> {
    let mut waiting = waiting(ledger, filter::ARMED).await?;
    waiting.retain(|(_, tick)| {
        tick.resume
            .as_ref()
            .is_some_and(|resume| resume.cycle == cycle)
    });
    let mut is_known = !waiting.is_empty();
    let mut open = Vec::new();
    for entry in ledger.cycles().entries(">").await?.into_values() {
        let record = entry.value;
        let is_meant = |machine: &MachineName| {
            record.cycle == cycle || JobId::of(record.cycle, machine) == job
        };
        is_known |= record.cycle == cycle;
        if let Fate::Planned(planned) = &record.fate {
            is_known |= planned.deploy.keys().any(is_meant);
        }
        let machines: Vec<MachineName> = record
            .open()
            .filter(|machine| is_meant(machine))
            .cloned()
            .collect();
        if !machines.is_empty() {
            open.push((record, machines));
        }
    }
    if !is_known {
        anyhow::bail!("there is no cycle and no job {cycle}");
    }
    Ok(Targets { open, waiting })
}

/// Machines without an outcome, of the cycles with these keys.
async fn open(ledger: &Ledger, keys: &str) -> anyhow::Result<Vec<(CycleRecord, Vec<MachineName>)>> {
    let entries = ledger.cycles().entries(keys).await?;
    let open = entries.into_values().map(|entry| {
        let machines = entry.value.open().cloned().collect();
        (entry.value, machines)
    });
    Ok(open
        .filter(|(_, machines): &(_, Vec<_>)| !machines.is_empty())
        .collect())
}

/// Ticks that wait for their next attempt, with the subject each waits on.
async fn waiting(ledger: &Ledger, pattern: &str) -> anyhow::Result<Vec<(String, Tick)>> {
    let bus = ledger.bus();
    let mut waiting = Vec::new();
    for subject in bus.subjects(streams::RACK, pattern).await?.into_keys() {
        if !matches!(subject.parse(), Ok(Subject::Retry { .. })) {
            continue;
        }
        let stored = bus.last_on(streams::RACK, &subject).await?;
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
    ledger.bus().purge(streams::RACK, subject).await?;
    ledger.close(&tick.rack, resume.cycle).await?;
    Ok(matches!(written, bus::Written::Done(_)))
}
