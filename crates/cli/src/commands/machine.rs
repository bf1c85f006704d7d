//! `racktick machine`: one machine, from the events about it that the broker still has.

use anyhow::Context;
use bus::Start;
use clap::Args;
use dashboard::evidence::Found;
use dashboard::views::{Decision, JobView, MachineView};
use dashboard::words;
use model::evidence::Evidence;
use model::name::MachineName;
use model::subject::filter;
use serde::Serialize;

use super::evidence;
use crate::app::App;
use crate::output;
use crate::told::Told;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The machine, by its short host name
    machine: MachineName,
}

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<()> {
    let machine = arguments.machine.clone();
    let bus = app.bus().await?;
    let about = filter::events_about(&machine);
    let told = Told::read(&bus, &about, Start::All, |_| true).await?;
    let view = told.history.read(|reading| reading.machine(&machine))?;
    let view = view.with_context(|| {
        format!("the broker holds no event about a machine `{machine}`: is this its short host name in MAAS?")
    })?;
    let found = match &view.last_failure {
        Some(failure) => evidence::find(&bus, failure).await,
        None => None,
    };
    let shown = Shown {
        evidence: evidence::content(found.as_ref()),
        view: &view,
    };
    app.output
        .print(&shown, |shown| text(shown.view, found.as_ref()))
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Shown<'v> {
    #[serde(flatten)]
    view: &'v MachineView,
    /// Of the last failure.
    evidence: Option<&'v Evidence>,
}

fn text(view: &MachineView, found: Option<&Found>) -> String {
    let cell = &view.cell;
    let mut facts = vec![
        pair("machine", cell.machine.to_string()),
        pair(
            "racks",
            view.racks
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        ),
        pair(
            "health",
            format!(
                "{} {}: {}",
                words::shape(cell.health),
                cell.health.as_str(),
                words::health_meaning(cell.health)
            ),
        ),
    ];
    if let Some(since) = cell.since {
        facts.push(pair(
            "since",
            format!("{}, {} in a row", output::time(since), cell.streak),
        ));
    }
    let passed = cell
        .passed_at
        .map_or("never, as far back as events reach".into(), output::time);
    facts.push(pair("deployed last", passed));
    facts.push(pair("last decision", decided(view.decisions.items.first())));
    if let Some(job) = &view.current {
        let state = job.job.state.as_deref().unwrap_or("submitted");
        facts.push(pair("job now", format!("{} ({state})", job.job.job)));
    }
    let mut text = output::pairs(facts);
    if let Some(failure) = &view.last_failure {
        text.push_str(&format!("\n\nlast failure: {}\n", job_line(failure)));
        text.push_str(&phases(failure));
        if !view.differences.is_empty() {
            text.push_str("\n\n");
            text.push_str(&differences(view));
        }
        if let Some(found) = found {
            text.push_str("\n\n");
            text.push_str(&evidence::text(found, failure));
        }
    }
    let rows = view.decisions.items.iter().map(|decision| {
        vec![
            output::time(decision.at),
            decision.rack.to_string(),
            decided(Some(decision)),
            became(decision),
        ]
    });
    text.push_str("\n\n");
    text.push_str(&output::table(
        &["decided at", "rack", "decision", "what became of it"],
        rows,
    ));
    text
}

fn pair(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}

fn decided(decision: Option<&Decision>) -> String {
    match decision.map(|decision| &decision.skip) {
        None => "none".into(),
        Some(None) => "deploy".into(),
        Some(Some(skip)) => format!("left alone: {}: {}", skip.reason, words::skip_words(skip)),
    }
}

fn became(decision: &Decision) -> String {
    match &decision.job {
        None => "-".into(),
        Some(job) => match &job.outcome {
            Some(outcome) => words::outcome(outcome),
            None => job.state.clone().unwrap_or_else(|| "submitted".into()),
        },
    }
}

fn job_line(job: &JobView) -> String {
    let outcome = job
        .job
        .outcome
        .as_ref()
        .map(words::outcome)
        .unwrap_or_default();
    let at = job.job.outcome_at.map(output::time).unwrap_or_default();
    format!("job {} {outcome}, {at}", job.job.job)
}

fn differences(view: &MachineView) -> String {
    let rows = view.differences.iter().map(|row| {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        let mark = if row.differs { "differs" } else { "" };
        vec![
            row.what.clone(),
            value(&row.failed),
            value(&row.passed),
            mark.to_owned(),
        ]
    });
    output::table(&["", "failed", "last passed", ""], rows)
}

pub(super) fn phases(job: &JobView) -> String {
    let rows = job.phases.iter().map(|phase| {
        vec![
            phase.phase.to_string(),
            phase.status.map_or("-".into(), |status| status.to_string()),
            phase.lasted.map_or("-".into(), words::span),
        ]
    });
    output::table(&["phase", "exit status", "took about"], rows)
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
