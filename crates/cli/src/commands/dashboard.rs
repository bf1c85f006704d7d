//! `racktick dashboard`: the history, and the pages and the API that show it.

use std::net::SocketAddr;
use std::pin::pin;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use dashboard::broker::{self, BrokerView};
use dashboard::claims::{self, Claims};
use dashboard::follow::{Progress, follow};
use dashboard::history::{History, Retention};
use dashboard::schedules::{self, Schedules};
use dashboard::tokens::{Role, Tokens};
use dashboard::web::{self, Access, Site, Sources};
use jiff::Timestamp;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::app::{App, shutdown, unless};
use crate::config::Key;
use crate::{living, output, service};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Where pages and API are served, such as `127.0.0.1:8000`; port 0 is any [env: RACKTICK_DASHBOARD_LISTEN]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The history file [env: RACKTICK_DASHBOARD_HISTORY]
    #[arg(long, value_name = "FILE")]
    history: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Who may sign in: add, list, remove
    #[command(subcommand)]
    Token(Token),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token for a person or a program; it is printed once, and only its hash is kept
    Add {
        /// Who it is for
        name: String,
        /// What they may do: `viewer` reads; `operator` ticks, pauses and resumes racks, cancels jobs and replays dead letters, too; `admin` drops dead letters and says who may sign in, too
        #[arg(long, value_name = "ROLE", default_value = "viewer")]
        role: Role,
    },
    /// List who may sign in
    List,
    /// Take a token away; its holder is out at once
    Remove {
        /// Whose
        name: String,
    },
}

impl Arguments {
    /// The settings that the flags give.
    pub(crate) fn flags(&self) -> Vec<(Key, String, &'static str)> {
        [
            (Key::DashboardListen, &self.listen, "--listen"),
            (Key::DashboardHistory, &self.history, "--history"),
        ]
        .into_iter()
        .filter_map(|(key, value, flag)| Some((key, value.clone()?, flag)))
        .collect()
    }
}

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<()> {
    match &arguments.command {
        None => serve(app).await,
        Some(Command::Token(command)) => token(command, app),
    }
}

fn token(command: &Token, app: &App) -> anyhow::Result<()> {
    let tokens = Tokens::at(&app.config.dashboard.tokens);
    match command {
        Token::Add { name, role } => {
            let token = tokens.add(name, *role, Timestamp::now())?;
            output::say(format!(
                "this is the token of {name}, and it is not shown again; its hash is in {}",
                tokens.path().display()
            ));
            let shown = json!({"name": name, "role": role, "token": token});
            app.output.print(&shown, |_| token.clone())
        }
        Token::List => {
            let holders = tokens.holders()?;
            let lines: Vec<_> = holders
                .iter()
                .map(|holder| json!({"name": holder.name, "role": holder.role, "added_at": holder.added_at}))
                .collect();
            app.output.print(&lines, |_| {
                let rows = holders.iter().map(|holder| {
                    let role = holder.role.name().to_owned();
                    vec![holder.name.clone(), role, output::time(holder.added_at)]
                });
                output::table(&["name", "role", "added at"], rows)
            })
        }
        Token::Remove { name } => {
            tokens.remove(name)?;
            output::say(format!("{name} cannot sign in any more"));
            app.output.print_json(&json!({"removed": name}))
        }
    }
}

async fn serve(app: &App) -> anyhow::Result<()> {
    let shutdown = pin!(shutdown()?);
    let settings = &app.config.dashboard;
    let listener = listen(settings.listen).await?;
    let _alone = History::alone(&settings.history)?;
    let (history, writer) = History::open(&settings.history)?;
    let (reached, ledger) = watch::channel(None);
    let (progress, seen) = watch::channel(Progress::default());
    let (racks, schedules) = watch::channel(Schedules::default());
    let (standing, broker_view) = watch::channel(BrokerView::default());
    let (claimed, claims) = watch::channel(Claims::default());
    let access = Access {
        tokens: Tokens::at(&settings.tokens),
        public_read: settings.public_read,
        proxy: settings.proxy.clone(),
        hosts: settings.hosts.clone(),
    };
    let sources = Sources {
        history,
        progress: seen,
        schedules,
        broker: broker_view,
        claims,
        ledger,
        testflinger: app.config.testflinger.server.as_str().into(),
        maas: app.config.maas.url.as_ref().map(|url| url.site().into()),
    };
    let site = Site::new(sources, access);
    let (ending, ended) = watch::channel(false);
    let until = || {
        let mut ended = ended.clone();
        async move {
            // Whoever says so is this very function.
            let _ = ended.wait_for(|ended| *ended).await;
        }
    };
    let address = listener.local_addr()?;
    output::line(&format!("http://{address}"))?;
    let _at_work = service::at_work();
    let mut serving = pin!(web::serve(site, listener, until()));
    // What the file knows is shown also while the broker is away.
    let mut following = pin!(async {
        let Some(bus) = unless(pin!(until()), app.role_bus_some_day("dashboard")).await else {
            return Ok(());
        };
        let bus = bus?;
        let ledger = app.ledger(bus.clone());
        reached.send_replace(Some(ledger.clone()));
        let _announced = living::announce(&bus, living::DASHBOARD, None, Vec::new).await?;
        tracing::info!(%address, "the dashboard is at work");
        let reading = async {
            tokio::join!(
                schedules::follow(&ledger, &racks),
                broker::follow(&bus, &standing),
                claims::follow(&ledger, &claimed)
            )
        };
        let retention = Retention::of(settings.keep);
        tokio::select! {
            ended = follow(&bus, writer, retention, progress, until()) => ended.context("following events ended"),
            (never, _, _) = reading => match never {},
        }
    });
    let early = tokio::select! {
        () = shutdown => None,
        ended = &mut following => Some(ended),
        ended = &mut serving => Some(ended.context("serving ended")),
    };
    if let Some(early) = early {
        early?;
        bail!("the dashboard ended by itself");
    }
    ending.send_replace(true);
    let (followed, served) = tokio::join!(following, serving);
    followed?;
    served?;
    tracing::info!("the dashboard has ended");
    Ok(())
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| {
        format!("the dashboard cannot listen on {address}: choose another address with --listen")
    })
}
