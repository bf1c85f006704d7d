//! `racktick plan`: what a tick would do, with reasons, and nothing submitted.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use ledger::Ledger;
use model::name::{MachineName, RackName};
use model::outcome::SkipReason;
use plan::inputs::Inputs;
use serde::Serialize;

use crate::app::App;
use crate::exit::Usage;
use crate::foresight::{Foresight, counted, machines};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The rack: a MAAS tag, added or not
    #[arg(required_unless_present = "inputs")]
    rack: Option<RackName>,
    /// Save what was read, to decide on it again later
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Decide on saved inputs, and ask nobody
    #[arg(long, value_name = "FILE", conflicts_with = "save")]
    inputs: Option<PathBuf>,
}

/// One machine's decision.
#[derive(Serialize)]
struct Line<'a> {
    machine: &'a MachineName,
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<SkipReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<()> {
    let foresight = match (&arguments.inputs, &arguments.rack) {
        (Some(path), rack) => saved(path, rack.as_ref())?,
        (None, Some(rack)) => {
            let ledger = Ledger::new(app.bus().await?);
            let record = ledger.rack(rack).await?;
            Foresight::read(&app.config, &ledger, rack, record.as_ref()).await?
        }
        (None, None) => {
            return Err(Usage("name a rack, or saved inputs with `--inputs`".into()).into());
        }
    };
    if let Some(path) = &arguments.save {
        let text = serde_json::to_vec_pretty(&foresight.inputs)?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        output::say(format!("inputs saved in {}", path.display()));
    }
    let lines = lines(&foresight);
    app.output.print(&lines, |lines| {
        let rows = lines.iter().map(|line| {
            vec![
                line.machine.as_str(),
                line.decision,
                line.reason.map_or("-", SkipReason::as_str),
                line.detail.unwrap_or("-"),
            ]
        });
        output::table(&["machine", "decision", "reason", "detail"], rows)
    })?;
    let skipped = foresight.skipped();
    let skips = counted(
        skipped
            .iter()
            .map(|(reason, count)| (reason.as_str(), *count)),
    );
    let deploy = machines(foresight.decisions.deploy.len());
    output::say(match skipped.is_empty() {
        true => format!("{deploy} would be deployed; none skipped"),
        false => format!("{deploy} would be deployed; skipped: {skips}"),
    });
    Ok(())
}

fn saved(path: &Path, rack: Option<&RackName>) -> anyhow::Result<Foresight> {
    let text = read_inputs(path).with_context(|| format!("cannot read {}", path.display()))?;
    let inputs: Inputs = serde_json::from_slice(&text).with_context(|| {
        format!(
            "{} holds no inputs as `racktick plan --save` writes them",
            path.display()
        )
    })?;
    if inputs.v > Inputs::VERSION {
        anyhow::bail!("{} was written by a later racktick", path.display());
    }
    match rack {
        Some(rack) if *rack != inputs.rack => Err(Usage(format!(
            "{} is about rack {}, not {rack}",
            path.display(),
            inputs.rack
        ))
        .into()),
        _ => Ok(Foresight::of(inputs)),
    }
}

/// The largest saved inputs that are read, in bytes: some hundred bytes for each machine and each agent.
const LARGEST_INPUTS: u64 = 256 << 20;

fn read_inputs(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?
        .take(LARGEST_INPUTS + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST_INPUTS {
        let why = format!("it is larger than {LARGEST_INPUTS} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}

fn lines(foresight: &Foresight) -> Vec<Line<'_>> {
    let decisions = &foresight.decisions;
    let deploy = decisions.deploy.iter().map(|machine| Line {
        machine,
        decision: "deploy",
        reason: None,
        detail: None,
    });
    let skip = decisions.skip.iter().map(|(machine, skip)| Line {
        machine,
        decision: "skip",
        reason: Some(skip.reason),
        detail: skip.detail.as_deref(),
    });
    let mut lines: Vec<Line<'_>> = deploy.chain(skip).collect();
    lines.sort_by_key(|line| line.machine);
    lines
}
