//! Answers that are sent compressed, to those that take it: a fleet is the same words thousands of times.

use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// What is smaller fits into a packet or two anyway, in bytes.
const WORTH_IT: u16 = 2048;

/// An answer with this extension holds what its visitor alone may know. Beside words that somebody else chose, which
/// an address can hold, its size would tell it bit by bit when it is compressed (BREACH).
#[derive(Clone)]
pub(super) struct Private;

/// Live updates are left as they are: each has to be out at once.
pub(super) fn layer() -> CompressionLayer<impl Predicate> {
    let is_public = |_: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions| {
        extensions.get::<Private>().is_none()
    };
    let worth_it = SizeAbove::new(WORTH_IT).and(NotForContentType::SSE);
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(worth_it.and(is_public))
}
