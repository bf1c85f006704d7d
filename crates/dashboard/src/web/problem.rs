//! What went wrong, for programs: RFC 9457.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
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
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text = serde_json::to_string(&self).unwrap_or_default();
        (status, [(CONTENT_TYPE, "application/problem+json")], text).into_response()
    }
}
