//! `racktick events`: what happened, as `nats sub` would print it.

use std::time::Duration;

use bus::{Bus, BusError, Start, Stored};
use clap::Args;
use jiff::Timestamp;
use model::name::RackName;
use model::subject::{filter, stream};
use serde_json::{Value, json};

use crate::app::{App, shutdown};
use crate::config;
use crate::{output, plain};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Of one rack only
    #[arg(long)]
    rack: Option<RackName>,
    /// Begin this long ago; without it with the oldest, or with the next when following
    #[arg(long, value_name = "TIME", value_parser = config::duration)]
    since: Option<Duration>,
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
}

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<()> {
    let bus = app.bus().await?;
    let filter = match &arguments.rack {
        Some(rack) => filter::events_of(rack),
        None => filter::EVENTS.to_owned(),
    };
    let start = match arguments.since {
        Some(since) => Start::Since(
            Timestamp::now()
                .checked_sub(since)
                .unwrap_or(Timestamp::MIN),
        ),
        None if arguments.follow => Start::New,
        None => Start::All,
    };
    let mut reader = match bus.read(stream::EVENTS, &filter, start).await {
        Err(BusError::Denied { .. }) if start == Start::New => {
            return listen(&bus, &filter, app).await;
        }
        reader => reader?,
    };
    if !arguments.follow {
        while let Some(event) = reader.next_stored().await? {
            print_stored(app, &event)?;
        }
        return Ok(());
    }
    let shutdown = shutdown()?;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            event = reader.next() => print_stored(app, &event?)?,
        }
    }
}

/// For whoever may hear events and not read those that are stored: an observer.
async fn listen(bus: &Bus, filter: &str, app: &App) -> anyhow::Result<()> {
    let mut listener = bus.listen(filter).await?;
    output::say("events as they happen: this key may not read those that are stored");
    let shutdown = shutdown()?;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            event = listener.next() => {
                let event = event?;
                print(app, &event.subject, &event.body, None)?;
            }
        }
    }
}

fn print_stored(app: &App, event: &Stored) -> anyhow::Result<()> {
    print(app, &event.subject, &event.body, Some(event.sequence))
}

/// An event without a number is not read from the stream.
fn print(app: &App, subject: &str, body: &[u8], sequence: Option<u64>) -> anyhow::Result<()> {
    let body = String::from_utf8_lossy(body);
    if app.output.is_json() {
        let body: Value = serde_json::from_str(&body).unwrap_or_else(|_| body.into());
        // One line each: whoever reads this reads line by line.
        let line = json!({"subject": subject, "sequence": sequence, "event": body});
        return output::line(&line.to_string());
    }
    let number = sequence.map_or_else(String::new, |number| format!("[#{number}] "));
    // A body of racktick's is one line. Somebody else's must not look like two events.
    output::line(&format!(
        "{number}Received on \"{}\"\n{}\n",
        plain::line(subject),
        plain::line(&body)
    ))
}
