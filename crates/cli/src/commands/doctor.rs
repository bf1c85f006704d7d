//! `racktick doctor`: looks at everything that racktick stands on, and says what is wrong and what to do.

mod broker;
mod nodes;
mod racks;
mod remotes;
mod replicas;

use std::fmt;

use clap::Args;
use jiff::SignedDuration;
use ledger::Ledger;
use model::name::RackName;
use serde::Serialize;

use crate::app::App;
use crate::exit::Exit;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Look at these racks' tags, too, besides the racks that were added
    racks: Vec<RackName>,
    /// Look at the broker alone; a container's health check
    #[arg(long, conflicts_with = "racks")]
    broker_only: bool,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    /// As it should be.
    Ok,
    /// Works, and somebody should look at it.
    Look,
    /// Does not work.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    what: String,
    health: Health,
    says: String,
}

/// Everything found so far.
#[derive(Default)]
struct Findings(Vec<Check>);

impl Findings {
    fn ok(&mut self, what: impl fmt::Display, says: impl fmt::Display) {
        self.add(what, Health::Ok, says);
    }

    fn look(&mut self, what: impl fmt::Display, says: impl fmt::Display) {
        self.add(what, Health::Look, says);
    }

    fn wrong(&mut self, what: impl fmt::Display, says: impl fmt::Display) {
        self.add(what, Health::Wrong, says);
    }

    fn add(&mut self, what: impl fmt::Display, health: Health, says: impl fmt::Display) {
        self.0.push(Check {
            what: what.to_string(),
            health,
            says: says.to_string(),
        });
    }

    /// A clock that is off spoils signatures, slots and deadlines.
    fn clock(&mut self, whose: &str, offset: Option<SignedDuration>) {
        /// MAAS refuses a signature that is five minutes off; half a minute says that nobody keeps the clock.
        const LOOK: SignedDuration = SignedDuration::from_secs(30);
        const WRONG: SignedDuration = SignedDuration::from_secs(240);
        let what = format!("{whose} clock");
        let Some(offset) = offset else {
            return self.look(what, "it does not say what time it is");
        };
        // Servers say the time to the second.
        let offset = SignedDuration::from_secs(offset.as_secs());
        let says = match offset.as_secs() {
            0 => "agrees with ours".to_owned(),
            1.. => format!("{:#} ahead of ours", offset),
            _ => format!("{:#} behind ours", offset.abs()),
        };
        match offset.abs() {
            off if off >= WRONG => self.wrong(what, format!("{says}: set the clocks by NTP")),
            off if off >= LOOK => self.look(what, format!("{says}: set the clocks by NTP")),
            _ => self.ok(what, says),
        }
    }
}

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<Exit> {
    let mut findings = Findings::default();
    let ledger = broker::check(app, arguments.broker_only, &mut findings)
        .await
        .map(Ledger::new);
    if !arguments.broker_only {
        let maas = remotes::maas(app, &mut findings).await;
        let testflinger = remotes::testflinger(app, &mut findings).await;
        if let (Some(maas), Some(testflinger)) = (&maas, &testflinger) {
            racks::check(
                arguments,
                app,
                ledger.as_ref(),
                maas,
                testflinger,
                &mut findings,
            )
            .await;
        }
    }
    app.output.print(&findings.0, |checks| {
        let rows = checks.iter().flat_map(|check| {
            let health = match check.health {
                Health::Ok => "ok",
                Health::Look => "look",
                Health::Wrong => "WRONG",
            };
            // Several reasons are said one below the other.
            let heads =
                std::iter::once((check.what.as_str(), health)).chain(std::iter::repeat(("", "")));
            heads
                .zip(check.says.lines())
                .map(|((what, health), says)| vec![what, health, says])
        });
        output::table(&["what", "", "says"], rows)
    })?;
    let is_wrong = findings.0.iter().any(|check| check.health == Health::Wrong);
    Ok(if is_wrong { Exit::Failed } else { Exit::Ok })
}
