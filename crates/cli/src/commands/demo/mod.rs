//! `racktick demo`: everything on one machine with time compressed, and the story of it in the terminal.
//!
//! It talks to nothing but what it started: it reads no configuration, and its children get an environment made for
//! them and an empty directory to run in.

mod children;
mod stage;
mod story;

use std::path::PathBuf;

use anyhow::Context;
use bus::{Bus, Connect, Start};
use clap::Args;
use ledger::Ledger;
use model::subject::{filter, stream};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::output::{self, ReaderGone};
use children::Children;
use stage::Stage;
use story::Story;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// End with a summary once each rack has finished so many cycles; without it, go on until Ctrl-C
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cycles: Option<u32>,
    /// Use this nats-server instead of looking for one
    #[arg(long, value_name = "PROGRAM")]
    nats_server: Option<PathBuf>,
}

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let end = end()?;
    tokio::pin!(end);
    tokio::select! {
        // Dropping the play ends everything that it started.
        () = &mut end => {
            output::say("the demo is over; nothing was left running");
            Ok(Exit::Ok)
        }
        result = play(arguments) => result,
    }
}

/// Resolves when the person has seen enough, or the terminal is closed.
fn end() -> anyhow::Result<impl Future<Output = ()>> {
    let mut signals = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    );
    Ok(async move {
        tokio::select! {
            _ = signals.0.recv() => {}
            _ = signals.1.recv() => {}
            _ = signals.2.recv() => {}
        }
    })
}

async fn play(arguments: &Arguments) -> anyhow::Result<Exit> {
    let folder = tempfile::Builder::new()
        .prefix("racktick-demo-")
        .tempdir()
        .context("no temporary directory")?;
    let stage = Stage::new(folder.path());
    let mut server = children::broker(arguments.nats_server.clone(), folder.path()).await?;
    let url = server.url();
    output::say(format!("broker      {url}"));

    let bus = Bus::connect(&Connect::to(&url, "racktick demo")).await?;
    bus::topology::setup(&bus, &bus::topology::Topology::declared(Default::default())).await?;
    let ledger = Ledger::new(bus.clone());
    let reader = bus.read(stream::EVENTS, filter::EVENTS, Start::All).await?;

    let mut children = Children::start(&stage, &url).await?;
    output::say(format!(
        "lab         {} (MAAS and Testflinger, {})",
        children.lab(),
        stage.describe()
    ));
    output::say(format!("dashboard   {}", children.dashboard()));
    output::say(format!("logs        {}", folder.path().display()));
    let program = std::env::args().next().unwrap_or_else(|| "racktick".into());
    output::say(format!("look in     {program} --nats-url {url} status"));
    output::say(format!("            nats --server {url} sub 'event.>'"));
    output::say(format!(
        "tick        {program} --nats-url {url} tick r1 --yes"
    ));
    output::say("");
    stage.add_racks(&ledger).await?;

    let mut story = Story::new(stage.racks(), arguments.cycles);
    let told = tokio::select! {
        told = story.tell(reader, &ledger) => told,
        gone = children.first_to_end() => Err(gone),
    };
    if let Err(error) = told {
        if error.is::<ReaderGone>() {
            return Err(error);
        }
        let logs = folder.keep();
        return Err(error.context(format!(
            "the demo failed; its logs are in {}",
            logs.display()
        )));
    }
    let stats = children.stats().await?;
    children.stop().await;
    server.stop().await?;
    story.summary(&stats)
}
