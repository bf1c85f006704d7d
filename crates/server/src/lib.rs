#![doc = include_str!("../README.md")]

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower_http::timeout::RequestBodyTimeoutLayer;

/// How long nobody is let in after somebody could not be, as when too many files are open.
const PAUSE: Duration = Duration::from_millis(50);

/// What one who asks may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many connections there are at once. Whoever comes then waits.
    pub connections: usize,
    /// How long the head of a request may take to come, the first as well as the next on the same connection.
    pub head: Duration,
    /// How long a request's body may stop coming, and an answer stop being taken.
    pub stall: Duration,
    /// At the end, how long what is being answered may take.
    pub end: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Half of the files that a process may have open where nobody says more.
            connections: 512,
            // Whoever asks every minute keeps the connection.
            head: Duration::from_secs(75),
            stall: Duration::from_secs(60),
            end: Duration::from_secs(10),
        }
    }
}

/// Answers requests on `listener` until `shutdown` resolves, and until what was being answered then is out. A handler may
/// ask for the peer's address with [`ConnectInfo`].
///
/// When it is dropped, every connection is cut off.
pub async fn run(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let routes = routes.layer(RequestBodyTimeoutLayer::new(limits.stall));
    let room = Arc::new(Semaphore::new(limits.connections));
    let (ending, ended) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            (place, accepted) = accept(&listener, &room) => match accepted {
                Ok((stream, peer)) => {
                    let (routes, mut ended) = (routes.clone(), ended.clone());
                    connections.spawn(async move {
                        // Whoever says so is gone when everything is.
                        let ended = async { drop(ended.wait_for(|ended| *ended).await) };
                        connection(stream, peer, routes, limits, ended).await;
                        drop(place);
                    });
                }
                // Too many open files, or a peer that left before we came: the next one may do better.
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    ending.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.end, all).await.is_err() {
        let left = connections.len();
        tracing::warn!("{left} connections were cut off: their answers were not taken in time");
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (OwnedSemaphorePermit, io::Result<(TcpStream, SocketAddr)>) {
    let place = Arc::clone(room).acquire_owned().await;
    let place = place.expect("nobody closes it");
    (place, listener.accept().await)
}

/// Answers one peer's requests, one after the other.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Router,
    limits: Limits,
    ended: impl Future<Output = ()>,
) {
    if let Err(error) = prepare(&stream, limits) {
        // Gone already, most likely.
        tracing::debug!(%peer, %error, "a connection could not be prepared");
    }
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<_>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        routes.call(request)
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head);
    let mut serving = pin!(server.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = ended => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

fn prepare(stream: &TcpStream, limits: Limits) -> io::Result<()> {
    // A short update must not wait until the one before it has arrived.
    stream.set_nodelay(true)?;
    // The kernel sees whether the peer takes anything; where it cannot be told, a peer that takes nothing is kept.
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(limits.stall))?;
    #[cfg(not(target_os = "linux"))]
    let _ = (SockRef::from(stream), limits);
    Ok(())
}

#[cfg(test)]
mod tests;
