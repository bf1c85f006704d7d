//! `racktick rack ...`: the racks and their schedules.

mod add;
mod pause;
mod set;
mod show;

use std::time::Duration;

use bus::BusError;
use clap::{Args, Subcommand};
use ledger::Ledger;
use model::name::RackName;
use model::policy::PolicyChange;
use model::rack::RackRecord;
use serde_json::json;

use crate::app::App;
use crate::config::{self, ScheduleWords};
use crate::exit::{Exit, Usage};
use crate::output;
use crate::person::{self, Why};

pub(crate) use show::pause_text;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Give a rack a schedule; its first cycle begins at once
    Add(add::Arguments),
    /// List the racks, and when they tick next
    List,
    /// Show one rack: schedule, policy, armed slots, last cycles
    Show {
        /// The rack
        rack: RackName,
    },
    /// Change a rack's schedule or policy
    Set(set::Arguments),
    /// Switch a rack's schedule off; `--all` is the emergency stop
    Pause(pause::Arguments),
    /// Switch a rack's schedule on again
    Resume(pause::Arguments),
    /// Take a rack's schedule away; cycles that run go on
    Remove {
        /// The rack
        rack: RackName,
        #[command(flatten)]
        why: Why,
    },
}

/// The words of a schedule and a policy, as flags.
#[derive(Debug, Args)]
struct Words {
    /// Tick every so often, such as `6h`
    #[arg(long, value_name = "TIME", value_parser = config::duration, conflicts_with = "cron")]
    every: Option<Duration>,
    /// Tick by five cron fields, such as `30 6 * * 1-5`
    #[arg(long, value_name = "FIELDS")]
    cron: Option<String>,
    /// The time zone of `--cron`, such as `Europe/Berlin`
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Shift slots by a stable share of this, taken from the rack's name
    #[arg(long, value_name = "TIME", value_parser = config::duration)]
    splay: Option<Duration>,
    /// A policy value of this rack's own, such as `spread=30m`; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    policy: Vec<String>,
}

impl Words {
    fn schedule(&self) -> ScheduleWords {
        ScheduleWords {
            every: self.every,
            cron: self.cron.clone(),
            time_zone: self.tz.clone(),
            splay: self.splay,
        }
    }

    fn policy(&self, mut change: PolicyChange) -> Result<PolicyChange, Usage> {
        for text in &self.policy {
            config::set_policy_text(&mut change, text).map_err(Usage)?;
        }
        Ok(change)
    }
}

/// Refuses a policy that cannot be used.
fn check_policy(app: &App, change: &PolicyChange) -> Result<(), Usage> {
    plan::policy::check(&app.config.policy.clone().with(change))
        .map_err(|error| Usage(error.to_string()))
}

/// A rack that must be there.
async fn known(ledger: &Ledger, rack: &RackName) -> anyhow::Result<RackRecord> {
    ledger.rack(rack).await?.ok_or_else(|| unknown(rack))
}

pub(super) fn unknown(rack: &RackName) -> anyhow::Error {
    anyhow::anyhow!("there is no rack {rack}: `racktick rack list` shows all")
}

pub(crate) async fn run(command: &Command, app: &App) -> anyhow::Result<Exit> {
    let ledger = app.ledger(app.bus().await?);
    match command {
        Command::Add(arguments) => add::run(arguments, app, &ledger).await?,
        Command::List => show::list(app, &ledger).await?,
        Command::Show { rack } => show::one(rack, app, &ledger).await?,
        Command::Set(arguments) => set::run(arguments, app, &ledger).await?,
        Command::Pause(arguments) => return pause::pause(arguments, app, &ledger).await,
        Command::Resume(arguments) => return pause::resume(arguments, app, &ledger).await,
        Command::Remove { rack, why } => remove(rack, why, app, &ledger).await?,
    }
    Ok(Exit::Ok)
}

async fn remove(rack: &RackName, why: &Why, app: &App, ledger: &Ledger) -> anyhow::Result<()> {
    let key = model::subject::key::rack(rack);
    match ledger.racks().get(&key).await {
        // A record that cannot be read can still be taken away.
        Ok(Some(_)) | Err(BusError::Malformed { .. }) => {}
        Ok(None) => return Err(unknown(rack)),
        Err(error) => return Err(error.into()),
    }
    ledger
        .remove_rack(rack, person::name(), why.reason.clone())
        .await?;
    output::say(format!(
        "rack {rack} ticks no more; what runs goes on (`racktick cancel {rack}` stops it)"
    ));
    app.output.print_json(&json!({"removed": rack}))
}
