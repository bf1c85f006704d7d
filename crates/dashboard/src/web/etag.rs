//! What a client has already is not sent again: answers carry a tag of what they say.

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use sha2::{Digest, Sha256};

use super::pieces::Written;

/// How many bytes of a hash make a tag. Nobody gains from two answers with one tag.
const BYTES: usize = 15;

/// The tag of an answer that is the same to the byte.
pub(super) fn strong(text: &str) -> HeaderValue {
    tag("", Sha256::new_with_prefix(text))
}

/// The tag of an answer that says the same as this.
pub(super) fn weak(said: &Written) -> HeaderValue {
    let mut hash = Sha256::new();
    for piece in said.pieces() {
        hash.update(piece);
    }
    tag("W/", hash)
}

fn tag(weak: &str, hash: Sha256) -> HeaderValue {
    let hash = BASE64_URL_SAFE_NO_PAD.encode(&hash.finalize()[..BYTES]);
    HeaderValue::try_from(format!("{weak}\"{hash}\"")).expect("base64 is text for a header")
}

/// Answers 304 without a body where the tag is one that the client has.
pub(super) async fn conditional(request: Request, next: Next) -> Response {
    let has: Option<IfNoneMatch> = request.headers().typed_get();
    let mut answer = next.run(request).await;
    let (Some(has), StatusCode::OK) = (has, answer.status()) else {
        return answer;
    };
    let tag: Option<ETag> = answer.headers().typed_get();
    if tag.is_some_and(|tag| !has.precondition_passes(&tag)) {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        *answer.body_mut() = Body::empty();
        answer.headers_mut().remove(CONTENT_TYPE);
        answer.headers_mut().remove(CONTENT_LENGTH);
    }
    answer
}
