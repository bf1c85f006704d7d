//! As much of the NATS client protocol as any client has: a publish and a subscription, without JetStream.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Publishes without any acknowledgement but the server's word that it has read so far, as `nats pub` does.
///
/// # Panics
/// When the server is not there or complains.
pub async fn publish(url: &str, subject: &str, body: &[u8]) {
    let mut socket = connect(url).await;
    let head = format!("PUB {subject} {}\r\n", body.len());
    for part in [head.as_bytes(), body, b"\r\nPING\r\n"] {
        socket
            .get_mut()
            .write_all(part)
            .await
            .expect("the broker reads");
    }
    until_pong(&mut socket).await;
}

/// A core subscription: what `nats sub` would show.
pub struct Subscription {
    seen: Arc<Mutex<Vec<String>>>,
    reading: JoinHandle<()>,
}

impl Subscription {
    /// Subscribes; whatever is published after this returned is seen.
    ///
    /// # Panics
    /// When the server is not there or complains.
    pub async fn to(url: &str, filter: &str) -> Self {
        let mut socket = connect(url).await;
        let head = format!("SUB {filter} 1\r\nPING\r\n");
        socket
            .get_mut()
            .write_all(head.as_bytes())
            .await
            .expect("the broker reads");
        until_pong(&mut socket).await;
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let reading = tokio::spawn(read(socket, Arc::clone(&seen)));
        Self { seen, reading }
    }

    /// The subjects of the messages so far, in order.
    ///
    /// # Panics
    /// Never, as long as the reader does not.
    pub fn subjects(&self) -> Vec<String> {
        self.seen.lock().expect("the reader did not panic").clone()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Takes messages until the connection ends.
async fn read(mut socket: BufReader<TcpStream>, seen: Arc<Mutex<Vec<String>>>) {
    let mut line = String::new();
    while matches!(socket.read_line(&mut line).await, Ok(1..)) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["PING"] => {
                let _ = socket.get_mut().write_all(b"PONG\r\n").await;
            }
            ["MSG", subject, .., length] => {
                let length: usize = length.parse().expect("a length");
                let mut body = vec![0; length + 2];
                if socket.read_exact(&mut body).await.is_err() {
                    return;
                }
                seen.lock()
                    .expect("nobody panics with it")
                    .push((*subject).to_owned());
            }
            _ => {}
        }
        line.clear();
    }
}

async fn connect(url: &str) -> BufReader<TcpStream> {
    let address = url.strip_prefix("nats://").expect("the broker's url");
    let socket = TcpStream::connect(address)
        .await
        .expect("the broker listens");
    let mut socket = BufReader::new(socket);
    socket
        .get_mut()
        .write_all(b"CONNECT {\"verbose\":false,\"lang\":\"test\"}\r\n")
        .await
        .expect("the broker reads");
    socket
}

async fn until_pong(socket: &mut BufReader<TcpStream>) {
    let mut line = String::new();
    while line.trim() != "PONG" {
        assert!(!line.starts_with("-ERR"), "{line}");
        line.clear();
        let read = socket.read_line(&mut line).await.expect("the broker talks");
        assert_ne!(read, 0, "the broker hung up");
    }
}
