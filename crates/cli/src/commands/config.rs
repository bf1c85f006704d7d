//! `racktick config show|check`.

use clap::Subcommand;

use crate::config::{Config, Places, Row};
use crate::output::{self, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print every effective value with its source; secrets are masked
    Show,
    /// Check everything that is set, and say what is wrong
    Check,
}

pub(crate) fn run(command: &Command, places: &Places, output: Output) -> anyhow::Result<()> {
    let (config, rows) = Config::load_with_rows(places)?;
    for warning in &config.warnings {
        output::say(warning);
    }
    match command {
        Command::Check => {
            let set = rows.iter().filter(|row| is_set(row)).count();
            output::say(format!(
                "the configuration is right; {set} values are not the default"
            ));
            Ok(())
        }
        Command::Show => output.print(&rows, |rows| {
            let rows = rows.iter().map(|row| {
                let value = row.value.as_deref().unwrap_or("-");
                vec![
                    row.name.as_str(),
                    value,
                    row.source.as_deref().unwrap_or("not set"),
                ]
            });
            output::table(&["setting", "value", "source"], rows)
        }),
    }
}

fn is_set(row: &Row) -> bool {
    row.source
        .as_deref()
        .is_some_and(|source| source != "default")
}
