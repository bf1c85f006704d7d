//! `racktick rack pause|resume`.

use clap::Args;
use jiff::Timestamp;
use ledger::Ledger;
use model::name::RackName;
use model::rack::{Pause, RackRecord};
use serde_json::json;

use super::known;
use crate::app::App;
use crate::{output, person};

/// One rack, or all.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// The rack
    rack: Option<RackName>,
    /// All racks
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Why, for whoever wonders
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

pub(super) async fn pause(arguments: &Arguments, app: &App, ledger: &Ledger) -> anyhow::Result<()> {
    let pause = Pause {
        by: person::name(),
        why: arguments.reason.clone(),
        at: Timestamp::now(),
    };
    // Who paused first stays.
    let changed = change(&arguments.which, ledger, |record| {
        record.paused.get_or_insert(pause.clone());
    })
    .await?;
    output::say(format!(
        "{} paused; cycles that run go on (`racktick cancel` stops them)",
        named(&changed)
    ));
    app.output.print_json(&json!({"paused": changed}))
}

pub(super) async fn resume(which: &Which, app: &App, ledger: &Ledger) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let changed = change(which, ledger, |record| {
        if record.paused.take().is_some() {
            record.since = now;
        }
    })
    .await?;
    output::say(format!("{} resumed", named(&changed)));
    app.output.print_json(&json!({"resumed": changed}))
}

async fn change(
    which: &Which,
    ledger: &Ledger,
    change: impl Fn(&mut RackRecord),
) -> anyhow::Result<Vec<RackName>> {
    let racks = match &which.rack {
        Some(rack) => {
            known(ledger, rack).await?;
            vec![rack.clone()]
        }
        None => super::show::all(ledger).await?.into_keys().collect(),
    };
    let mut changed = Vec::new();
    for rack in racks {
        if ledger.change_rack(&rack, &change).await? {
            changed.push(rack);
        }
    }
    Ok(changed)
}

fn named(racks: &[RackName]) -> String {
    match racks {
        [] => "no rack".into(),
        [rack] => format!("rack {rack}"),
        racks => format!("{} racks", racks.len()),
    }
}
