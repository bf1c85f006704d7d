//! `racktick dlq list|show|replay|drop`: messages that could not succeed.

use anyhow::Context;
use bus::dead::{self, Kept};
use bus::{Bus, BusError, Outgoing};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use model::cycle::Origin;
use model::dead::DeadLetter;
use model::name::RackName;
use model::subject::{Subject, filter, stream};
use model::task::{Place, Resume, Submit, Task, Tick, Watch};
use serde_json::json;

use crate::app::App;
use crate::exit::Exit;
use crate::{output, plain};

/// The header that says which armed message a message came out of.
const SCHEDULER: &str = "Nats-Scheduler";

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
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// Their numbers
    #[arg(value_name = "NUMBER")]
    numbers: Vec<u64>,
    /// All of them
    #[arg(long)]
    all: bool,
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
    let mut dropped = Vec::new();
    for kept in chosen(which, bus).await? {
        if dead::drop(bus, kept.sequence).await? {
            dropped.push(kept.sequence);
        }
    }
    output::say(format!("{} dead letters dropped", dropped.len()));
    app.output.print_json(&json!({"dropped": dropped}))
}

async fn replay(which: &Which, app: &App, bus: &Bus) -> anyhow::Result<Exit> {
    let (mut replayed, mut kept_back) = (Vec::new(), Vec::new());
    for kept in chosen(which, bus).await? {
        match again(&kept, Timestamp::now()) {
            Ok(Again { message, caution }) => {
                // The letter goes last: a crash in between leaves it there, and the id keeps a second replay from
                // being a second message.
                bus.publish(message).await?;
                dead::drop(bus, kept.sequence).await?;
                if let Some(caution) = caution {
                    output::say(format!("dead letter {} {caution}", kept.sequence));
                }
                replayed.push(kept.sequence);
            }
            Err(error) => {
                output::say(format!("dead letter {} stays: {error:#}", kept.sequence));
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

/// A dead letter's message, once more.
struct Again {
    message: Outgoing,
    /// What the person should know of it.
    caution: Option<String>,
}

/// The message that a dead letter was, once more. Whatever it is about keeps its identity.
fn again(kept: &Kept, now: Timestamp) -> anyhow::Result<Again> {
    let letter = &kept.letter;
    let mut caution = None;
    let body = letter
        .body
        .bytes()
        .context("its body was too large to be kept whole")?;
    let message = match letter.subject.parse::<Subject>()? {
        Subject::Tick => {
            let (tick, resume) = tick(kept, &body)?;
            let resume = match resume.origin {
                // A person wants it now. By the old time, it would be too late for that after an hour.
                Origin::Manual { .. } => Resume {
                    ticked_at: now,
                    ..resume
                },
                Origin::Slot { slot } => {
                    caution = Some(late(&tick.rack, slot));
                    resume
                }
            };
            let tick = Tick {
                resume: Some(resume),
                ..tick
            };
            ledger::outgoing(Subject::Tick, &tick)
        }
        subject @ Subject::Submit { .. } => {
            // There may have been attempts: whoever takes it asks Testflinger first.
            let submit = Submit {
                swept: true,
                ..Submit::parse(&body)?
            };
            ledger::outgoing(subject, &submit)
        }
        subject @ Subject::Watch { .. } => {
            // Somebody may have asked to cancel since: whoever takes it reads the claim.
            let watch = Watch {
                deadline: None,
                ..Watch::parse(&body)?
            };
            ledger::outgoing(subject, &watch)
        }
        other => anyhow::bail!("nobody takes messages on {other}"),
    };
    Ok(Again {
        message: message.with_id(format!("replay.{}.{}", kept.sequence, letter.at)),
        caution,
    })
}

/// What becomes of a slot's tick that comes too late, and what to do then.
fn late(rack: &RackName, slot: Timestamp) -> String {
    format!(
        "is the tick of rack {rack} for slot {slot}: past the slot's catch-up window it is reported missed and \
         deploys nothing (`racktick tick {rack}` starts a cycle now)"
    )
}

/// A tick, and under which cycle it goes on: the one it had.
fn tick(kept: &Kept, body: &[u8]) -> anyhow::Result<(Tick, Resume)> {
    let letter = &kept.letter;
    let mut tick = Tick::parse(body)?;
    if let Some(resume) = tick.resume.take() {
        anyhow::ensure!(
            tick.cycle_of(&resume) == Some(resume.cycle),
            "nothing in it shows that {} is a cycle of rack {}, so no worker would take it (`racktick tick {}` starts one)",
            resume.cycle,
            tick.rack,
            tick.rack
        );
        return Ok((tick, resume));
    }
    let scheduler = letter
        .headers
        .get(SCHEDULER)
        .and_then(|values| values.first())
        .map(|subject| subject.parse::<Subject>())
        .transpose()?;
    let place = kept.stream_created.map(|stream_created| Place {
        stream_created,
        sequence: letter.sequence,
        stored_at: letter.stored_at,
    });
    let resume = tick.first_attempt(scheduler.as_ref(), letter.stored_at, place)?;
    Ok((tick, resume))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::dead::Body;
    use model::id::CycleId;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn kept(subject: &str, body: &[u8], headers: &[(&str, &str)]) -> Kept {
        Kept {
            sequence: 7,
            stream_created: Some(time("2026-11-01T00:00:00Z")),
            letter: DeadLetter {
                v: DeadLetter::VERSION,
                subject: subject.into(),
                stream: "RACK".into(),
                sequence: 42,
                stored_at: time("2026-11-21T06:00:01Z"),
                headers: headers
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]))
                    .collect::<BTreeMap<_, _>>(),
                body: Body::of(body),
                reason: "tried too often".into(),
                attempts: 9,
                at: time("2026-11-21T07:00:00Z"),
                by: "w1".into(),
            },
        }
    }

    const NOW: &str = "2026-11-25T09:00:00Z";

    fn resumed(kept: &Kept) -> Resume {
        let body = again(kept, time(NOW)).unwrap().message.body;
        Tick::parse(&body).unwrap().resume.unwrap()
    }

    #[test]
    fn a_replayed_tick_keeps_its_cycle() {
        let rack = RackName::new("r7").unwrap();
        let slot = time("2026-11-21T06:00:00Z");
        let scheduled = resumed(&kept(
            "rack.tick",
            b"r7",
            &[(SCHEDULER, "rack.schedule.r7.20261121T060000Z")],
        ));
        assert_eq!(scheduled.cycle, CycleId::of_slot(&rack, slot));
        assert_eq!(scheduled.origin, Origin::Slot { slot });

        let manual = kept("rack.tick", b"r7\n", &[]);
        let (created, stored) = (time("2026-11-01T00:00:00Z"), time("2026-11-21T06:00:01Z"));
        assert_eq!(
            resumed(&manual).cycle,
            CycleId::of_message(&rack, created, 42, stored)
        );

        let before = resumed(&manual);
        let again = Tick {
            resume: Some(Resume {
                attempt: 5,
                ..before.clone()
            }),
            ..Tick::of(rack)
        };
        let body = serde_json::to_vec(&again).unwrap();
        assert_eq!(
            resumed(&kept("rack.tick", &body, &[])),
            Resume {
                attempt: 5,
                ..before
            }
        );
    }

    #[test]
    fn a_replayed_tick_keeps_its_nonce() {
        let rack = RackName::new("r7").unwrap();
        let nonce = uuid::Uuid::from_u128(7);
        let tick = Tick {
            nonce: Some(nonce),
            ..Tick::of(rack.clone())
        };
        let body = serde_json::to_vec(&tick).unwrap();
        let message = again(&kept("rack.tick", &body, &[]), time(NOW)).unwrap();
        let replayed = Tick::parse(&message.message.body).unwrap();
        let resume = replayed.resume.clone().unwrap();
        assert_eq!(resume.cycle, CycleId::of_request(&rack, nonce));
        assert_eq!(replayed.cycle_of(&resume), Some(resume.cycle));
    }

    #[test]
    fn a_tick_that_names_a_cycle_of_nowhere_is_not_replayed() {
        let rack = RackName::new("r7").unwrap();
        let tick = Tick {
            resume: Some(Resume {
                place: None,
                ..resumed(&kept("rack.tick", b"r7", &[]))
            }),
            ..Tick::of(rack)
        };
        let body = serde_json::to_vec(&tick).unwrap();
        let error = again(&kept("rack.tick", &body, &[]), time(NOW))
            .err()
            .unwrap();
        assert!(error.to_string().contains("racktick tick r7"), "{error}");
    }

    #[test]
    fn what_could_never_succeed_is_not_replayed() {
        for (subject, body) in [
            ("rack.tick", &b"r 7"[..]),
            ("task.submit.r7.m1", b"{}"),
            ("event.cycle.r7.started", b"{}"),
            ("elsewhere", b"r7"),
        ] {
            let kept = kept(subject, body, &[]);
            assert!(again(&kept, time(NOW)).is_err(), "{subject}");
        }
        let foreign = kept(
            "rack.tick",
            b"r7",
            &[(SCHEDULER, "rack.schedule.r8.20261121T060000Z")],
        );
        assert!(again(&foreign, time(NOW)).is_err());
    }

    #[test]
    fn a_manual_tick_is_replayed_as_of_now_and_a_slot_as_of_its_time_with_a_caution() {
        let manual = kept("rack.tick", b"r7", &[]);
        assert_eq!(resumed(&manual).ticked_at, time(NOW));
        assert!(again(&manual, time(NOW)).unwrap().caution.is_none());

        let published = Tick {
            resume: Some(Resume {
                ticked_at: time("2026-11-21T06:00:00Z"),
                ..resumed(&manual)
            }),
            ..Tick::of(RackName::new("r7").unwrap())
        };
        let body = serde_json::to_vec(&published).unwrap();
        assert_eq!(resumed(&kept("rack.tick", &body, &[])).ticked_at, time(NOW));

        let slot = kept(
            "rack.tick",
            b"r7",
            &[(SCHEDULER, "rack.schedule.r7.20261121T060000Z")],
        );
        assert_eq!(resumed(&slot).ticked_at, time("2026-11-21T06:00:01Z"));
        let caution = again(&slot, time(NOW)).unwrap().caution.unwrap();
        for wanted in ["slot 2026-11-21T06:00:00Z", "missed", "racktick tick r7"] {
            assert!(caution.contains(wanted), "{wanted} in {caution}");
        }
    }
}
