//! What systemd is told by a role, read from a notification socket as systemd has it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod program;

use std::os::unix::net::UnixDatagram;

use program::Place;
use testkit::{Broker, until};

/// Longer than a program needs to start and end on a busy machine.
const SOON: std::time::Duration = std::time::Duration::from_secs(60);

/// A notification socket, and the states that came in so far.
struct Manager {
    socket: UnixDatagram,
    states: Vec<String>,
}

impl Manager {
    fn beside(place: &Place) -> Self {
        let socket = UnixDatagram::bind(place.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        let states = Vec::new();
        Self { socket, states }
    }

    fn states(&mut self) -> &[String] {
        let mut datagram = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut datagram) {
            let text = std::str::from_utf8(&datagram[..length]).unwrap();
            self.states.extend(text.lines().map(str::to_owned));
        }
        &self.states
    }

    fn count(&mut self, state: &str) -> usize {
        self.states().iter().filter(|said| *said == state).count()
    }
}

async fn is_told(role: &[&str], broker: &Broker) {
    let place = Place::new()
        .env("NATS_URL", broker.url())
        .env("MAAS_URL", "http://127.0.0.1:9/MAAS")
        .env("MAAS_API_KEY", "a:b:c")
        .env("TESTFLINGER_SERVER", "http://127.0.0.1:9")
        .env("NOTIFY_SOCKET", "notify")
        .env("WATCHDOG_USEC", 100_000);
    let mut manager = Manager::beside(&place);
    let mut running = place.start(role);
    until(SOON, "it is ready and alive", async || {
        manager.count("READY=1") == 1 && manager.count("WATCHDOG=1") >= 3
    })
    .await;
    assert_eq!(manager.states()[0], "READY=1", "nothing before it");
    assert_eq!(manager.count("STOPPING=1"), 0);
    running.signal("TERM");
    until(SOON, "it ends by itself", async || {
        running.code() == Some(0)
    })
    .await;
    assert_eq!(manager.count("STOPPING=1"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_says_that_it_is_ready_alive_and_stopping() {
    let broker = Broker::start().await;
    tokio::join!(
        is_told(&["scheduler"], &broker),
        is_told(&["worker"], &broker),
        is_told(&["dashboard", "--listen", "127.0.0.1:0"], &broker)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_a_broker_is_not_ready() {
    let place = Place::new()
        .env("NATS_URL", "nats://127.0.0.1:9")
        .env("NOTIFY_SOCKET", "notify");
    let mut manager = Manager::beside(&place);
    let mut running = place.start(&["scheduler"]);
    until(SOON, "it waits for the broker", async || {
        running.catches(15)
    })
    .await;
    running.signal("TERM");
    until(SOON, "it ends by itself", async || running.code().is_some()).await;
    assert_eq!(manager.states(), ["STOPPING=1"]);
}
