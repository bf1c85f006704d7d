//! What went wrong: RFC 9457 for programs, a page for people.

use axum::Extension;
use axum::extract::Request;
use axum::http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, VARY,
};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asked::repeated;
use super::pages;
use crate::history::HistoryError;

/// An answer of `application/problem+json`, or of a page that says the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(super) struct Problem {
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong, and what to do.
    detail: String,
    /// Where whoever reads it as a page goes on, when an action was not done; everybody else goes to the front page.
    #[serde(skip)]
    back: Option<String>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            back: None,
        }
    }

    /// An action that was not done.
    pub(super) fn refused(status: StatusCode, detail: impl Into<String>, back: &str) -> Self {
        Self::new(status, detail).going_back(back)
    }

    /// The same of a form that could not even be read.
    pub(super) fn going_back(self, back: &str) -> Self {
        Self {
            back: Some(back.to_owned()),
            ..self
        }
    }

    /// What an answer says by its status alone.
    fn of_status(answer: &Response, method: &Method, path: &str) -> Self {
        let status = answer.status();
        let path = repeated(path);
        let allowed = answer
            .headers()
            .get(ALLOW)
            .and_then(|all| all.to_str().ok());
        Self::new(
            status,
            match (status, allowed) {
                (StatusCode::NOT_FOUND, _) => format!("there is nothing at {path}"),
                (StatusCode::METHOD_NOT_ALLOWED, Some(all)) => {
                    format!(
                        "{path} does not take {method}: it takes {}",
                        all.replace(',', ", ")
                    )
                }
                _ => format!("{path} cannot be answered"),
            },
        )
    }

    /// What is wrong, and what to do.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// Where to go on.
    pub(super) fn back(&self) -> Option<&str> {
        self.back.as_deref()
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
        (self.status(), Extension(self)).into_response()
    }
}

/// Gives what went wrong its form: a page for people, and JSON for programs. Whatever answers says a [`Problem`] at most,
/// and an answer that says nothing but its status is told in words.
pub(super) async fn negotiate(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let is_for_people = !is_for_programs(&path) && !wants_json(request.headers());
    let mut answer = next.run(request).await;
    let is_page = answer.headers().get(CONTENT_TYPE).is_some_and(is_html);
    let status = answer.status();
    let problem = match answer.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if is_page || !(status.is_client_error() || status.is_server_error()) => {
            return answer;
        }
        None => Problem::of_status(&answer, &method, &path),
    };
    let (kind, text) = match (is_for_people, is_page) {
        (true, true) => (None, None),
        (true, false) => (
            Some("text/html; charset=utf-8"),
            Some(pages::of_problem(&problem)),
        ),
        (false, _) => (
            Some("application/problem+json"),
            serde_json::to_string(&problem).ok(),
        ),
    };
    if let Some(text) = text {
        *answer.body_mut() = text.into();
    }
    let headers = answer.headers_mut();
    if let Some(kind) = kind {
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    headers.insert(VARY, ACCEPT.into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn is_html(kind: &HeaderValue) -> bool {
    kind.as_bytes().starts_with(b"text/html")
}

/// Whether only programs ask at this address.
fn is_for_programs(path: &str) -> bool {
    let first = path.split('/').nth(1);
    matches!(first, Some("api" | "metrics" | "healthz" | "readyz"))
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
