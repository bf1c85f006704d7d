//! `racktick job`: one job, from the events about its machine.

use std::collections::BTreeMap;

use bus::Start;
use clap::Args;
use dashboard::evidence::Found;
use dashboard::views::{JobSummary, JobView};
use dashboard::words;
use jiff::Timestamp;
use ledger::Ledger;
use ledger::stored::{self, Read};
use model::cycle::{CycleRecord, Fate};
use model::event::{Event, Fact};
use model::evidence::Evidence;
use model::id::JobId;
use model::name::MachineName;
use model::outcome::Outcome;
use model::subject::{filter, stream};
use serde::Serialize;
use serde_json::Value;

use super::evidence;
use super::machine::phases;
use crate::app::App;
use crate::output::{self, Toned, ago};
use crate::plain;
use crate::prefix::Prefix;
use crate::told::Told;
use crate::tone::Tone;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The job: its id, or a beginning of it that no other has
    job: Prefix,
}

const ADVICE: &str = "`racktick cycle <id>` shows the machines of a cycle, and `racktick machine <name> --output json` a \
     machine's jobs, as far back as the broker keeps events";

/// A job that may be meant.
struct Candidate {
    job: JobId,
    machine: MachineName,
    since: Timestamp,
    /// What its cycle's record says became of it.
    outcome: Option<Outcome>,
}

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<()> {
    let ledger = Ledger::new(app.bus().await?);
    let found = find(&ledger, &arguments.job).await?;
    let (job, since) = (found.job, Start::Since(found.since));
    let about = filter::events_about(&found.machine);
    let told = Told::read(ledger.bus(), &about, since, |_| true).await?;
    let Some(view) = told.history.read(|reading| reading.job(job))? else {
        anyhow::bail!(
            "job {job} of machine {}: {}",
            found.machine,
            unheard(&found)
        );
    };
    let found = evidence::find(ledger.bus(), &view).await;
    let shown = Shown {
        evidence_kept: evidence::content(found.as_ref()),
        view: &view,
    };
    app.output.print_coloured(&shown, |shown| {
        text(shown.view, found.as_ref(), Timestamp::now())
    })
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Shown<'v> {
    #[serde(flatten)]
    view: &'v JobView,
    /// What the view's `evidence` says is kept.
    evidence_kept: Option<&'v Evidence>,
}

/// Why there are no events of a job.
fn unheard(found: &Candidate) -> String {
    match &found.outcome {
        None => "it is not submitted yet; its cycle says when (`racktick cycle`)".into(),
        Some(Outcome::Skipped(skip)) => format!(
            "it was never submitted, the machine was left alone: {}: {}",
            skip.reason,
            words::skip_words(skip)
        ),
        Some(outcome) => format!(
            "the broker keeps no events of it any more; what its cycle's record says: {}",
            words::outcome(outcome)
        ),
    }
}

/// The job that is meant. Its id follows from its cycle and machine, which the cycles' records have.
async fn find(ledger: &Ledger, prefix: &Prefix) -> anyhow::Result<Candidate> {
    let mut found = BTreeMap::new();
    stored::each(ledger.cycles(), |_, cycle: Read<CycleRecord>| {
        let Ok(CycleRecord {
            fate: Fate::Planned(planned),
            cycle,
            ticked_at,
            outcomes,
            ..
        }) = cycle
        else {
            return;
        };
        for machine in planned.deploy.into_keys() {
            let job = JobId::of(cycle, &machine);
            if prefix.fits(&job) {
                let outcome = outcomes.get(&machine).cloned();
                let candidate = Candidate {
                    job,
                    outcome,
                    machine,
                    since: ticked_at,
                };
                found.insert(job, candidate);
            }
        }
    })
    .await?;
    let mut found: Vec<Candidate> = found.into_values().collect();
    if found.is_empty() {
        found = find_in_events(ledger, prefix).await?;
    }
    let named = found.iter().map(|candidate| {
        let words = format!("of {}", candidate.machine);
        (candidate.job, words)
    });
    let one = prefix.one("job", named.collect(), ADVICE)?;
    let position = found.iter().position(|candidate| candidate.job == one);
    Ok(found.swap_remove(position.expect("it is one of those found")))
}

/// Jobs whose cycle has no record any more, or one that cannot be read.
async fn find_in_events(ledger: &Ledger, prefix: &Prefix) -> anyhow::Result<Vec<Candidate>> {
    let mut found: Vec<Candidate> = Vec::new();
    let bus = ledger.bus();
    let mut reader = bus
        .read(stream::EVENTS, filter::SUBMITTED, Start::All)
        .await?;
    while let Some(stored) = reader.next_stored().await? {
        if let Ok(event) = Event::from_json(&stored.body)
            && let Fact::JobSubmitted { job, .. } = event.fact
            && prefix.fits(&job.job)
            && found.iter().all(|candidate| candidate.job != job.job)
        {
            found.push(Candidate {
                job: job.job,
                machine: job.machine,
                since: stored.time,
                outcome: None,
            });
        }
    }
    Ok(found)
}

fn text(view: &JobView, found: Option<&Found>, now: Timestamp) -> String {
    let looks = view.looks.iter().map(|look| {
        let at = format!("{} ({})", output::time(look.at), ago(look.at, now));
        vec![at, look.state.clone()]
    });
    let mut parts = vec![
        facts(view, now),
        phases(view),
        found.map_or_else(String::new, |found| {
            plain::lines(&evidence::text(found, view)).into_owned()
        }),
        output::table(&["look at", "saw"], looks),
    ];
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn facts(view: &JobView, now: Timestamp) -> String {
    let job = &view.job;
    let mut facts: Vec<Vec<Toned>> = Vec::new();
    let mut fact = |name: &str, value: Toned| facts.push(vec![name.into(), value]);
    let when = |at| format!("{} ({})", output::time(at), ago(at, now));
    fact("job", job.job.to_string().into());
    fact("machine", job.machine.to_string().into());
    fact("rack", job.rack.to_string().into());
    fact("cycle", job.cycle.to_string().into());
    fact("state", state(job));
    if let Some(at) = job.submitted_at {
        fact("submitted", when(at).into());
    }
    match (job.outcome_at, job.deadline) {
        (Some(at), _) => fact("over", when(at).into()),
        (None, Some(at)) => fact("overdue", when(at).into()),
        (None, None) => {}
    }
    if let Some(cancel) = &view.cancel {
        let why = match cancel.why.as_str() {
            "" => String::new(),
            why => format!(": {why}"),
        };
        fact(
            "cancelled by",
            format!("{} at {}{why}", cancel.by, output::time(cancel.at)).into(),
        );
    }
    let device = view.device.as_ref().and_then(Value::as_object);
    for (name, value) in device.into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::String(text) => fact(&name.replace('_', " "), text.into()),
            other => fact(&name.replace('_', " "), other.into()),
        }
    }
    output::pairs(facts)
}

/// A job's outcome, or where it is.
pub(super) fn state(job: &JobSummary) -> Toned {
    let mut text = match &job.outcome {
        Some(outcome) => format!(
            "{} {}",
            words::outcome_shape(outcome),
            words::outcome(outcome)
        ),
        None => format!("▶ {}", job.state.as_deref().unwrap_or("submitted")),
    };
    if job.outcome.is_none() && job.overdue_at.is_some() {
        text.push_str(", overdue");
    }
    if let Some(doubled) = &job.doubled {
        text.push_str(&format!(", seen {} times in Testflinger", doubled.entries));
    }
    let tone = job.outcome.as_ref().map_or(Tone::Plain, Tone::of_outcome);
    Toned::new(tone, text)
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
