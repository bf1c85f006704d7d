//! As much of the NATS client protocol as a publish needs.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Publishes without any acknowledgement but the server's word that it has read so far, as `nats pub` does.
///
/// # Panics
/// When the server is not there or complains.
pub async fn publish(url: &str, subject: &str, body: &[u8]) {
    let address = url.strip_prefix("nats://").expect("the broker's url");
    let socket = TcpStream::connect(address)
        .await
        .expect("the broker listens");
    let mut socket = BufReader::new(socket);
    let head = format!(
        "CONNECT {{\"verbose\":false,\"lang\":\"test\"}}\r\nPUB {subject} {}\r\n",
        body.len()
    );
    for part in [head.as_bytes(), body, b"\r\nPING\r\n"] {
        socket
            .get_mut()
            .write_all(part)
            .await
            .expect("the broker reads");
    }
    let mut line = String::new();
    while line.trim() != "PONG" {
        assert!(!line.starts_with("-ERR"), "{line}");
        line.clear();
        let read = socket.read_line(&mut line).await.expect("the broker talks");
        assert_ne!(read, 0, "the broker hung up");
    }
}
