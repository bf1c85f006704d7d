//! `racktick lab`: a pretend MAAS and Testflinger over HTTP.

use anyhow::Context;
use clap::Args;
use lab::{Lab, LabConfig};
use tokio::net::TcpListener;

use crate::app::shutdown;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5240")]
    listen: String,
    /// How many racks: `r1`, `r2`, ...
    #[arg(long, value_name = "N", default_value_t = LabConfig::default().racks)]
    racks: u32,
    /// How many machines per rack: `r1-m01`, `r1-m02`, ...
    #[arg(long, value_name = "N", default_value_t = LabConfig::default().machines)]
    machines: u32,
    /// Divides every duration; the clock stays real
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    speed: f64,
    /// Where keys, durations and outcomes come from
    #[arg(long, value_name = "N", default_value_t = LabConfig::default().seed)]
    seed: u64,
    /// Share of jobs whose deployment fails, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    fail_rate: f64,
    /// Share of jobs whose deployment hangs, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    stuck_rate: f64,
    /// How many machines per rack are odd, one kind after the other: no agent, offline, maintenance, other location,
    /// silent agent, restricted queue, fail streak, locked, owned by a person, in MAAS only, in Testflinger only
    #[arg(long, value_name = "N", default_value_t = 0)]
    odd: u32,
    /// Print the variables that point racktick at this lab, and end
    #[arg(long)]
    print_env: bool,
}

impl Arguments {
    fn config(&self) -> LabConfig {
        LabConfig {
            racks: self.racks,
            machines: self.machines,
            speed: self.speed,
            seed: self.seed,
            fail_rate: self.fail_rate,
            stuck_rate: self.stuck_rate,
            odd: self.odd,
            ..LabConfig::default()
        }
    }
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config();
    if arguments.print_env {
        let lines = lab::environment(&config, &arguments.listen)
            .into_iter()
            .map(|(name, value)| format!("{name}={}", lab::shell_quoted(&value)))
            .collect::<Vec<_>>();
        return output::line(&lines.join("\n"));
    }
    let shutdown = shutdown()?;
    let listener = TcpListener::bind(&arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let lab = Lab::start(config, listener).await?;
    output::say(
        "the lab listens; `racktick lab --print-env` with the same flags prints the variables that point at it",
    );
    output::line(&lab.url())?;
    shutdown.await;
    lab.stop().await;
    Ok(())
}
