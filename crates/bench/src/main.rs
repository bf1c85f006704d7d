#![doc = include_str!("../README.md")]

mod arguments;
mod brokers;
mod cases;
mod child;
mod figures;
mod jobs;
mod life;
mod plain;
mod process;
mod racktick;
mod raw;
mod report;
mod roles;
mod scenarios;
mod stage;
mod sync;
mod table;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;

use arguments::Cli;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether everything was done exactly once.
fn run(cli: Cli) -> anyhow::Result<bool> {
    // One TLS stack for the whole process; a second installation is the only way this fails.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // As in `racktick`: one thread is fastest while everything shares few cores.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    match cli.role {
        Some(role) => runtime.block_on(roles::run(role)).map(|()| true),
        None => runtime.block_on(scenarios::run(&cli.arguments)),
    }
}
