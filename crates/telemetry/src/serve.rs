//! Metrics and health over HTTP.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bus::Bus;
use server::Limits;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// The format of [`Metrics::text`].
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers `/metrics`, `/healthz` and `/readyz` until `shutdown` resolves. Alive is whoever answers; ready is whoever is
/// connected to the broker.
pub async fn serve(
    metrics: Metrics,
    bus: Bus,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) {
    let routes = Router::new()
        .route("/metrics", get(answer))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state((Arc::new(metrics), bus));
    server::run(listener, routes, Limits::default(), shutdown).await;
}

async fn answer(State((metrics, bus)): State<(Arc<Metrics>, Bus)>) -> Response {
    match metrics.text(&bus) {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn ready(State((_, bus)): State<(Arc<Metrics>, Bus)>) -> Response {
    match bus.is_connected() {
        true => "ok\n".into_response(),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not connected to the broker\n",
        )
            .into_response(),
    }
}
