//! `racktick cycle`: one cycle, from its events.

use bus::Start;
use clap::Args;
use dashboard::views::{CycleState, CycleView, Decision, EventView};
use dashboard::words;
use jiff::Timestamp;
use ledger::Ledger;
use model::event::Event;
use model::id::CycleId;
use model::name::RackName;
use model::subject::{filter, key, stream};

use super::status::{cycle_words, outcomes};
use crate::app::App;
use crate::output::{self, Toned, ago};
use crate::prefix::Prefix;
use crate::told::Told;
use crate::tone::Tone;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The cycle: its id, or a beginning of it that no other has
    cycle: Prefix,
}

const ADVICE: &str = "`racktick status <rack>` shows the cycles of a rack, and `racktick events` those before, as far \
     back as the broker keeps them";

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<()> {
    let ledger = Ledger::new(app.bus().await?);
    let (cycle, rack, since) = find(&ledger, &arguments.cycle).await?;
    let events = filter::events_of(&rack);
    let told = Told::read(ledger.bus(), &events, since, |event| event.cycle == cycle).await?;
    let Some(view) = told.history.read(|reading| reading.cycle(cycle))? else {
        let words = match ledger.cycle(&rack, cycle).await? {
            Some(record) => cycle_words(&record),
            None => "nothing".into(),
        };
        anyhow::bail!(
            "the broker keeps no events of cycle {cycle} of rack {rack} any more; what its record says: {words}"
        );
    };
    app.output
        .print_coloured(&view, |view| text(view, Timestamp::now()))
}

/// The cycle that is meant, its rack, and since when there may be events about it.
async fn find(ledger: &Ledger, prefix: &Prefix) -> anyhow::Result<(CycleId, RackName, Start)> {
    let keys = ledger.cycles().keys().await?;
    let mut found: Vec<(CycleId, RackName, Start)> = keys
        .iter()
        .filter_map(|key| key::parse_cycle(key))
        .filter(|(_, cycle)| prefix.fits(cycle))
        .map(|(rack, cycle)| (cycle, rack, Start::All))
        .collect();
    if found.is_empty() {
        // One that has not decided yet, or whose record is gone before its events.
        let bus = ledger.bus();
        let mut reader = bus
            .read(stream::EVENTS, filter::BEGINNINGS, Start::All)
            .await?;
        while let Some(stored) = reader.next_stored().await? {
            if let Ok(event) = Event::from_json(&stored.body)
                && prefix.fits(&event.cycle)
                && found.iter().all(|(cycle, ..)| *cycle != event.cycle)
            {
                found.push((event.cycle, event.rack, Start::Since(stored.time)));
            }
        }
    }
    let named = found
        .iter()
        .map(|(cycle, rack, _)| (*cycle, format!("of rack {rack}")));
    let one = prefix.one("cycle", named.collect(), ADVICE)?;
    let (_, rack, mut since) = found
        .into_iter()
        .find(|(cycle, ..)| *cycle == one)
        .expect("it is one of those found");
    // Its events follow the message that ticked.
    if since == Start::All
        && let Ok(Some(record)) = ledger.cycle(&rack, one).await
    {
        since = Start::Since(record.ticked_at);
    }
    Ok((one, rack, since))
}

fn text(view: &CycleView, now: Timestamp) -> String {
    let machines = view.decisions.iter().map(|decision| {
        vec![
            decision.machine.to_string().into(),
            decided(decision),
            became(decision),
        ]
    });
    let mut parts = vec![
        facts(view, now),
        output::table(&["machine", "decision", "what became of it"], machines),
    ];
    if view.unsubmitted > 0 {
        let unsubmitted = words::count(view.unsubmitted, "machine");
        parts.push(format!(
            "{unsubmitted} to deploy not listed yet: no job of theirs is submitted"
        ));
    }
    let retries = view.retries.iter().map(|retry| {
        vec![
            output::time(retry.at),
            format!("attempt {} failed", retry.attempt),
            format!("{}: {}", retry.cause, retry.message),
        ]
    });
    let happened = view
        .timeline
        .iter()
        .filter(|event| event.kind != "cycle.retrying");
    let mut rows: Vec<Vec<String>> = happened.map(happening).chain(retries).collect();
    rows.sort();
    parts.push(output::table(&["at", "what happened", ""], rows));
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn happening(event: &EventView) -> Vec<String> {
    let word = event.word.clone().unwrap_or_default();
    vec![output::time(event.at), event.kind.clone(), word]
}

fn facts(view: &CycleView, now: Timestamp) -> String {
    let cycle = &view.cycle;
    let mut facts: Vec<Vec<Toned>> = Vec::new();
    let mut fact = |name: &str, value: Toned| facts.push(vec![name.into(), value]);
    fact("cycle", cycle.cycle.to_string().into());
    fact("rack", cycle.rack.to_string().into());
    let when = |at| format!("{} ({})", output::time(at), ago(at, now));
    fact("begun", when(cycle.at).into());
    fact("started by", words::origin(cycle.origin.as_ref()).into());
    fact("state", state(view));
    if let Some(waits) = words::waits_for(view) {
        fact("waits for", waits.into());
    }
    if let Some(at) = cycle.planned_at {
        fact("decided", when(at).into());
    }
    if let Some(at) = cycle.deploy_by {
        fact("submits until", when(at).into());
    }
    fact("machines", outcomes(&cycle.counts).into());
    let reasons = cycle.counts.reasons.iter();
    let reasons: Vec<String> = reasons
        .map(|(reason, count)| format!("{count} {reason}: {}", reason.meaning()))
        .collect();
    if !reasons.is_empty() {
        fact("left alone", reasons.join("\n").into());
    }
    output::pairs(facts)
}

fn state(view: &CycleView) -> Toned {
    let word = words::cycle_word(&view.cycle.state);
    match &view.cycle.state {
        CycleState::Planning => word.into(),
        CycleState::Running => {
            let all = view.cycle.deploy.unwrap_or(0);
            let over = all.saturating_sub(view.cycle.open);
            format!("{word}, {over} of {all} jobs are over").into()
        }
        CycleState::Finished { duration, .. } => {
            format!("{word} in {}", words::span(*duration)).into()
        }
        CycleState::Failed {
            attempts,
            cause,
            message,
            ..
        } => Toned::new(
            Tone::Bad,
            format!("{word} after {attempts} attempts: {cause}: {message}"),
        ),
        CycleState::Missed { cause, .. } => {
            Toned::new(Tone::Warn, format!("{word}: {}", words::missed(*cause)))
        }
    }
}

fn decided(decision: &Decision) -> Toned {
    match &decision.skip {
        None => "deploy".into(),
        Some(skip) => Toned::new(
            Tone::Quiet,
            format!("– left alone: {}: {}", skip.reason, words::skip_words(skip)),
        ),
    }
}

fn became(decision: &Decision) -> Toned {
    match &decision.job {
        Some(job) => super::job::state(job),
        None if decision.skip.is_some() => "".into(),
        None => "no job yet".into(),
    }
}

#[cfg(test)]
#[path = "cycle_tests.rs"]
mod tests;
