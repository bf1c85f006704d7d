//! `racktick rack pause|resume`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use ledger::{Acted, Ledger, stored};
use model::action::{Action, Deed};
use model::name::RackName;
use serde_json::json;

use super::unknown;
use crate::app::App;
use crate::exit::Exit;
use crate::output;
use crate::person::{self, Why};

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
    #[command(flatten)]
    why: Why,
}

impl Arguments {
    fn action(&self, deed: Deed) -> Action {
        Action {
            at: Timestamp::now(),
            by: person::name(),
            why: self.why.reason.clone(),
            deed,
        }
    }
}

pub(super) async fn pause(
    arguments: &Arguments,
    app: &App,
    ledger: &Ledger,
) -> anyhow::Result<Exit> {
    let action = arguments.action(Deed::Paused);
    let done = act(&arguments.which, ledger, &action).await?;
    output::say(format!(
        "{} paused; cycles that run go on (`racktick cancel` stops them)",
        named(&done.changed)
    ));
    app.output
        .print_json(&json!({"paused": done.changed, "failed": done.failed}))?;
    Ok(done.exit())
}

pub(super) async fn resume(
    arguments: &Arguments,
    app: &App,
    ledger: &Ledger,
) -> anyhow::Result<Exit> {
    let action = arguments.action(Deed::Resumed);
    let done = act(&arguments.which, ledger, &action).await?;
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

/// Does something to one rack, or to every rack to which it can be done: a rack to which it cannot must not keep the others
/// running. It is told when all is done, as telling takes its time.
async fn act(which: &Which, ledger: &Ledger, action: &Action) -> anyhow::Result<Done> {
    let mut done = Done::default();
    if let Some(rack) = &which.rack {
        if ledger.act(rack, action).await? == Acted::NoRack {
            return Err(unknown(rack));
        }
        done.changed.insert(rack.clone());
        return Ok(done);
    }
    let mut acts = stream::iter(stored::racks(ledger).await?.into_keys())
        .map(|rack| async move {
            let acted = ledger.act_untold(&rack, action).await;
            (rack, acted)
        })
        .buffer_unordered(AT_ONCE);
    let mut untold = Vec::new();
    while let Some((rack, acted)) = acts.next().await {
        match acted {
            Ok(Acted::Done) => {
                untold.push(rack.clone());
                done.changed.insert(rack);
            }
            Ok(Acted::AsItWas) => {
                done.changed.insert(rack);
            }
            // It was removed meanwhile.
            Ok(Acted::NoRack) => {}
            Err(error) => {
                let why = output::chain(&error);
                output::say(format!("rack {rack} is as it was: {why}"));
                done.failed.insert(rack, why);
            }
        }
    }
    stream::iter(&untold)
        .for_each_concurrent(AT_ONCE, |rack| ledger.tell_or_log(rack))
        .await;
    Ok(done)
}

fn named(racks: &BTreeSet<RackName>) -> String {
    match racks.first() {
        None => "no rack".into(),
        Some(rack) if racks.len() == 1 => format!("rack {rack}"),
        Some(_) => format!("{} racks", racks.len()),
    }
}
