//! `racktick cancel`: drops what is not yet submitted, cancels in Testflinger what is.

use std::collections::BTreeMap;

use bus::BusError;
use clap::Args;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use ledger::stored::{self, Read};
use ledger::{Cancelled, Ledger, Unread};
use model::cycle::{CycleRecord, Fate};
use model::id::{CycleId, JobId};
use model::machine::{CancelCause, CancelRequest};
use model::name::{MachineName, RackName};
use model::subject::{Subject, filter, key, stream as streams};
use model::task::{Task, Tick};
use serde::Serialize;

use crate::app::App;
use crate::ask::Consent;
use crate::commands::rack::unknown;
use crate::exit::{Exit, Usage};
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
    open: BTreeMap<CycleId, (CycleRecord, Vec<MachineName>)>,
    /// Ticks that wait for their next attempt, with the subject each waits on.
    waiting: Vec<(String, Tick)>,
    /// What cannot be read, by its key or subject, and why. It may be something to cancel.
    unreadable: BTreeMap<String, String>,
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
    /// What goes on as it did, and why.
    failed: BTreeMap<String, String>,
}

impl Report {
    /// One failure must not leave the rest unasked.
    fn fail(&mut self, what: String, why: String) {
        output::say(format!("{what} is not cancelled: {why}"));
        self.failed.insert(what, why);
    }

    fn exit(&self) -> Exit {
        match self.failed.is_empty() {
            true => Exit::Ok,
            false => Exit::Failed,
        }
    }
}

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<Exit> {
    let ledger = app.ledger(app.bus().await?);
    let targets = targets(arguments, &ledger).await?;
    let open: usize = targets
        .open
        .values()
        .map(|(_, machines)| machines.len())
        .sum();
    let waiting = targets.waiting.len();
    let mut report = Report::default();
    for (what, why) in targets.unreadable {
        report.fail(what, why);
    }
    if open + waiting == 0 {
        if report.failed.is_empty() {
            output::say("nothing to cancel: every machine there has its outcome");
        }
        app.output.print(&report, text)?;
        return Ok(report.exit());
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
    let (ledger, request) = (&ledger, &request);
    let open = targets
        .open
        .values()
        .flat_map(|(cycle, machines)| machines.iter().map(move |machine| (cycle, machine)));
    let mut cancels = stream::iter(open)
        .map(|(cycle, machine)| async move {
            let cancelled = ledger.cancel(cycle, machine, request).await;
            (cycle, machine, cancelled)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((cycle, machine, cancelled)) = cancels.next().await {
        match cancelled {
            Ok(Cancelled::Dropped) => report.dropped += 1,
            Ok(Cancelled::Asked) => report.asked += 1,
            Ok(Cancelled::AlreadyOver) => report.already_over += 1,
            Err(error) => {
                let what = format!("machine {machine} of cycle {}", cycle.cycle);
                report.fail(what, output::chain(&error));
            }
        }
    }
    for (subject, tick) in &targets.waiting {
        match give_up(ledger, subject, tick, request).await {
            Ok(is_given_up) => report.given_up += usize::from(is_given_up),
            Err(error) => report.fail(subject.clone(), format!("{error:#}")),
        }
    }
    app.output.print(&report, text)?;
    Ok(report.exit())
}

fn text(report: &Report) -> String {
    let failed = match report.failed.len() {
        0 => String::new(),
        failed => format!(", {failed} not cancelled"),
    };
    format!(
        "{} never submitted, {} asked of Testflinger, {} over before, {} waiting ticks given up{failed}",
        report.dropped, report.asked, report.already_over, report.given_up
    )
}

async fn targets(arguments: &Arguments, ledger: &Ledger) -> anyhow::Result<Targets> {
    let mut targets = Targets::default();
    let Some(target) = &arguments.target else {
        targets.add_open(ledger, ">").await?;
        targets.add_waiting(ledger, filter::ARMED).await;
        return Ok(targets);
    };
    if let (Ok(cycle), Ok(job)) = (target.parse(), target.parse()) {
        return by_id(ledger, cycle, job).await;
    }
    let rack = RackName::new(target.as_str()).map_err(|_| {
        Usage(format!(
            "`{target}` is neither the id of a job or a cycle nor a rack"
        ))
    })?;
    let has_cycles = targets.add_open(ledger, &key::cycles_of(&rack)).await?;
    targets
        .add_waiting(ledger, &filter::retries_of(&rack))
        .await;
    let is_seen = has_cycles || !targets.waiting.is_empty() || !targets.unreadable.is_empty();
    if !is_seen && ledger.rack(&rack).await?.is_none() {
        return Err(unknown(&rack));
    }
    Ok(targets)
}

/// A cycle, or one job of one.
async fn by_id(ledger: &Ledger, cycle: CycleId, job: JobId) -> anyhow::Result<Targets> {
    let mut targets = Targets::default();
    targets.add_waiting(ledger, filter::ARMED).await;
    targets.waiting.retain(|(_, tick)| {
        tick.resume
            .as_ref()
            .is_some_and(|resume| resume.cycle == cycle)
    });
    let mut is_known = !targets.waiting.is_empty();
    let mut unread = Unread::list(ledger, ">").await?;
    // The cycle itself; else a job in one that is not over; else in one that is, where nothing is left to cancel.
    let places: [fn(&mut Unread, CycleId) -> Vec<String>; 3] = [
        |unread, cycle| unread.take(cycle).into_iter().collect(),
        |unread, _| unread.take_open(),
        |unread, _| unread.take_all(),
    ];
    for take in places {
        let keys = take(&mut unread, cycle);
        stored::some(ledger.cycles(), keys, |key, record| {
            is_known |= targets.add_meant(key, record, cycle, job);
        })
        .await?;
        if is_known {
            break;
        }
    }
    if is_known {
        // What was meant is found, so what cannot be read is something else.
        targets.unreadable.clear();
    } else if targets.unreadable.is_empty() {
        anyhow::bail!("there is no cycle and no job {cycle}");
    }
    Ok(targets)
}

impl Targets {
    /// A cycle with those of its machines that are to be cancelled, in the place of what it was when it was read before.
    fn set(&mut self, cycle: CycleRecord, machines: Vec<MachineName>) {
        if machines.is_empty() {
            self.open.remove(&cycle.cycle);
        } else {
            self.open.insert(cycle.cycle, (cycle, machines));
        }
    }

    /// The cycles that have machines without an outcome. False when there is no cycle at all.
    async fn add_open(&mut self, ledger: &Ledger, filter: &str) -> Result<bool, BusError> {
        let mut unread = Unread::list(ledger, filter).await?;
        let open = unread.take_open();
        let has_cycles = !open.is_empty() || !unread.take_all().is_empty();
        stored::some(ledger.cycles(), open, |key, cycle| self.add(key, cycle)).await?;
        Ok(has_cycles)
    }

    /// What is meant by an id in a cycle. False when nothing in it is meant.
    fn add_meant(
        &mut self,
        key: &str,
        record: Read<CycleRecord>,
        cycle: CycleId,
        job: JobId,
    ) -> bool {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                self.skip(format!("cycle {key}"), &error);
                return false;
            }
        };
        let is_meant = |machine: &MachineName| {
            record.cycle == cycle || JobId::of(record.cycle, machine) == job
        };
        let is_known = match &record.fate {
            Fate::Planned(planned) => planned.deploy.keys().any(is_meant),
            Fate::Missed { .. } | Fate::Failed { .. } => false,
        };
        let is_known = is_known || record.cycle == cycle;
        let open = record.open().filter(|machine| is_meant(machine));
        let machines: Vec<MachineName> = open.cloned().collect();
        self.set(record, machines);
        is_known
    }

    /// A cycle, if any of its machines has no outcome.
    fn add(&mut self, key: &str, cycle: Read<CycleRecord>) {
        let cycle = match cycle {
            Ok(cycle) => cycle,
            Err(error) => return self.skip(format!("cycle {key}"), &error),
        };
        let machines = cycle.open().cloned().collect();
        self.set(cycle, machines);
    }

    /// Ticks that wait for their next attempt.
    async fn add_waiting(&mut self, ledger: &Ledger, pattern: &str) {
        let bus = ledger.bus();
        let subjects = match bus.subjects(streams::RACK, pattern).await {
            Ok(subjects) => subjects,
            Err(error) => return self.skip(pattern.into(), &error),
        };
        for subject in subjects.into_keys() {
            if !matches!(subject.parse(), Ok(Subject::Retry { .. })) {
                continue;
            }
            match bus.last_on(streams::RACK, &subject).await {
                Ok(stored) => {
                    if let Some(tick) = stored.and_then(|stored| Tick::parse(&stored.body).ok()) {
                        self.waiting.push((subject, tick));
                    }
                }
                Err(error) => self.skip(subject, &error),
            }
        }
    }

    fn skip(&mut self, what: String, error: &BusError) {
        self.unreadable.insert(what, output::chain(error));
    }
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
