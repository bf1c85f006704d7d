//! A line to a lab that can hold back a request longer than the client waits for it, and deliver it all the same: a
//! proxy that goes on after we hung up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Requests that begin like this are held back.
const HELD: &[u8] = b"POST /v1/job ";

/// The line. Dropping it cuts every connection.
pub(crate) struct LateLine {
    address: SocketAddr,
    held: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl LateLine {
    /// A line on which the first `times` submits arrive `late`.
    pub(crate) async fn to(lab: SocketAddr, times: usize, late: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let held = Arc::new(AtomicUsize::new(0));
        let mut accepting = JoinSet::new();
        accepting.spawn({
            let held = Arc::clone(&held);
            async move {
                let mut lines = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    lines.spawn(carry(client, lab, Arc::clone(&held), times, late));
                }
            }
        });
        Self {
            address,
            held,
            _accepting: accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many were held back.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }
}

async fn carry(
    mut client: TcpStream,
    lab: SocketAddr,
    held: Arc<AtomicUsize>,
    times: usize,
    late: Duration,
) {
    let mut lab = TcpStream::connect(lab).await.unwrap();
    let (mut request, mut answer) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(read @ 1..) = read else { return };
                let bytes = &request[..read];
                let hold = bytes.starts_with(HELD)
                    && held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < times).then_some(n + 1)).is_ok();
                if hold {
                    // The lateness is what is being tested.
                    tokio::time::sleep(late).await;
                }
                lab.write_all(bytes).await.unwrap();
                if hold {
                    // The line closes only when the lab has answered; the client may have hung up by then.
                    let read = lab.read(&mut answer).await.unwrap_or(0);
                    let _ = client.write_all(&answer[..read]).await;
                    return;
                }
            }
            read = lab.read(&mut answer) => {
                let Ok(read @ 1..) = read else { return };
                if client.write_all(&answer[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
