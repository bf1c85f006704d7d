//! Pages, their live updates, and the API, over HTTP.

mod access;
mod actions;
mod api;
mod asked;
mod assets;
mod compression;
mod etag;
mod guard;
mod live;
mod metrics;
mod pages;
mod pieces;
mod problem;
mod proxy;
mod site;
mod stand;
mod turns;

use std::future::Future;
use std::io;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use server::Limits;
use tokio::net::TcpListener;
use tokio::sync::watch;

use guard::Hosts;

pub use access::Access;
pub use axum::http::HeaderName;
pub use ipnet::IpNet;
pub use proxy::{Proxy, ProxyError};
pub use site::{Site, Sources};

/// Answers requests on `listener` until `shutdown` resolves. Live updates end then, too: a page that is left open must
/// not keep the process.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(
    site: Site,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (ending, ended) = watch::channel(false);
    let site = site.until(ended);
    let hosts = Hosts {
        is_loopback: listener.local_addr()?.ip().is_loopback(),
        names: site.access().hosts.as_slice().into(),
    };
    let pages = Router::new()
        .route("/", get(pages::fleet::answer))
        .route("/racks/{rack}", get(pages::rack::answer))
        .route("/cycles/{cycle}", get(pages::cycle::answer))
        .route("/machines/{machine}", get(pages::machine::answer))
        .route("/jobs/{job}", get(pages::job::answer))
        .route("/trends", get(pages::trends::answer))
        .route("/now", get(pages::now::answer))
        .route("/system", get(pages::system::answer))
        .route("/access", get(pages::access::answer))
        .merge(actions::routes())
        .nest("/api/v1", api::routes())
        .route("/metrics", get(metrics::answer))
        .fallback(pages::unknown)
        .layer(from_fn_with_state(site.clone(), access::check))
        .route("/login", get(access::ask).post(access::sign_in))
        .route("/logout", post(access::sign_out))
        .route("/assets/{name}", get(assets::answer))
        .layer(from_fn(etag::conditional))
        .layer(from_fn_with_state(hosts, guard::hosts))
        // Probes call it by its address.
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(Site::ready))
        .layer(DefaultBodyLimit::max(asked::LONGEST_FORM))
        .with_state(site);
    // Around all of them, where an answer says already which methods an address takes.
    let whole = Router::new()
        .fallback_service(pages)
        .layer(from_fn(problem::negotiate))
        .layer(compression::layer())
        .layer(from_fn(guard::headers));
    let shutdown = async move {
        shutdown.await;
        ending.send_replace(true);
    };
    server::run(listener, whole, Limits::default(), shutdown).await;
    Ok(())
}
