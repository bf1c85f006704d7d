//! Metrics and health of a role, on an address of their own, where one is set.

use std::future::pending;
use std::net::SocketAddr;

use anyhow::Context;
use bus::Bus;
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The version that metrics and the broker are told.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Answers until it is dropped.
#[must_use = "the answers end with it"]
pub(crate) struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens where the setting says, if it says anything. A role that cannot does not begin: whoever asked for metrics
/// would look for them in vain.
pub(crate) async fn listen(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = address else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!(
            "metrics cannot be served on {address}: set RACKTICK_METRICS_LISTEN to another address, or to none; \
             every process of a machine needs its own"
        )
    })?;
    Ok(Some(listener))
}

/// Answers beside the role's work.
pub(crate) fn serve(listener: TcpListener, metrics: Metrics, bus: Bus) -> anyhow::Result<Serving> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "metrics are served");
    let serving = telemetry::serve(metrics, bus, listener, pending());
    Ok(Serving(tokio::spawn(serving)))
}
