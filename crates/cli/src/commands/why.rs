//! `racktick why`: what the last cycles decided about a machine, by which rule, on what, and how old that was.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use bus::Start;
use clap::Args;
use dashboard::history::standing::Health;
use dashboard::views::{Decision, MachineView};
use dashboard::words;
use jiff::Timestamp;
use ledger::stored;
use ledger::{Ledger, Unread};
use model::cycle::{CycleRecord, Fate};
use model::event::Fact;
use model::id::CycleId;
use model::name::{MachineName, RackName};
use model::outcome::{Skip, SkipReason};
use model::subject::{filter, key};
use serde::Serialize;

use super::job::state;
use crate::app::App;
use crate::output::{self, Toned, ago, length};
use crate::told::Told;
use crate::tone::Tone;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The machine, by its short host name
    machine: MachineName,
    /// How many decisions, the newest first
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..=30))]
    last: u16,
}

#[derive(Serialize)]
struct Why {
    machine: MachineName,
    /// `None`: no event told of it yet.
    health: Option<Health>,
    /// The last decisions about it, the newest first.
    decisions: Vec<Decided>,
}

/// A decision with what it was made on.
#[derive(Serialize)]
struct Decided {
    #[serde(flatten)]
    decision: Decision,
    /// When the job is due to be submitted, while it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Timestamp>,
    /// The rule that objected; `None`: none did.
    rule: Option<Rule>,
}

#[derive(Serialize)]
struct Rule {
    code: SkipReason,
    meaning: &'static str,
    /// The how manieth it is in the order in which the rules are asked.
    order: usize,
    /// What it saw.
    saw: Option<String>,
    /// Whose word that is.
    source: &'static str,
    /// When the agent had last renewed its word, for the rules about it.
    heard_at: Option<Timestamp>,
    /// How old that was when it was decided, in seconds. What MAAS and Testflinger list is read for every decision.
    age_seconds: Option<i64>,
}

impl Rule {
    fn of(skip: &Skip, at: Timestamp) -> Self {
        let order = SkipReason::ALL.iter().position(|code| *code == skip.reason);
        let age = |heard: Timestamp| at.duration_since(heard).as_secs().max(0);
        Self {
            code: skip.reason,
            meaning: skip.reason.meaning(),
            order: order.map_or(0, |order| order + 1),
            saw: skip.detail.clone(),
            source: words::source(skip.reason),
            heard_at: skip.heard_at,
            age_seconds: skip.heard_at.map(age),
        }
    }
}

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<()> {
    let ledger = Ledger::new(app.bus().await?);
    let why = read(&ledger, &arguments.machine, arguments.last.into()).await?;
    app.output
        .print_coloured(&why, |why| text(why, Timestamp::now()))
}

async fn read(ledger: &Ledger, machine: &MachineName, last: usize) -> anyhow::Result<Why> {
    // The history does not keep when agents were heard of.
    let mut heard: BTreeMap<CycleId, Skip> = BTreeMap::new();
    let about = filter::events_about(machine);
    let told = Told::read(ledger.bus(), &about, Start::All, |event| {
        if let Fact::MachineSkipped { skip, .. } = &event.fact {
            heard.insert(event.cycle, skip.clone());
        }
        true
    })
    .await?;
    let view = told.history.read(|reading| reading.machine(machine))?;
    let known = view.as_ref().map(|view| view.racks.as_slice());
    let waiting = waiting(ledger, machine, known.unwrap_or_default()).await?;
    Why::of(machine, view, waiting, &heard, last).with_context(|| {
        format!(
            "no cycle has decided about a machine `{machine}`, as far back as the broker keeps them: is this its short \
             host name in MAAS, and does it carry a rack's tag?"
        )
    })
}

impl Why {
    /// What events tell of a machine and what waits without their having told of it; `None` when there is neither.
    fn of(
        machine: &MachineName,
        view: Option<MachineView>,
        waiting: Vec<Decided>,
        heard: &BTreeMap<CycleId, Skip>,
        last: usize,
    ) -> Option<Self> {
        let health = view.as_ref().map(|view| view.cell.health);
        let mut decisions = view.map_or_else(Vec::new, decided);
        let told: BTreeSet<CycleId> = decisions.iter().map(|one| one.decision.cycle).collect();
        decisions.extend(
            waiting
                .into_iter()
                .filter(|one| !told.contains(&one.decision.cycle)),
        );
        if decisions.is_empty() {
            return None;
        }
        decisions.sort_by_key(|one| std::cmp::Reverse((one.decision.at, one.decision.cycle)));
        decisions.truncate(last);
        for one in &mut decisions {
            if let (Some(rule), Some(skip)) = (&mut one.rule, heard.get(&one.decision.cycle)) {
                *rule = Rule::of(skip, one.decision.at);
            }
        }
        Some(Self {
            machine: machine.clone(),
            health,
            decisions,
        })
    }
}

fn decided(view: MachineView) -> Vec<Decided> {
    let decisions = view.decisions.items.into_iter();
    decisions
        .map(|decision| Decided {
            rule: decision
                .skip
                .as_ref()
                .map(|skip| Rule::of(skip, decision.at)),
            due_at: None,
            decision,
        })
        .collect()
}

/// The decisions that no event told of yet: to deploy a machine whose submit is not due. Asked of these racks, and of
/// all when none is known. A cycle that is over has none.
async fn waiting(
    ledger: &Ledger,
    machine: &MachineName,
    racks: &[RackName],
) -> anyhow::Result<Vec<Decided>> {
    let filters: Vec<String> = match racks {
        [] => vec![">".into()],
        racks => racks.iter().map(key::cycles_of).collect(),
    };
    let mut waiting = Vec::new();
    for filter in filters {
        let open = Unread::list(ledger, &filter).await?.take_open();
        stored::some(ledger.cycles(), open, |_, cycle| {
            waiting.extend(cycle.ok().and_then(|cycle| waits(cycle, machine)));
        })
        .await?;
    }
    Ok(waiting)
}

/// What a cycle decided about a machine that has no outcome yet.
fn waits(cycle: CycleRecord, machine: &MachineName) -> Option<Decided> {
    let Fate::Planned(planned) = &cycle.fate else {
        return None;
    };
    let due_at = *planned.deploy.get(machine)?;
    (!cycle.outcomes.contains_key(machine)).then(|| Decided {
        decision: Decision {
            cycle: cycle.cycle,
            at: planned.at,
            rack: cycle.rack,
            machine: machine.clone(),
            skip: None,
            job: None,
        },
        due_at: Some(due_at),
        rule: None,
    })
}

fn text(why: &Why, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if let Some(health) = why.health {
        let text = format!(
            "{} {}: {}",
            words::shape(health),
            health.as_str(),
            words::health_meaning(health)
        );
        parts.push(output::pairs([
            vec![Toned::from("machine"), why.machine.to_string().into()],
            vec!["health".into(), Toned::new(Tone::of_health(health), text)],
        ]));
    }
    parts.extend(why.decisions.iter().map(|one| block(one, now)));
    parts.join("\n\n")
}

fn block(one: &Decided, now: Timestamp) -> String {
    let decision = &one.decision;
    let mut facts: Vec<Vec<Toned>> = Vec::new();
    let mut fact = |name: &str, value: Toned| facts.push(vec![name.into(), value]);
    let when = |at| format!("{} ({})", output::time(at), ago(at, now));
    fact("decided", when(decision.at).into());
    fact(
        "cycle",
        format!("{} of rack {}", decision.cycle, decision.rack).into(),
    );
    match &one.rule {
        None => fact("decision", "deploy: no rule objected".into()),
        Some(rule) => {
            let text = format!("– left alone: {}: {}", rule.code, rule.meaning);
            fact("decision", Toned::new(Tone::Warn, text));
            let asked = format!(
                "{}, number {} of {}",
                rule.code,
                rule.order,
                SkipReason::ALL.len()
            );
            fact("rule", asked.into());
            if let Some(saw) = &rule.saw {
                fact("saw", saw.into());
            }
            let age = match (rule.heard_at, rule.age_seconds) {
                (Some(heard), Some(age)) => {
                    let age = length(age.unsigned_abs());
                    format!(
                        ", the agent's word of {} ({age} old then)",
                        output::time(heard)
                    )
                }
                _ => String::new(),
            };
            fact(
                "said by",
                format!("{}, read for this decision{age}", rule.source).into(),
            );
        }
    }
    match (&decision.job, one.due_at) {
        (Some(job), _) => {
            fact("job", job.job.to_string().into());
            fact("became", state(job));
        }
        (None, Some(due)) => fact("submit due", when(due).into()),
        (None, None) => {}
    }
    output::pairs(facts)
}

#[cfg(test)]
#[path = "why_tests.rs"]
mod tests;
