//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use model::speed::Speed;

use crate::sync::SyncPolicy;

#[derive(Debug, Parser)]
#[command(
    name = "bench",
    about = "Measures racktick against a plain loop without durability, both in one run",
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) arguments: Arguments,
    /// The parts that the bench starts as processes of their own.
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Racks, all ticked at the same moment. With --racks or --machines only this one shape is measured, without the
    /// other scenarios.
    #[arg(long, value_name = "N")]
    pub(crate) racks: Option<u32>,
    /// Machines per rack
    #[arg(long, value_name = "N")]
    pub(crate) machines: Option<u32>,
    /// At which look a job is complete
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) looks: u32,
    /// How often everything is measured; each figure is the median [default: 3, with --full 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,
    /// All policies and sizes, instead of those that goals are about
    #[arg(long)]
    pub(crate) full: bool,
    /// Of the policies only these
    #[arg(long, value_name = "POLICY", value_delimiter = ',')]
    pub(crate) sync: Vec<SyncPolicy>,
    /// How the figures are printed
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
    /// Submits, and looks, at work at a time in the worker
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) concurrency: usize,
    /// Threads of the worker
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) threads: u8,
    /// Threads of the plain loop
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) loop_threads: u8,
    /// Only measure the worker's memory while jobs wait
    #[arg(long)]
    pub(crate) memory: bool,
    /// Only measure what an idle system costs
    #[arg(long)]
    pub(crate) idle: bool,
    /// How long the idle system is watched
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) idle_seconds: u64,
    /// Only measure what disk and memory do over so many simulated days, after as many more until everything that has
    /// an age turned over once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..))]
    pub(crate) days: Option<u32>,
    /// With --days: how long cycles are kept, in simulated days; events and everything else in proportion [default: as
    /// declared, 35]
    #[arg(long, value_name = "N", requires = "days", value_parser = kept_days)]
    pub(crate) kept_days: Option<f64>,
    /// With --days: by how much waits and ages are divided
    #[arg(long, value_name = "FACTOR", requires = "days", default_value = "4000")]
    pub(crate) speed: Speed,
    /// Write all figures as JSON to this file, too
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Measure with this nats-server instead of the pinned one
    #[arg(long, value_name = "FILE")]
    pub(crate) nats_server: Option<PathBuf>,
}

/// Forms of the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

impl Arguments {
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.full { 5 } else { 3 })
    }

    pub(crate) fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }
}

fn kept_days(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(days) if (0.1..=365.0).contains(&days) => Ok(days),
        _ => Err(format!("`{text}` is no number of days from 0.1 to 365")),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The pretend lab
    #[command(hide = true)]
    Lab { orders: String },
    /// The plain loop
    #[command(hide = true)]
    Plain { orders: String },
    /// A worker
    #[command(hide = true)]
    Worker { orders: String },
    /// The broker's raw limit
    #[command(hide = true)]
    Raw { orders: String },
    /// A scheduler
    #[command(hide = true)]
    Scheduler { orders: String },
}
