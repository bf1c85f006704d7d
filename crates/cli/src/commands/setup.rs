//! `racktick setup`: converges the broker to what is declared.

use bus::topology;
use serde_json::json;

use crate::app::App;
use crate::output;

pub(crate) async fn run(app: &App) -> anyhow::Result<()> {
    let bus = app.bus().await?;
    output::say(format!("broker {} answers", bus.server_version()));
    let report = topology::setup(&bus, &app.config.topology()).await?;
    app.output
        .print(&json!({"changes": report.changes}), |_| report.to_string())
}
