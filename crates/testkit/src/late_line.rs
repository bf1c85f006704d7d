//! A line to a lab that can hold back a request longer than the client waits for it, and deliver it all the same: a
//! proxy that goes on after we hung up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Requests that begin like this are held back.
const HELD: &[u8] = b"POST /v1/job ";

/// How long a request is held back.
#[derive(Clone)]
enum Hold {
    For(Duration),
    UntilReleased(watch::Receiver<bool>),
}

/// The line. Dropping it cuts every connection.
pub struct LateLine {
    address: SocketAddr,
    held: Arc<AtomicUsize>,
    release: watch::Sender<bool>,
    _accepting: JoinSet<()>,
}

impl LateLine {
    /// A line on which the first `times` submits arrive `late`.
    ///
    /// # Panics
    /// When it cannot listen, as the other one.
    pub async fn to(lab: SocketAddr, times: usize, late: Duration) -> Self {
        Self::holding(lab, times, |_| Hold::For(late)).await
    }

    /// A line on which the first submit arrives when it is [released](Self::release).
    ///
    /// # Panics
    /// As [`to`](Self::to).
    pub async fn until_released(lab: SocketAddr) -> Self {
        Self::holding(lab, 1, Hold::UntilReleased).await
    }

    async fn holding(
        lab: SocketAddr,
        times: usize,
        hold: impl FnOnce(watch::Receiver<bool>) -> Hold,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let held = Arc::new(AtomicUsize::new(0));
        let (release, released) = watch::channel(false);
        let hold = hold(released);
        let mut accepting = JoinSet::new();
        accepting.spawn({
            let held = Arc::clone(&held);
            async move {
                let mut lines = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    lines.spawn(carry(client, lab, Arc::clone(&held), times, hold.clone()));
                }
            }
        });
        Self {
            address,
            held,
            release,
            _accepting: accepting,
        }
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many were held back.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// Lets go what is held back.
    pub fn release(&self) {
        self.release.send_replace(true);
    }
}

async fn carry(
    mut client: TcpStream,
    lab: SocketAddr,
    held: Arc<AtomicUsize>,
    times: usize,
    hold: Hold,
) {
    let Ok(mut lab) = TcpStream::connect(lab).await else {
        return;
    };
    let (mut request, mut answer) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(read @ 1..) = read else { return };
                let bytes = &request[..read];
                let held_back = bytes.starts_with(HELD)
                    && held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < times).then_some(n + 1)).is_ok();
                if held_back {
                    match hold.clone() {
                        // The lateness is what is being tested.
                        Hold::For(late) => tokio::time::sleep(late).await,
                        Hold::UntilReleased(mut released) => {
                            let _ = released.wait_for(|released| *released).await;
                        }
                    }
                }
                if lab.write_all(bytes).await.is_err() {
                    return;
                }
                if held_back {
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
