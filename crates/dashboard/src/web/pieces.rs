//! A long answer in pieces. In one piece it would be copied as it grows, and what the system's allocator gives out in
//! megabytes it keeps afterwards, per thread.

use std::convert::Infallible;
use std::io;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

/// How long a piece is, in bytes.
const PIECE: usize = 64 * 1024;

/// What was written, in the order in which it was.
#[derive(Default)]
pub(super) struct Pieces(Vec<Vec<u8>>);

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.last_mut() {
            Some(last) if last.len() + bytes.len() <= PIECE => last.extend_from_slice(bytes),
            _ => {
                let mut piece = Vec::with_capacity(PIECE.max(bytes.len()));
                piece.extend_from_slice(bytes);
                self.0.push(piece);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl IntoResponse for Pieces {
    fn into_response(self) -> Response {
        let length: usize = self.0.iter().map(Vec::len).sum();
        let pieces = self.0.into_iter().map(Bytes::from);
        let body = Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)));
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
        assert_eq!(pieces.0.len(), 4);
        let answer = pieces.into_response();
        let length = answer.headers()[CONTENT_LENGTH]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(length, written.len().to_string());
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert!(body == written, "another body");
    }
}
