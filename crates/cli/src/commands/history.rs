//! `racktick history`: what the dashboard's history file knows, taken out and put in.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use dashboard::history::{History, Reading};
use dashboard::portable::{self, ExportError};
use serde_json::json;
use tempfile::NamedTempFile;

use crate::app::App;
use crate::config::Key;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The history file [env: RACKTICK_DASHBOARD_HISTORY]
    #[arg(long, value_name = "FILE", global = true)]
    history: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write everything that the history file knows as lines of JSON, an event each
    Export {
        /// Where to; stdout unless it is said. A file that is there is replaced once all is written
        file: Option<PathBuf>,
    },
    /// Fold an export into the history file; what that knows already stays as it is
    Import {
        /// The export
        file: PathBuf,
    },
}

impl Arguments {
    /// The settings that the flags give.
    pub(crate) fn flags(&self) -> Vec<(Key, String, &'static str)> {
        let history = self.history.clone();
        let history = history.map(|file| (Key::DashboardHistory, file, "--history"));
        history.into_iter().collect()
    }
}

pub(crate) fn run(arguments: &Arguments, app: &App) -> anyhow::Result<()> {
    let history = &app.config.dashboard.history;
    match &arguments.command {
        Command::Export { file: None } => {
            let mut stdout = BufWriter::new(std::io::stdout().lock());
            export(history, &mut stdout).map(drop)
        }
        Command::Export { file: Some(file) } => {
            let folder = match file.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder,
                _ => Path::new("."),
            };
            let cannot = || format!("{} cannot be written", file.display());
            let events = match file.metadata() {
                // A pipe or a device, such as /dev/stdout, is written to; a file in its place would take its name.
                Ok(there) if !there.is_file() => {
                    let to = File::options()
                        .write(true)
                        .open(file)
                        .with_context(cannot)?;
                    export(history, &mut BufWriter::new(to))?
                }
                _ => {
                    let mut whole = NamedTempFile::new_in(folder).with_context(cannot)?;
                    let events = export(history, &mut BufWriter::new(&mut whole))?;
                    whole.as_file_mut().sync_all().with_context(cannot)?;
                    whole.persist(file).with_context(cannot)?;
                    events
                }
            };
            output::say(format!("{events} events are in {}", file.display()));
            app.output
                .print_json(&json!({"events": events, "file": file}))
        }
        Command::Import { file } => {
            let shown = file.display();
            let from = File::open(file).with_context(|| format!("{shown} cannot be read"))?;
            let mut writer = History::beside(history)?;
            let imported = portable::import(&mut BufReader::new(from), &mut writer)
                .with_context(|| format!("{shown} was not imported"))?;
            output::say(format!(
                "{} events are in {shown}; the history did not know {} of them",
                imported.events, imported.learnt
            ));
            app.output.print_json(&imported)
        }
    }
}

fn export(history: &Path, to: &mut impl Write) -> anyhow::Result<u64> {
    let history = History::existing(history)?;
    // What a reading answers with is its own errors; those of writing are carried past it.
    let exported = history.read(|reading: &Reading| match portable::export(reading, to) {
        Ok(events) => Ok(Ok(events)),
        Err(ExportError::Read(error)) => Err(error),
        Err(error) => Ok(Err(error)),
    })?;
    Ok(exported?)
}
