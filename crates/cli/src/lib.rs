#![doc = include_str!("../README.md")]

mod app;
mod args;
mod ask;
mod commands;
mod config;
mod exit;
mod foresight;
mod living;
mod logging;
mod metrics;
mod output;
mod person;
mod plain;
mod prefix;
#[cfg(test)]
mod sample;
mod service;
mod told;
mod tone;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

use telemetry::{Patience, Traces};
use tokio::runtime::{Builder, Runtime};

use app::App;
use args::{Cli, Command};
use config::Config;
use exit::Exit;
use output::{Output, ReaderGone};

pub use config::check_file;

/// Runs the program with the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // One TLS stack for the whole process; a second installation is the only way this fails.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(&cli) {
        Ok(exit) => exit.into(),
        Err(error) if error.is::<ReaderGone>() => Exit::Ok.into(),
        Err(error) => {
            let exit = exit::code_of(&error);
            output::say(format!("racktick: {error:#}"));
            exit.into()
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    let output = Output::new(cli.global.output);
    match &cli.command {
        Command::Completions(arguments) => {
            return commands::completions::run(arguments).map(|()| Exit::Ok);
        }
        Command::Config(command) => {
            return commands::config::run(command, &cli.places()?, output).map(|()| Exit::Ok);
        }
        // It reads no configuration: it talks to nothing but what it starts.
        Command::Demo(arguments) => return runtime(1)?.block_on(commands::demo::run(arguments)),
        _ => {}
    }
    let config = Config::load(&cli.places()?)?;
    let traces = match cli.command.traced() {
        Some(service) => Traces::of(&config.otel, service, metrics::VERSION)?,
        None => None,
    };
    let (traces, layer) = traces.unzip();
    // On a screen that is drawn, the log would stand across it.
    if !matches!(cli.command, Command::Watch) || !std::io::stderr().is_terminal() {
        logging::start(&config.log, cli.command.is_role(), layer);
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = runtime(config.worker.threads)?;
    let app = App {
        config,
        output,
        traces,
    };
    runtime.block_on(async {
        let patience = match cli.command.is_role() {
            true => Patience::ROLE,
            false => Patience::COMMAND,
        };
        let exporting = app.traces.as_ref();
        let exporting = exporting.and_then(|traces| traces.export(patience));
        let exit = dispatch(cli, &app).await;
        if let Some(exporting) = exporting {
            exporting.end().await;
        }
        exit
    })
}

/// One thread is fastest up to a thousand jobs per second: handing work between threads costs more than it brings.
fn runtime(threads: usize) -> std::io::Result<Runtime> {
    match threads {
        1 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build(),
    }
}

async fn dispatch(cli: &Cli, app: &App) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::Tick(arguments) => return commands::tick::run(arguments, app).await,
        Command::Rack(command) => return commands::rack::run(command, app).await,
        Command::Status(arguments) => return commands::status::run(arguments, app).await,
        Command::Cancel(arguments) => return commands::cancel::run(arguments, app).await,
        Command::Recover(arguments) => return commands::recover::run(arguments, app).await,
        Command::Dlq(command) => return commands::dlq::run(command, app).await,
        Command::Doctor(arguments) => return commands::doctor::run(arguments, app).await,
        Command::Scheduler => commands::scheduler::run(app).await?,
        Command::Worker(_) => commands::worker::run(app).await?,
        Command::Dashboard(arguments) => commands::dashboard::run(arguments, app).await?,
        Command::History(arguments) => commands::history::run(arguments, app)?,
        Command::Lab(arguments) => commands::lab::run(arguments).await?,
        Command::Setup(arguments) => commands::setup::run(arguments, app).await?,
        Command::Plan(arguments) => commands::plan::run(arguments, app).await?,

        Command::Cycle(arguments) => commands::cycle::run(arguments, app).await?,
        Command::Job(arguments) => commands::job::run(arguments, app).await?,
        Command::Watch => commands::watch::run(app).await?,
        Command::Why(arguments) => commands::why::run(arguments, app).await?,
        Command::Machine(arguments) => commands::machine::run(arguments, app).await?,
        Command::Events(arguments) => commands::events::run(arguments, app).await?,
        // These need no configuration or no runtime, and were done before.
        Command::Config(_) | Command::Completions(_) | Command::Demo(_) => {}
    }
    Ok(Exit::Ok)
}
