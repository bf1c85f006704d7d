#![doc = include_str!("../README.md")]

mod args;
mod commands;
mod config;
mod exit;
mod logging;
mod output;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use exit::Exit;
use output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(exit) => exit.into(),
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
        Command::Config(command) => commands::config::run(command, &cli.places()?, output)?,
        Command::Completions(arguments) => commands::completions::run(arguments)?,
    }
    Ok(Exit::Ok)
}
