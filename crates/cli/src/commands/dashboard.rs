//! `racktick dashboard`: the history, and the pages and the API that show it.

use std::net::SocketAddr;
use std::pin::pin;

use anyhow::{Context, bail};
use clap::Args;
use dashboard::broker::{self, BrokerView};
use dashboard::follow::{Progress, follow};
use dashboard::history::{History, Retention};
use dashboard::schedules::{self, Schedules};
use dashboard::web::{self, Links, Site};
use ledger::Ledger;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::app::{App, shutdown, unless};
use crate::config::Key;
use crate::output;
use crate::service;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where pages and API are served, such as `127.0.0.1:8000`; port 0 is any [env: RACKTICK_DASHBOARD_LISTEN]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The history file [env: RACKTICK_DASHBOARD_HISTORY]
    #[arg(long, value_name = "FILE")]
    history: Option<String>,
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

pub(crate) async fn run(app: &App) -> anyhow::Result<()> {
    let mut shutdown = pin!(shutdown()?);
    let settings = &app.config.dashboard;
    app.config.may_be_read_by_all()?;
    let listener = listen(settings.listen).await?;
    let (history, writer) = History::open(&settings.history)?;
    let Some(bus) = unless(shutdown.as_mut(), app.role_bus("dashboard")).await else {
        return Ok(());
    };
    let bus = bus?;
    let (progress, seen) = watch::channel(Progress::default());
    let (racks, schedules) = watch::channel(Schedules::default());
    let (standing, broker_view) = watch::channel(BrokerView::default());
    let links = Links {
        testflinger: Some(app.config.testflinger.server.to_string()),
    };
    let site = Site::new(history, seen, schedules, broker_view, links);
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
    tracing::info!(%address, "the dashboard is at work");
    let _at_work = service::at_work();
    let ledger = Ledger::new(bus.clone());
    let retention = Retention::of(settings.keep);
    let mut following = pin!(follow(&bus, writer, retention, progress, until()));
    let mut serving = pin!(web::serve(site, listener, until()));
    let mut reading = pin!(async {
        tokio::join!(
            schedules::follow(&ledger, &racks),
            broker::follow(&bus, &standing)
        )
    });
    let early = tokio::select! {
        () = shutdown => None,
        ended = &mut following => Some(ended.context("following events ended")),
        ended = &mut serving => Some(ended.context("serving ended")),
        (never, _) = &mut reading => match never {},
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
