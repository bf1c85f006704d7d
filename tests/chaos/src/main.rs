#![doc = include_str!("../README.md")]

mod checker;
mod facts;
mod fault;
mod inject;
mod journal;
mod load;
mod options;
mod plan;
mod program;
mod proxy;
mod report;
mod round;
mod stage;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use broker::Binary;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::options::Options;
use crate::report::Report;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::ERROR)
        .with_writer(std::io::stderr)
        .init();
    let program = tokio::task::spawn_blocking(program::build).await??;
    let binary = tokio::task::spawn_blocking(nats_server).await??;
    let mut report = Report::of(options.seed);
    tokio::select! {
        () = play(&options, &program, &binary, &mut report) => {}
        // Dropping the round ends everything that it started.
        end = end()? => println!("ended by {end}"),
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All rounds.
async fn play(options: &Options, program: &Path, binary: &Binary, report: &mut Report) {
    let end = options
        .minutes
        .map(|minutes| Instant::now() + Duration::from_secs(60 * u64::from(minutes)));
    for number in 0..options.rounds {
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        let seed = options.seed.wrapping_add(u64::from(number));
        println!("round {} of seed {seed}", number + 1);
        match round::play(program, binary.clone(), seed, options.cluster).await {
            Ok(outcome) => report.add(seed, &outcome.faults, &outcome.findings),
            Err(error) => {
                println!("WRONG the round of seed {seed} could not be played: {error:#}");
                report.add_unplayed(seed);
            }
        }
    }
}

/// Resolves when somebody has seen enough, with the name of the signal.
fn end() -> anyhow::Result<impl Future<Output = &'static str>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

/// The server that all tests use, unless the environment names another.
fn nats_server() -> anyhow::Result<Binary> {
    if let Some(path) = std::env::var_os("RACKTICK_TEST_NATS_SERVER") {
        return Ok(Binary::at(path));
    }
    Ok(Binary::find(&program::workspace().join(".cache"))?)
}
