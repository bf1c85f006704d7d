//! An HTTP server that plays raw answers, good and bad, and remembers what it was asked.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::prepare;

/// What the server does for one request, step by step. Afterwards it waits for the next request.
pub enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes until the client goes away.
    Forever(Vec<u8>),
    /// Sends these bytes so many times.
    Times(usize, Vec<u8>),
    /// Says nothing until the client goes away.
    Hang,
    /// Closes the connection.
    Close,
    /// Breaks the connection, so that the client sees a reset.
    Reset,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method and target, e.g. `GET /a?b=c`.
    pub line: String,
    /// All header lines.
    pub head: String,
    /// The body.
    pub body: String,
    /// Which connection it came on, counted from zero.
    pub connection: usize,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }
}

/// The server. Ends with its value.
pub struct Wire {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    _tasks: JoinSet<()>,
}

type Play = dyn Fn(&Request) -> Vec<Step> + Send + Sync;

impl Wire {
    /// Starts a server that answers each request with the steps that `play` gives for it.
    ///
    /// # Panics
    /// When it cannot listen, as [`answering`](Self::answering).
    pub async fn start(play: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Self {
        // Every client needs a TLS provider in the process, even one for plain HTTP.
        prepare();
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (play, seen): (Arc<Play>, _) = (Arc::new(play), requests.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let (stream, _) = listener.accept().await.expect("a connection is taken");
                let (play, seen) = (play.clone(), seen.clone());
                connections.spawn(async move {
                    // A client may go away at any time: what it thinks of that is what the tests ask it.
                    drop(serve(stream, connection, &*play, &seen).await);
                });
            }
        });
        Self {
            address,
            requests,
            _tasks: tasks,
        }
    }

    /// A server that gives everybody the same answer.
    pub async fn answering(answer: &str) -> Self {
        let answer = answer.as_bytes().to_vec();
        Self::start(move |_| vec![Step::Send(answer.clone())]).await
    }

    /// Where it listens, e.g. `http://127.0.0.1:1234`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    play: &Play,
    seen: &Mutex<Vec<Request>>,
) -> io::Result<()> {
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut unread, connection).await? {
        lock(seen).push(request.clone());
        for step in play(&request) {
            match step {
                Step::Send(bytes) => stream.write_all(&bytes).await?,
                Step::Times(times, bytes) => {
                    for _ in 0..times {
                        stream.write_all(&bytes).await?;
                    }
                }
                Step::Forever(bytes) => loop {
                    stream.write_all(&bytes).await?;
                },
                Step::Hang => while stream.read(&mut [0; 1024]).await? > 0 {},
                Step::Close => return stream.shutdown().await,
                Step::Reset => return stream.set_zero_linger(),
            }
        }
    }
    Ok(())
}

async fn read_request(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
    connection: usize,
) -> io::Result<Option<Request>> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&unread[..end]).into_owned();
            let (line, head) = text.split_once("\r\n").unwrap_or((&text, ""));
            let line = line.trim_end_matches(" HTTP/1.1").to_owned();
            let mut request = Request {
                line,
                head: head.to_owned(),
                body: String::new(),
                connection,
            };
            let length = request
                .header("content-length")
                .map_or(0, |length| length.parse().expect("a length is a number"));
            if unread.len() >= end + 4 + length {
                request.body =
                    String::from_utf8_lossy(&unread[end + 4..end + 4 + length]).into_owned();
                unread.drain(..end + 4 + length);
                return Ok(Some(request));
            }
        }
        match stream.read(&mut buffer).await? {
            0 => return Ok(None),
            read => unread.extend_from_slice(&buffer[..read]),
        }
    }
}

/// A complete answer with a body of known length.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A complete `200` with JSON.
pub fn json(body: &str) -> String {
    answer("200 OK", "content-type: application/json\r\n", body)
}
