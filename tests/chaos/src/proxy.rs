//! A TCP proxy between a role and a broker, whose cable can be harmed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::fault::Cable;

/// Listens on loopback and passes everything on. It ends with this value.
pub(crate) struct Proxy {
    address: SocketAddr,
    cable: watch::Sender<Option<Cable>>,
    main: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port.
    pub(crate) async fn to(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (cable, harmed) = watch::channel(None);
        let main = tokio::spawn(accept(listener, upstream, harmed));
        Ok(Self {
            address,
            cable,
            main,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Harms all connections.
    pub(crate) fn harm(&self, cable: Cable) {
        self.cable.send_replace(Some(cable));
    }

    /// Lets new connections, and those that only stood still, pass again.
    pub(crate) fn heal(&self) {
        self.cable.send_replace(None);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.main.abort();
    }
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    harmed: watch::Receiver<Option<Cable>>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                if *harmed.borrow() != Some(Cable::Cut) {
                    connections.spawn(connect(client, upstream, harmed.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(client: TcpStream, upstream: SocketAddr, harmed: watch::Receiver<Option<Cable>>) {
    // A broker that is down hangs up on the client, as it would itself.
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    tokio::join!(
        pass(
            client_reads,
            server_writes,
            harmed.clone(),
            Cable::HalfCloseOut
        ),
        pass(server_reads, client_writes, harmed, Cable::HalfCloseIn),
    );
}

/// One direction, which ends with the end of its source, or when the cable is harmed that way.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut harmed: watch::Receiver<Option<Cable>>,
    half_close: Cable,
) {
    // What the cable was when the connection was made does not harm it, but for a stall.
    harmed.mark_unchanged();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let stalled = *harmed.borrow() == Some(Cable::Stall);
        tokio::select! {
            changed = harmed.changed() => {
                let now = *harmed.borrow_and_update();
                match now {
                    _ if changed.is_err() => return,
                    Some(Cable::Cut) => return,
                    // Dropping the half that writes ends this direction and no other.
                    Some(cable) if cable == half_close => break,
                    _ => {}
                }
            }
            read = from.read(&mut buffer), if !stalled => match read {
                Ok(0) | Err(_) => break,
                Ok(length) => {
                    if to.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            },
        }
    }
    let _ = to.shutdown().await;
    // The other direction goes on; a cut ends both. Reading on keeps the source from blocking.
    loop {
        tokio::select! {
            changed = harmed.changed() => {
                if changed.is_err() || *harmed.borrow_and_update() == Some(Cable::Cut) {
                    return;
                }
            }
            read = from.read(&mut buffer) => if !matches!(read, Ok(1..)) {
                return;
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// A server that sends back what it gets, and a client of it through the proxy.
    async fn pair() -> (Proxy, TcpStream) {
        let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::to(echo.local_addr().unwrap()).await.unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut reads, mut writes) = socket.into_split();
                    let _ = tokio::io::copy(&mut reads, &mut writes).await;
                    let _ = writes.write_all(b"bye").await;
                });
            }
        });
        let client = TcpStream::connect(proxy.address()).await.unwrap();
        (proxy, client)
    }

    async fn echoes(client: &mut TcpStream) -> bool {
        let mut back = [0; 5];
        client.write_all(b"hello").await.is_ok()
            && matches!(
                timeout(Duration::from_secs(20), client.read_exact(&mut back)).await,
                Ok(Ok(_))
            )
            && &back == b"hello"
    }

    #[tokio::test]
    async fn a_cut_ends_connections_and_refuses_others_until_it_is_healed() {
        let (proxy, mut client) = pair().await;
        assert!(echoes(&mut client).await);
        proxy.harm(Cable::Cut);
        assert!(!echoes(&mut client).await);
        let mut other = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(!echoes(&mut other).await);
        proxy.heal();
        let mut other = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(echoes(&mut other).await);
    }

    #[tokio::test]
    async fn a_stall_only_delays() {
        let (proxy, mut client) = pair().await;
        assert!(echoes(&mut client).await);
        proxy.harm(Cable::Stall);
        client.write_all(b"hello").await.unwrap();
        let mut back = [0; 5];
        let early = timeout(Duration::from_millis(200), client.read_exact(&mut back)).await;
        assert!(early.is_err());
        proxy.heal();
        let late = timeout(Duration::from_secs(20), client.read_exact(&mut back)).await;
        assert!(matches!(late, Ok(Ok(_))) && &back == b"hello");
    }

    #[tokio::test]
    async fn a_half_close_ends_one_direction() {
        let (proxy, mut client) = pair().await;
        assert!(echoes(&mut client).await);
        proxy.harm(Cable::HalfCloseOut);
        // The server sees the end, and what it says after that still arrives.
        let mut rest = Vec::new();
        let read = timeout(Duration::from_secs(20), client.read_to_end(&mut rest)).await;
        assert!(matches!(read, Ok(Ok(_))));
        assert_eq!(rest, b"bye");

        let (proxy, mut client) = pair().await;
        assert!(echoes(&mut client).await);
        proxy.harm(Cable::HalfCloseIn);
        let read = timeout(Duration::from_secs(20), client.read_to_end(&mut Vec::new())).await;
        assert!(matches!(read, Ok(Ok(0))));
        client.write_all(b"still going").await.unwrap();
    }
}
