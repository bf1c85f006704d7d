//! `racktick rack set`.

use clap::Args;
use jiff::Timestamp;
use ledger::{Acted, Ledger};
use model::action::{Action, Deed};
use model::name::RackName;
use model::policy::{Policy, PolicyChange};

use super::{Words, check_policy, known};
use crate::app::App;
use crate::config::ScheduleWords;
use crate::exit::Usage;
use crate::output;
use crate::person::{self, Why};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The rack
    rack: RackName,
    #[command(flatten)]
    words: Words,
    /// Take a policy value of the rack's own away, so that the configured one counts again; repeatable
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    #[command(flatten)]
    why: Why,
}

pub(super) async fn run(arguments: &Arguments, app: &App, ledger: &Ledger) -> anyhow::Result<()> {
    let rack = &arguments.rack;
    let record = known(ledger, rack).await?;
    let words = arguments.words.schedule();
    let is_rescheduled = !words.is_empty();
    let schedule = match is_rescheduled {
        true => {
            let words = words.over(ScheduleWords::of(&record.schedule));
            Some(words.settle(rack, app.config.min_every).map_err(Usage)?)
        }
        false => None,
    };
    let policy = arguments
        .words
        .policy(without(record.policy, &arguments.unset)?)?;
    check_policy(app, &policy)?;
    let is_policy_set = !arguments.words.policy.is_empty() || !arguments.unset.is_empty();
    if !is_rescheduled && !is_policy_set {
        return Err(Usage(
            "nothing to set: give `--every`, `--cron`, `--splay`, `--policy` or `--unset`".into(),
        )
        .into());
    }
    let action = Action {
        at: Timestamp::now(),
        by: person::name(),
        why: arguments.why.reason.clone(),
        deed: Deed::Changed {
            schedule,
            policy: is_policy_set.then_some(policy),
        },
    };
    if ledger.act(rack, &action).await? == Acted::NoRack {
        anyhow::bail!("rack {rack} was removed by somebody else just now");
    }
    output::say(format!("rack {rack} is changed"));
    super::show::print(rack, &known(ledger, rack).await?, app, ledger).await
}

fn without(change: PolicyChange, fields: &[String]) -> anyhow::Result<PolicyChange> {
    let mut values = serde_json::to_value(&change)?;
    for field in fields {
        if !Policy::FIELDS.contains(&field.as_str()) {
            let all = Policy::FIELDS.join(", ");
            return Err(Usage(format!("unknown policy value `{field}`; there are {all}")).into());
        }
        if let Some(values) = values.as_object_mut() {
            values.remove(field);
        }
    }
    Ok(serde_json::from_value(values)?)
}
