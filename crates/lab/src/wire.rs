//! The socket and the body, with the ways they can go wrong.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A larger request is refused; the largest that Testflinger takes has 16 MiB.
const LARGEST_REQUEST: usize = 32 << 20;

/// Set when the connection shall end with a reset.
pub(crate) type Reset = Arc<AtomicBool>;

/// A TCP stream that ends with RST instead of FIN when asked to.
pub(crate) struct Wire {
    stream: TokioIo<TcpStream>,
    reset: Reset,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> (Self, Reset) {
        let reset = Reset::default();
        (
            Self {
                stream: TokioIo::new(stream),
                reset: Arc::clone(&reset),
            },
            reset,
        )
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // With a linger time of zero, close() drops what is unsent and sends RST. If the peer has closed already,
            // there is nothing left to reset.
            let _ = socket2::SockRef::from(self.stream.inner()).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}

/// An answer's body.
pub(crate) enum Payload {
    /// All of it, then a proper end.
    Whole(Option<Bytes>),
    /// This much, then the connection breaks.
    Cut(Cut),
    /// The same piece for ever.
    Endless(Bytes),
}

/// How far a body that breaks off has come.
pub(crate) enum Cut {
    Piece(Bytes),
    /// The piece is on its way: an error now would overtake it.
    Sent,
    Broken,
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(match &mut *self {
            Payload::Whole(rest) => rest.take().map(|piece| Ok(Frame::data(piece))),
            Payload::Cut(cut) => match std::mem::replace(cut, Cut::Broken) {
                Cut::Piece(piece) => {
                    *cut = Cut::Sent;
                    Some(Ok(Frame::data(piece)))
                }
                Cut::Sent => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Cut::Broken => Some(Err(io::Error::other("a fault cut the body off"))),
            },
            Payload::Endless(piece) => Some(Ok(Frame::data(piece.clone()))),
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Payload::Whole(rest) => rest.as_ref().is_none_or(Bytes::is_empty),
            Payload::Cut(_) | Payload::Endless(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Payload::Whole(rest) => {
                SizeHint::with_exact(rest.as_ref().map_or(0, Bytes::len) as u64)
            }
            Payload::Cut(_) | Payload::Endless(_) => SizeHint::default(),
        }
    }
}

/// The whole body of a request; `None` when it broke off or is too large.
pub(crate) async fn read_body(mut body: Incoming) -> Option<Bytes> {
    let mut first: Option<Bytes> = None;
    let mut all: Option<BytesMut> = None;
    let mut length = 0;
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(piece) = frame.ok()?.into_data() else {
            continue;
        };
        length += piece.len();
        if length > LARGEST_REQUEST {
            return None;
        }
        // Nearly every body is one piece, which needs no copy.
        match (&mut first, &mut all) {
            (None, _) => first = Some(piece),
            (Some(_), Some(all)) => all.extend_from_slice(&piece),
            (Some(start), None) => {
                let mut joined = BytesMut::from(start.as_ref());
                joined.extend_from_slice(&piece);
                all = Some(joined);
            }
        }
    }
    Some(all.map(BytesMut::freeze).or(first).unwrap_or_default())
}

/// Why a connection ends without an answer.
#[derive(Debug)]
pub(crate) struct NoAnswer;

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a fault took the answer")
    }
}

impl std::error::Error for NoAnswer {}
