//! What went wrong, for programs: RFC 9457.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::history::HistoryError;

/// An answer of `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(super) struct Problem {
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong, and what to do.
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The history cannot be read.
    pub(super) fn broken(error: &HistoryError) -> Self {
        Self::out_of_order(error)
    }

    /// The same with whatever error that led to. The log says more than a stranger should see.
    pub(super) fn out_of_order(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a question was not answered");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the history file cannot be read: the dashboard's log says why",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let text = serde_json::to_string(&self).unwrap_or_default();
        (
            self.status(),
            [(CONTENT_TYPE, "application/problem+json")],
            text,
        )
            .into_response()
    }
}

/// Answers the problem itself where a page for people would tell of it and the request asked for JSON.
pub(super) async fn negotiate(request: Request, next: Next) -> Response {
    let wants_json = wants_json(request.headers());
    let mut answer = next.run(request).await;
    let Some(problem) = answer.extensions_mut().remove::<Problem>() else {
        return answer;
    };
    if wants_json {
        answer = problem.into_response();
    }
    let headers = answer.headers_mut();
    headers.insert(VARY, ACCEPT.into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Whether JSON is asked for and no page, as every browser does.
fn wants_json(headers: &HeaderMap) -> bool {
    let kinds: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|kind| kind.split(';').next())
        .map(str::trim)
        .collect();
    let asks = |wanted: &str| kinds.iter().any(|kind| kind.eq_ignore_ascii_case(wanted));
    (asks("application/json") || asks("application/problem+json")) && !asks("text/html")
}
