//! `racktick dlq list|show|replay|drop`: messages that could not succeed.

use anyhow::Context;
use bus::dead::{self, Kept};
use bus::{Bus, BusError};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use ledger::{Person, Replayed};
use model::dead::DeadLetter;
use model::subject::{filter, stream};
use serde_json::json;

use crate::app::App;
use crate::exit::Exit;
use crate::person::{self, Why};
use crate::{output, plain};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the dead letters, oldest first
    List,
    /// Show one whole
    Show {
        /// Its number
        number: u64,
    },
    /// Give messages back to the workers, once their trouble is mended
    Replay(Which),
    /// Drop dead letters for good
    Drop(Which),
}

/// Some dead letters, or all.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Their numbers
    #[arg(value_name = "NUMBER", required_unless_present = "all")]
    numbers: Vec<u64>,
    /// All of them
    #[arg(long, conflicts_with = "numbers")]
    all: bool,
    #[command(flatten)]
    why: Why,
}

impl Which {
    fn person(&self) -> Person {
        Person {
            by: person::name(),
            why: self.why.reason.clone(),
            at: Timestamp::now(),
        }
    }
}

pub(crate) async fn run(command: &Command, app: &App) -> anyhow::Result<Exit> {
    let bus = app.bus().await?;
    match command {
        Command::List => list(app, &bus).await.map(|()| Exit::Ok),
        Command::Show { number } => show(*number, app, &bus).await.map(|()| Exit::Ok),
        Command::Replay(which) => replay(which, app, &bus).await,
        Command::Drop(which) => drop(which, app, &bus).await.map(|()| Exit::Ok),
    }
}

/// How many there are.
pub(crate) async fn count(bus: &Bus) -> Result<u64, BusError> {
    let subjects = bus.subjects(stream::DLQ, filter::DEAD).await?;
    Ok(subjects.values().sum())
}

async fn list(app: &App, bus: &Bus) -> anyhow::Result<()> {
    let letters = dead::list(bus).await?;
    if letters.is_empty() {
        output::say("there are no dead letters");
    }
    let lines: Vec<_> = letters
        .iter()
        .map(|kept| json!({"number": kept.sequence, "letter": kept.letter}))
        .collect();
    app.output.print(&lines, |_| {
        let rows = letters.iter().map(
            |Kept {
                 sequence, letter, ..
             }| {
                vec![
                    sequence.to_string(),
                    output::time(letter.at),
                    letter.subject.clone(),
                    letter.attempts.to_string(),
                    letter.reason.clone(),
                ]
            },
        );
        output::table(&["number", "at", "subject", "attempts", "reason"], rows)
    })
}

async fn show(number: u64, app: &App, bus: &Bus) -> anyhow::Result<()> {
    let letter = get(bus, number).await?.letter;
    app.output.print(&letter, |letter| {
        let headers: Vec<String> = letter
            .headers
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |value| format!("{name}: {value}")))
            .map(|header| plain::line(&header).into_owned())
            .collect();
        output::pairs([
            vec!["subject".to_owned(), letter.subject.clone()],
            vec!["reason".into(), letter.reason.clone()],
            vec!["attempts".into(), letter.attempts.to_string()],
            vec!["given up".into(), format!("{} by {}", letter.at, letter.by)],
            vec![
                "stored".into(),
                format!(
                    "{} as {} of {}",
                    letter.stored_at, letter.sequence, letter.stream
                ),
            ],
            vec!["headers".into(), headers.join("\n")],
            vec!["body".into(), body_text(letter)],
        ])
    })
}

fn body_text(letter: &DeadLetter) -> String {
    match letter.body.bytes() {
        Some(bytes) => String::from_utf8_lossy(&bytes).escape_debug().to_string(),
        None => "too large, only its start is kept".into(),
    }
}

async fn get(bus: &Bus, number: u64) -> anyhow::Result<Kept> {
    dead::get(bus, number)
        .await?
        .with_context(|| format!("there is no dead letter {number}: `racktick dlq list` shows all"))
}

async fn chosen(which: &Which, bus: &Bus) -> anyhow::Result<Vec<Kept>> {
    if which.all {
        return Ok(dead::list(bus).await?);
    }
    let mut chosen = Vec::new();
    for number in &which.numbers {
        chosen.push(get(bus, *number).await?);
    }
    Ok(chosen)
}

async fn drop(which: &Which, app: &App, bus: &Bus) -> anyhow::Result<()> {
    let (ledger, person) = (app.ledger(bus.clone()), which.person());
    let mut dropped = Vec::new();
    for kept in chosen(which, bus).await? {
        if ledger.drop_letter(&kept, &person).await? {
            dropped.push(kept.sequence);
        }
    }
    output::say(format!("{} dead letters dropped", dropped.len()));
    app.output.print_json(&json!({"dropped": dropped}))
}

async fn replay(which: &Which, app: &App, bus: &Bus) -> anyhow::Result<Exit> {
    let (ledger, person) = (app.ledger(bus.clone()), which.person());
    let (mut replayed, mut kept_back) = (Vec::new(), Vec::new());
    for kept in chosen(which, bus).await? {
        match ledger.replay(&kept, &person).await? {
            Replayed::Done(caution) => {
                if let Some(caution) = caution {
                    output::say(format!("dead letter {} {caution}", kept.sequence));
                }
                replayed.push(kept.sequence);
            }
            Replayed::Stays(why) => {
                output::say(format!("dead letter {} stays: {why}", kept.sequence));
                kept_back.push(kept.sequence);
            }
        }
    }
    output::say(format!("{} dead letters replayed", replayed.len()));
    app.output
        .print_json(&json!({"replayed": replayed, "kept": kept_back}))?;
    Ok(if kept_back.is_empty() {
        Exit::Ok
    } else {
        Exit::Failed
    })
}
