//! `racktick tick`: a manual tick, and what a worker makes of it.

use std::time::Duration;

use anyhow::Context;
use bus::{Reader, Start, Stored};
use clap::Args;
use ledger::{Ledger, LedgerError, TickRequest};
use model::cycle::CycleRecord;
use model::dead::DeadLetter;
use model::event::{Event, Fact};
use model::id::CycleId;
use model::name::RackName;
use model::policy::Policy;
use model::rack::RackRecord;
use model::subject::{Subject, filter, stream};
use model::task::{Task, Tick};
use tokio::time::timeout;

use crate::app::App;
use crate::ask::Consent;
use crate::commands::status::cycle_words;
use crate::config;
use crate::exit::{Exit, Usage};
use crate::foresight::{Foresight, spread_of, written_policy_of};
use crate::{output, person};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The rack: a MAAS tag, added or not
    rack: RackName,
    /// Let the submits leave over this time instead of the policy's; 0 is all at once
    #[arg(long, value_name = "TIME", value_parser = config::duration)]
    spread: Option<Duration>,
    /// Believe machine and agent lists that are suddenly much smaller
    #[arg(long)]
    accept_shrink: bool,
    /// Why, for the event
    #[arg(long, value_name = "TEXT", value_parser = person::words)]
    reason: Option<String>,
    /// How long to wait for a worker to take it up; 0 does not wait
    #[arg(long, value_name = "TIME", value_parser = config::duration, default_value = "60s")]
    wait: Duration,
    #[command(flatten)]
    consent: Consent,
}

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<Exit> {
    let ledger = app.ledger(app.bus().await?);
    let rack = &arguments.rack;
    let record = ledger.rack(rack).await?;
    check_spread(arguments.spread, app, record.as_ref())?;
    if arguments.consent.asks() {
        tell(arguments, app, &ledger, record.as_ref()).await;
        arguments.consent.get(&format!("Tick rack {rack}?"))?;
    }
    let bus = ledger.bus();
    // Opened before the tick is published, so that nothing about it is missed.
    let events = bus
        .read(stream::EVENTS, &filter::events_of(rack), Start::New)
        .await?;
    let dead = bus
        .read(
            stream::DLQ,
            &Subject::Dead(Subject::Tick.to_string()).to_string(),
            Start::New,
        )
        .await?;
    let request = TickRequest {
        reason: arguments.reason.clone(),
        spread: arguments.spread,
        accept_shrink: arguments.accept_shrink,
        ..TickRequest::of(rack.clone(), person::name())
    };
    let cycle = ledger
        .tick(&request)
        .await
        .context("the tick may not have been stored")?;
    output::say(format!(
        "tick of rack {rack} is stored; it is cycle {cycle}"
    ));
    if arguments.wait.is_zero() {
        return app
            .output
            .print_json(&serde_json::json!({"rack": rack, "cycle": cycle}))
            .map(|()| Exit::Ok);
    }
    match timeout(arguments.wait, settled(&ledger, rack, cycle, events, dead)).await {
        Ok(Ok(Taken::Up(record))) => {
            app.output.print(&record, |record| {
                format!("cycle {cycle}: {}", cycle_words(record))
            })?;
            Ok(match record.fate {
                model::cycle::Fate::Planned(_) => Exit::Ok,
                model::cycle::Fate::Missed { .. } | model::cycle::Fate::Failed { .. } => {
                    Exit::Failed
                }
            })
        }
        Ok(Ok(Taken::Refused(reason))) => {
            output::say(format!("the tick became a dead letter: {reason}"));
            Ok(Exit::Failed)
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => {
            output::say(format!(
                "nothing was decided within {}; the tick stays with the broker until a worker is done with it \
                 (`racktick events --rack {rack} --follow`)",
                config::Shown(arguments.wait)
            ));
            Ok(Exit::Unavailable)
        }
    }
}

/// Refuses a spread that no policy could have: a worker would make a dead letter of the tick.
fn check_spread(
    spread: Option<Duration>,
    app: &App,
    record: Option<&RackRecord>,
) -> Result<(), Usage> {
    let Some(spread) = spread else {
        return Ok(());
    };
    let policy = Policy {
        spread,
        ..written_policy_of(&app.config, record)
    };
    plan::policy::check(&policy)
        .map_err(|error| Usage(format!("--spread {}: {error}", config::Shown(spread))))
}

async fn tell(arguments: &Arguments, app: &App, ledger: &Ledger, record: Option<&RackRecord>) {
    let rack = &arguments.rack;
    if record.is_none() {
        output::say(format!(
            "rack {rack} was never added: the configured policy counts"
        ));
    }
    match Foresight::read(&app.config, ledger, rack, record).await {
        Ok(foresight) => {
            let spread = spread_of(&app.config, rack, record, arguments.spread);
            output::say(foresight.sentence(spread));
        }
        Err(error) => output::say(format!("what it would do cannot be said: {error:#}")),
    }
}

/// What became of a tick.
enum Taken {
    /// The cycle has its record.
    Up(Box<CycleRecord>),
    /// It became a dead letter.
    Refused(String),
}

async fn settled(
    ledger: &Ledger,
    rack: &RackName,
    cycle: CycleId,
    mut events: Reader,
    mut dead: Reader,
) -> Result<Taken, LedgerError> {
    loop {
        tokio::select! {
            event = events.next() => {
                let event = event?;
                if !is_settling(&event, cycle) {
                    continue;
                }
                if let Some(record) = ledger.cycle(rack, cycle).await? {
                    return Ok(Taken::Up(Box::new(record)));
                }
            }
            letter = dead.next() => {
                if let Some(reason) = refusal(&letter?, cycle) {
                    return Ok(Taken::Refused(reason));
                }
            }
        }
    }
}

/// Whether an event says that the cycle's record is there. What comes before is told as it comes.
fn is_settling(stored: &Stored, cycle: CycleId) -> bool {
    let Ok(event) = Event::from_json(&stored.body) else {
        return false;
    };
    if event.cycle != cycle {
        return false;
    }
    match event.fact {
        Fact::CycleStarted { .. } => {
            output::say("a worker has taken it up");
            false
        }
        Fact::CycleRetrying {
            message, next_at, ..
        } => {
            output::say(format!(
                "{message}; next attempt at {}",
                output::time(next_at)
            ));
            false
        }
        _ => true,
    }
}

fn refusal(stored: &Stored, cycle: CycleId) -> Option<String> {
    let letter: DeadLetter = serde_json::from_slice(&stored.body).ok()?;
    let tick = Tick::parse(&letter.body.bytes()?).ok()?;
    (CycleId::of_request(&tick.rack, tick.nonce?) == cycle).then_some(letter.reason)
}
