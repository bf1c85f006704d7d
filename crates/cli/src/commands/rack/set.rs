//! `racktick rack set`.

use clap::Args;
use jiff::Timestamp;
use ledger::Ledger;
use model::name::RackName;
use model::policy::{Policy, PolicyChange};

use super::{Words, check_policy, known};
use crate::app::App;
use crate::config::ScheduleWords;
use crate::exit::Usage;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The rack
    rack: RackName,
    #[command(flatten)]
    words: Words,
    /// Take a policy value of the rack's own away, so that the configured one counts again; repeatable
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
}

pub(super) async fn run(arguments: &Arguments, app: &App, ledger: &Ledger) -> anyhow::Result<()> {
    let rack = &arguments.rack;
    let record = known(ledger, rack).await?;
    let words = arguments.words.schedule();
    let is_rescheduled = !words.is_empty();
    let schedule = if is_rescheduled {
        words
            .over(ScheduleWords::of(&record.schedule))
            .settle(rack, app.config.min_every)
            .map_err(Usage)?
    } else {
        record.schedule
    };
    let policy = arguments
        .words
        .policy(without(record.policy, &arguments.unset)?)?;
    check_policy(app, &policy)?;
    if !is_rescheduled && arguments.words.policy.is_empty() && arguments.unset.is_empty() {
        return Err(Usage(
            "nothing to set: give `--every`, `--cron`, `--splay`, `--policy` or `--unset`".into(),
        )
        .into());
    }
    let now = Timestamp::now();
    let changed = ledger
        .change_rack(rack, |record| {
            if is_rescheduled && record.schedule != schedule {
                record.schedule = schedule.clone();
                record.since = now;
            }
            record.policy = policy.clone();
        })
        .await?;
    if !changed {
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
