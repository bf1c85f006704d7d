//! `racktick events`: what happened, as `nats sub` would print it.

use std::time::Duration;

use bus::{Start, Stored};
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
    let mut reader = bus.read(stream::EVENTS, &filter, start).await?;
    if !arguments.follow {
        while let Some(event) = reader.next_stored().await? {
            print(app, &event)?;
        }
        return Ok(());
    }
    let shutdown = shutdown()?;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            event = reader.next() => print(app, &event?)?,
        }
    }
}

fn print(app: &App, event: &Stored) -> anyhow::Result<()> {
    let body = String::from_utf8_lossy(&event.body);
    if app.output.is_json() {
        let body: Value = serde_json::from_str(&body).unwrap_or_else(|_| body.into());
        // One line each: whoever reads this reads line by line.
        let line = json!({"subject": event.subject, "sequence": event.sequence, "event": body});
        return output::line(&line.to_string());
    }
    // A body of racktick's is one line. Somebody else's must not look like two events.
    output::line(&format!(
        "[#{}] Received on \"{}\"\n{}\n",
        event.sequence,
        plain::line(&event.subject),
        plain::line(&body)
    ))
}
