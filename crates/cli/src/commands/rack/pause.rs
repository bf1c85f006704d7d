//! `racktick rack pause|resume`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use ledger::{Ledger, stored};
use model::name::RackName;
use model::rack::{Pause, RackRecord};
use serde_json::json;

use super::known;
use crate::app::App;
use crate::exit::Exit;
use crate::{output, person};

/// How many racks are changed at a time.
const AT_ONCE: usize = 32;

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

pub(super) async fn pause(
    arguments: &Arguments,
    app: &App,
    ledger: &Ledger,
) -> anyhow::Result<Exit> {
    let pause = Pause {
        by: person::name(),
        why: arguments.reason.clone(),
        at: Timestamp::now(),
    };
    // Who paused first stays.
    let done = change(&arguments.which, ledger, |record| {
        record.pause(pause.clone());
    })
    .await?;
    output::say(format!(
        "{} paused; cycles that run go on (`racktick cancel` stops them)",
        named(&done.changed)
    ));
    app.output
        .print_json(&json!({"paused": done.changed, "failed": done.failed}))?;
    Ok(done.exit())
}

pub(super) async fn resume(which: &Which, app: &App, ledger: &Ledger) -> anyhow::Result<Exit> {
    let now = Timestamp::now();
    let done = change(which, ledger, |record| {
        record.resume(now);
    })
    .await?;
    output::say(format!("{} resumed", named(&done.changed)));
    app.output
        .print_json(&json!({"resumed": done.changed, "failed": done.failed}))?;
    Ok(done.exit())
}

/// What became of each rack.
#[derive(Default)]
struct Done {
    changed: BTreeSet<RackName>,
    /// Those that are as they were, and why.
    failed: BTreeMap<RackName, String>,
}

impl Done {
    fn exit(&self) -> Exit {
        match self.failed.is_empty() {
            true => Exit::Ok,
            false => Exit::Failed,
        }
    }
}

/// Changes one rack, or every rack that can be changed: a rack that cannot must not keep the others running.
async fn change(
    which: &Which,
    ledger: &Ledger,
    change: impl Fn(&mut RackRecord),
) -> anyhow::Result<Done> {
    let mut done = Done::default();
    if let Some(rack) = &which.rack {
        known(ledger, rack).await?;
        if ledger.change_rack(rack, &change).await? {
            done.changed.insert(rack.clone());
        }
        return Ok(done);
    }
    let change = &change;
    let mut changes = stream::iter(stored::racks(ledger).await?.into_keys())
        .map(|rack| async move {
            let changed = ledger.change_rack(&rack, change).await;
            (rack, changed)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((rack, changed)) = changes.next().await {
        match changed {
            Ok(true) => {
                done.changed.insert(rack);
            }
            // It was removed meanwhile.
            Ok(false) => {}
            Err(error) => {
                let why = output::chain(&error);
                output::say(format!("rack {rack} is as it was: {why}"));
                done.failed.insert(rack, why);
            }
        }
    }
    Ok(done)
}

fn named(racks: &BTreeSet<RackName>) -> String {
    match racks.first() {
        None => "no rack".into(),
        Some(rack) if racks.len() == 1 => format!("rack {rack}"),
        Some(_) => format!("{} racks", racks.len()),
    }
}
