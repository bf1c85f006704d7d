//! `racktick rack add`.

use anyhow::Context;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use ledger::{Ledger, TickRequest};
use model::name::RackName;
use model::rack::RackRecord;
use plan::slots::Slots;

use super::{Words, check_policy};
use crate::app::App;
use crate::ask::Consent;
use crate::exit::Usage;
use crate::foresight::{Foresight, spread_of};
use crate::output;
use crate::person::{self, Why};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The rack: a MAAS tag
    rack: RackName,
    #[command(flatten)]
    words: Words,
    /// When the first cycle begins
    #[arg(long, value_enum, default_value = "now")]
    first: First,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum First {
    /// At once.
    Now,
    /// At the first slot.
    Slot,
}

pub(super) async fn run(arguments: &Arguments, app: &App, ledger: &Ledger) -> anyhow::Result<()> {
    let rack = &arguments.rack;
    let defaults = app.config.racks.get(rack).cloned().unwrap_or_default();
    let schedule = arguments
        .words
        .schedule()
        .over(defaults.schedule)
        .settle(rack, app.config.min_every)
        .map_err(Usage)?;
    let policy = arguments.words.policy(defaults.policy)?;
    check_policy(app, &policy)?;
    let (by, why) = (person::name(), arguments.why.reason.clone());
    let record = RackRecord::added(schedule, policy, by, why, Timestamp::now());
    if ledger.rack(rack).await?.is_some() {
        anyhow::bail!("rack {rack} is there already: `racktick rack set {rack}` changes it");
    }
    if arguments.consent.asks() {
        tell(arguments, app, ledger, &record).await;
        arguments.consent.get(&format!("Add rack {rack}?"))?;
    }
    if !ledger.add_rack(rack, &record).await? {
        anyhow::bail!("rack {rack} was added by somebody else just now");
    }
    output::say(format!("rack {rack} is added: {}", record.schedule));
    if arguments.first == First::Now {
        let request = TickRequest {
            reason: Some("first cycle of a new rack".into()),
            ..TickRequest::of(rack.clone(), person::name())
        };
        let cycle = ledger
            .tick(&request)
            .await
            .context("the tick may not have been stored")?;
        output::say(format!("its first cycle begins now: {cycle}"));
    }
    super::show::print(rack, &record, app, ledger).await
}

/// What will happen, for the person who is asked. It costs nothing if it cannot be found out.
async fn tell(arguments: &Arguments, app: &App, ledger: &Ledger, record: &RackRecord) {
    let rack = &arguments.rack;
    output::say(format!("rack {rack}: {}", record.schedule));
    let next = Slots::new(&record.schedule, rack)
        .ok()
        .and_then(|slots| slots.after(Timestamp::now()));
    if let Some(next) = next {
        output::say(format!("first slot: {}", output::time(next)));
    }
    let when = match arguments.first {
        First::Now => "a first cycle begins at once",
        First::Slot => "if it ticked now",
    };
    match Foresight::read(&app.config, ledger, rack, Some(record)).await {
        Ok(foresight) => {
            let spread = spread_of(&app.config, rack, Some(record), None);
            output::say(format!("{when}: {}", foresight.sentence(spread)));
        }
        Err(error) => output::say(format!(
            "{when}; what it would do cannot be said: {error:#}"
        )),
    }
}
