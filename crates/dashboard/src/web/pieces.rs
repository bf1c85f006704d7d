//! A long answer in pieces. In one piece it would be copied as it grows, and what the system's allocator gives out in
//! megabytes it keeps afterwards, per thread.

use std::convert::Infallible;
use std::{io, mem};

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

/// How long a piece is, in bytes.
const PIECE: usize = 64 * 1024;

/// What is being written, in the order in which it is.
#[derive(Default)]
pub(super) struct Pieces {
    whole: Vec<Bytes>,
    last: Vec<u8>,
}

/// What was written. Cheap to clone: copies share it.
#[derive(Debug, Clone)]
pub(super) struct Written(Vec<Bytes>);

impl Pieces {
    pub(super) fn finish(mut self) -> Written {
        self.go_on_in(Vec::new());
        Written(self.whole)
    }

    #[cold]
    fn go_on_in(&mut self, next: Vec<u8>) {
        let last = mem::replace(&mut self.last, next);
        if !last.is_empty() {
            self.whole.push(last.into());
        }
    }
}

impl io::Write for Pieces {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    /// What is written is mostly a few bytes long.
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.last.capacity() - self.last.len() < bytes.len() {
            self.go_on_in(Vec::with_capacity(PIECE.max(bytes.len())));
        }
        self.last.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    /// The pieces, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|piece| &**piece)
    }

    /// The same with another beginning; `None` when it does not begin like that, or not within its first piece.
    pub(super) fn begun(mut self, before: &[u8], now: Vec<u8>) -> Option<Self> {
        let first = self.0.first_mut()?;
        if !first.starts_with(before) {
            return None;
        }
        *first = first.slice(before.len()..);
        self.0.insert(0, now.into());
        Some(self)
    }
}

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        let length: usize = self.0.iter().map(Bytes::len).sum();
        let pieces = self.0.into_iter().map(Ok::<_, Infallible>);
        let body = Body::from_stream(stream::iter(pieces));
        ([(CONTENT_LENGTH, length)], body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn what_was_written_comes_whole_and_in_order() {
        let mut pieces = Pieces::default();
        let mut written = Vec::new();
        for length in [1, PIECE - 1, 1, 3 * PIECE, 0, 7] {
            let bytes = vec![b'a' + u8::try_from(written.len() % 26).unwrap(); length];
            pieces.write_all(&bytes).unwrap();
            written.extend(bytes);
        }
        let answer = pieces.finish();
        assert_eq!(answer.pieces().count(), 4);
        let answer = answer.into_response();
        let length = answer.headers()[CONTENT_LENGTH]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(length, written.len().to_string());
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert!(body == written, "another body");
    }

    #[test]
    fn another_beginning_changes_nothing_after_it() {
        let mut pieces = Pieces::default();
        pieces.write_all(b"{\"at\":null,\"at\":null}").unwrap();
        let written = pieces.finish();
        let begun = written.clone().begun(b"{\"at\":null", b"{\"at\":7".into());
        let text: Vec<u8> = begun.unwrap().pieces().flatten().copied().collect();
        assert_eq!(text, b"{\"at\":7,\"at\":null}");
        assert!(written.begun(b"{\"by\"", Vec::new()).is_none());
    }
}
