//! Every role announces itself at the broker, so that `nats micro ls` and the dashboard know who is there.

use std::collections::BTreeMap;

use bus::Bus;
use bus::service::{Announced, Endpoint, Service};

use crate::metrics::VERSION;
use crate::person;

/// What a role is called there, and what it does.
pub(crate) type Kind = (&'static str, &'static str);

pub(crate) const WORKER: Kind = (
    "racktick-worker",
    "Takes ticks, submits jobs, watches them to their verdicts",
);
pub(crate) const SCHEDULER: Kind = (
    "racktick-scheduler",
    "Arms the slots of the racks, and brings back what fell out",
);
pub(crate) const DASHBOARD: Kind = (
    "racktick-dashboard",
    "Serves pages and an API that show the fleet",
);

/// Announces this process with its host and process id, and the name that it has in claims and dead letters, if any.
pub(crate) async fn announce(
    bus: &Bus,
    (name, description): Kind,
    own_name: Option<&str>,
    endpoints: impl Fn() -> Vec<Endpoint> + Send + Sync + 'static,
) -> anyhow::Result<Announced> {
    let mut metadata = BTreeMap::from([
        ("host".to_owned(), person::host()),
        ("pid".to_owned(), std::process::id().to_string()),
    ]);
    if let Some(own_name) = own_name {
        metadata.insert("name".to_owned(), own_name.to_owned());
    }
    let service = Service {
        name,
        version: VERSION,
        description,
        metadata,
    };
    Ok(bus.announce(service, endpoints).await?)
}
