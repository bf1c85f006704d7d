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

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use broker::Binary;
use clap::Parser;
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
    let end = options
        .minutes
        .map(|minutes| Instant::now() + Duration::from_secs(60 * u64::from(minutes)));
    let mut report = Report::of(options.seed);
    for number in 0..options.rounds {
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        let seed = options.seed.wrapping_add(u64::from(number));
        println!("round {} of seed {seed}", number + 1);
        let outcome = round::play(&program, binary.clone(), seed, options.cluster)
            .await
            .with_context(|| format!("the round of seed {seed} could not be played"))?;
        report.add(seed, &outcome.faults, &outcome.findings);
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The server that all tests use, unless the environment names another.
fn nats_server() -> anyhow::Result<Binary> {
    if let Some(path) = std::env::var_os("RACKTICK_TEST_NATS_SERVER") {
        return Ok(Binary::at(path));
    }
    Ok(Binary::find(&program::workspace().join(".cache"))?)
}
