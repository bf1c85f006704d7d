#![allow(clippy::unwrap_used, reason = "a test may panic")]

use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

/// Far longer than anything here takes.
const SOON: Duration = Duration::from_secs(30);

/// Limits that nobody here reaches.
const WIDE: Limits = Limits {
    connections: 100,
    head: SOON.saturating_mul(10),
    stall: SOON.saturating_mul(10),
    end: SOON.saturating_mul(10),
};

const SHORT: Duration = Duration::from_millis(300);

/// More than what both ends of a connection keep of what was not read.
const LONG: usize = 16 << 20;

struct Server {
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    ended: JoinHandle<()>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ending) = oneshot::channel();
        let routes = Router::new()
            .route("/", get(async || "here\n"))
            .route(
                "/long",
                get(async || Body::from(Bytes::from(vec![b'x'; LONG]))),
            )
            .route("/", post(async |body: String| body));
        let shutdown = async { drop(ending.await) };
        Self {
            address,
            end: Some(end),
            ended: tokio::spawn(run(listener, routes, limits, shutdown)),
        }
    }

    async fn connect(&self, says: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        stream.write_all(says.as_bytes()).await.unwrap();
        stream
    }

    /// Tells it to end and waits until it has.
    async fn end(&mut self) {
        self.end.take().unwrap().send(()).unwrap();
        timeout(SOON, &mut self.ended)
            .await
            .expect("an end")
            .unwrap();
    }
}

/// All that comes until the connection is closed.
async fn rest(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    // One that is cut off may end with an error.
    let _ = timeout(SOON, stream.read_to_end(&mut said))
        .await
        .expect("the connection is closed");
    String::from_utf8(said).unwrap()
}

/// Reads until this has come.
async fn read_to(stream: &mut TcpStream, end: &str) {
    let mut said = String::new();
    while !said.ends_with(end) {
        let mut byte = [0];
        timeout(SOON, stream.read_exact(&mut byte))
            .await
            .unwrap()
            .unwrap();
        said.push(byte[0].into());
    }
}

const ASK: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";

#[tokio::test]
async fn a_request_that_never_comes_whole_does_not_keep_its_connection() {
    let server = Server::start(Limits {
        head: SHORT,
        ..WIDE
    })
    .await;
    for begun in ["", "G", "GET / HTTP/1.1\r\nHost: "] {
        let said = rest(server.connect(begun).await).await;
        assert!(!said.contains("200"), "{said}");
    }
    // Nor does one after which there comes no other.
    let said = rest(server.connect(ASK).await).await;
    assert!(
        said.starts_with("HTTP/1.1 200") && said.ends_with("here\n"),
        "{said}"
    );
}

#[tokio::test]
async fn a_body_that_stops_coming_is_an_error() {
    let server = Server::start(Limits {
        stall: SHORT,
        ..WIDE
    })
    .await;
    let said =
        "POST / HTTP/1.1\r\nHost: here\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nabc";
    let said = rest(server.connect(said).await).await;
    assert!(said.starts_with("HTTP/1.1 4"), "{said}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_answer_that_nobody_takes_does_not_keep_its_connection() {
    let limits = Limits {
        stall: SHORT,
        connections: 1,
        ..WIDE
    };
    let server = Server::start(limits).await;
    let _silent = server
        .connect("GET /long HTTP/1.1\r\nHost: here\r\n\r\n")
        .await;
    // There is room for another when it is gone.
    let mut next = server.connect(ASK).await;
    read_to(&mut next, "here\n").await;
}

#[tokio::test]
async fn who_comes_when_there_are_too_many_waits() {
    let server = Server::start(Limits {
        connections: 2,
        ..WIDE
    })
    .await;
    let (mut first, mut second) = (server.connect(ASK).await, server.connect(ASK).await);
    read_to(&mut first, "here\n").await;
    read_to(&mut second, "here\n").await;
    let mut third = server.connect(ASK).await;
    let nothing = timeout(SHORT, third.read_u8()).await;
    assert!(nothing.is_err(), "there was no room");
    drop(first);
    read_to(&mut third, "here\n").await;
}

#[tokio::test]
async fn what_is_being_answered_at_the_end_is_out_first() {
    let mut server = Server::start(WIDE).await;
    let mut reader = server
        .connect("GET /long HTTP/1.1\r\nHost: here\r\n\r\n")
        .await;
    read_to(&mut reader, "\r\n\r\n").await;
    let mut idle = server.connect(ASK).await;
    read_to(&mut idle, "here\n").await;
    let (_, said, nothing) = tokio::join!(server.end(), rest(reader), rest(idle));
    assert_eq!((said.len(), nothing.as_str()), (LONG, ""));
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn the_end_waits_for_nobody_who_says_or_takes_nothing() {
    let mut server = Server::start(Limits { end: SHORT, ..WIDE }).await;
    let _half = server.connect("GET / HTTP/1.1\r\nHost: ").await;
    let mut deaf = server
        .connect("GET /long HTTP/1.1\r\nHost: here\r\n\r\n")
        .await;
    read_to(&mut deaf, "\r\n\r\n").await;
    server.end().await;
}
