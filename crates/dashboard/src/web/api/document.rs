//! The API, described for programs: OpenAPI 3.1, made from the routes and from the types of their answers.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::super::etag;
use super::super::problem::Problem;

/// What is said once for all routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "racktick",
        description = "What the dashboard shows. Lists are read piece by piece with `after`; every answer has an ETag."
    ),
    components(schemas(Problem)),
    servers((url = "/api/v1")),
    security(("token" = []), ()),
    modifiers(&Token)
)]
pub(super) struct Said;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let mut token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        token.description = Some(
            "What `racktick dashboard token add` printed. Needless where everybody may read."
                .to_owned(),
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
    }
}

/// How any question may end.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is here to be described")]
pub(super) enum Otherwise {
    /// What is asked for makes no sense.
    #[response(status = 400, content_type = "application/problem+json")]
    Senseless(Problem),
    /// Whoever asks is not let in.
    #[response(status = 401, content_type = "application/problem+json")]
    ShutOut(Problem),
    /// It cannot be answered; the dashboard's log says why.
    #[response(status = 500, content_type = "application/problem+json")]
    OutOfOrder(Problem),
}

/// The same for a view, which has a tag.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is here to be described")]
pub(super) enum Same {
    /// The client has it already.
    #[response(status = 304)]
    NotModified,
}

/// The same for one thing.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is here to be described")]
pub(super) enum Unknown {
    /// No event has told of it, or it is older than what is kept.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
}

/// The same for what the broker holds.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it is here to be described")]
pub(super) enum NotNow {
    /// The broker cannot be asked now.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut document = super::described().split_for_parts().1;
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document
        .to_pretty_json()
        .expect("a document holds only text, lists and maps by text")
});

/// This document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, body = Object, description = "OpenAPI 3.1"), Same, Otherwise))]
pub(super) async fn document() -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (ETAG, etag::strong(&TEXT)),
    ];
    (headers, TEXT.as_str()).into_response()
}
