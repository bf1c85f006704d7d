//! `racktick setup`: converges the broker to what is declared, or makes the keys with which it tells roles apart.

use std::path::PathBuf;

use bus::access::{self, Role};
use bus::topology;
use clap::Args;
use serde_json::json;

use crate::app::App;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Make a key for each role in this folder, and the file that tells the broker about them; then end. What is there
    /// stays; the broker is not asked
    #[arg(long, value_name = "DIR")]
    credentials: Option<PathBuf>,
    /// Make another key for this role; the old one is forgotten; repeatable
    #[arg(long, value_name = "ROLE", requires = "credentials")]
    rotate: Vec<Role>,
}

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<()> {
    if let Some(folder) = &arguments.credentials {
        let made = access::make(folder, &arguments.rotate)?;
        let shown = json!({"changes": made.changes, "authorization": made.authorization, "without_key": made.lets_in});
        return app.output.print(&shown, |_| text(&made));
    }
    let bus = app.bus().await?;
    output::say(format!("broker {} answers", bus.server_version()));
    let report = topology::setup(&bus, &app.config.topology()).await?;
    app.output
        .print(&json!({"changes": report.changes}), |_| report.to_string())
}

fn text(made: &access::Made) -> String {
    let changes = match made.changes.as_slice() {
        [] => "everything is as it should be".into(),
        changes => changes.join("\n"),
    };
    let without_key = match made.lets_in {
        true => "a connection without a key may start cycles and see events",
        false => "nobody is let in without a key",
    };
    format!(
        "{changes}\n{without_key}\nthe server's configuration is to include {}; a running server is to be told to reload",
        made.authorization.display()
    )
}
