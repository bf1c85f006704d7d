//! The command line.

use clap::Parser;

/// Kills, freezes and cuts everything that racktick runs on, round after round, and counts what was lost or done twice.
///
/// Each injection is printed as it happens. The last line is the report, one JSON object; the exit code is 1 when a
/// number that must be 0 is not.
#[derive(Debug, Clone, Parser)]
#[command(name = "chaos", max_term_width = 120)]
pub(crate) struct Options {
    /// How many rounds: 20 cycles each, at most 90 seconds
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Where all chance comes from; round n of seed s is the first round of seed s + n - 1. Another one each time unless
    /// given
    #[arg(long, value_name = "S", default_value_t = u64::from(rand::random::<u32>()))]
    pub(crate) seed: u64,
    /// Begin no further round after so many minutes
    #[arg(long, value_name = "M")]
    pub(crate) minutes: Option<u32>,
    /// Run on three brokers, and let nodes of the cluster fail as well
    #[arg(long)]
    pub(crate) cluster: bool,
}
