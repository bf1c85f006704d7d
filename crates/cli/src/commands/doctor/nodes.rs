//! What the servers say at their monitoring ports: clients are not told how a server writes to its disk.

use std::time::Duration;

use serde::Deserialize;

use super::replicas::Sync;
use crate::app::App;

/// The port of the shipped configuration, for servers whose monitoring nobody named.
const PORT: u16 = 8222;
/// Monitoring is near or not to be had.
const WAIT: Duration = Duration::from_secs(2);
/// Far more than a server says of itself.
const LONGEST: usize = 1024 * 1024;

/// A server of the broker.
pub(super) struct Node {
    /// Its name, or where it was looked for.
    pub(super) name: String,
    /// How it writes to its disk.
    pub(super) sync: Sync,
    /// How many servers its cluster has; `None` when it has none, or does not say.
    pub(super) cluster_size: Option<u64>,
    /// What it says is wrong with it, as an error of its disk.
    pub(super) trouble: Option<String>,
}

#[derive(Deserialize)]
struct Varz {
    server_name: String,
    port: u16,
    #[serde(default)]
    jetstream: JetStream,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JetStream {
    config: Config,
    meta: Option<Meta>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    sync_always: bool,
    /// In nanoseconds.
    sync_interval: u64,
}

/// Nothing is wrong, unless there is an error.
#[derive(Deserialize)]
struct Healthz {
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    cluster_size: u64,
}

/// Where to look: the server's own address is known for one that was guessed.
struct Place {
    host: String,
    url: String,
    /// A guess counts only if the server that answers has the right port for clients.
    port: Option<u16>,
}

/// Asks every server that is named in the configuration.
pub(super) async fn look(app: &App) -> Vec<Node> {
    let looks = places(app).into_iter().map(|place| async move {
        let found = varz(&place.url)
            .await
            .filter(|varz| place.port.is_none_or(|port| port == varz.port));
        match found {
            None => Node {
                name: place.host,
                sync: Sync::Unknown,
                cluster_size: None,
                trouble: None,
            },
            Some(varz) => Node {
                name: varz.server_name,
                sync: match varz.jetstream.config {
                    Config {
                        sync_always: true, ..
                    } => Sync::Always,
                    Config {
                        sync_interval: 0, ..
                    } => Sync::Unknown,
                    Config { sync_interval, .. } => {
                        Sync::Every(Duration::from_nanos(sync_interval))
                    }
                },
                cluster_size: varz.jetstream.meta.map(|meta| meta.cluster_size),
                trouble: trouble(&place.url).await,
            },
        }
    });
    futures_util::future::join_all(looks).await
}

fn places(app: &App) -> Vec<Place> {
    let nats = &app.config.nats;
    let list = |text: &str| -> Vec<String> {
        let parts = text.split(',').map(str::trim);
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    if let Some(monitoring) = &nats.monitoring {
        let named = list(monitoring).into_iter().map(|url| Place {
            host: url.clone(),
            url,
            port: None,
        });
        return named.collect();
    }
    let guessed = list(&nats.url.0).into_iter().filter_map(|address| {
        let address = match address.contains("://") {
            true => address,
            false => format!("nats://{address}"),
        };
        let url = reqwest::Url::parse(&address).ok()?;
        let host = url.host_str()?.to_owned();
        Some(Place {
            url: format!("http://{host}:{PORT}"),
            host,
            port: Some(url.port().unwrap_or(4222)),
        })
    });
    guessed.collect()
}

async fn varz(url: &str) -> Option<Varz> {
    serde_json::from_slice(&get(url, "varz").await?).ok()
}

async fn trouble(url: &str) -> Option<String> {
    let healthz: Healthz = serde_json::from_slice(&get(url, "healthz").await?).ok()?;
    healthz.error
}

/// Whatever its status: a server that is not well has one of its own.
async fn get(url: &str, page: &str) -> Option<Vec<u8>> {
    let client = reqwest::Client::builder()
        .timeout(WAIT)
        .no_proxy()
        .build()
        .ok()?;
    let url = format!("{}/{page}", url.trim_end_matches('/'));
    let mut answer = client.get(url).send().await.ok()?;
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.ok()? {
        body.extend_from_slice(&part);
        if body.len() > LONGEST {
            return None;
        }
    }
    Some(body)
}
