//! How the brokers of a cluster reach each other: each pair over a proxy of its own, so that one of them can be cut off.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use super::ports;
use crate::proxy::Proxy;

/// The ways between all brokers.
pub(super) struct Routes {
    /// Where each broker listens for the others.
    listen: Vec<SocketAddr>,
    /// From one broker to another. The way from a broker to itself is the one that it names to whoever asks: brokers
    /// tell each other where their friends are.
    ways: Vec<Way>,
}

struct Way {
    from: usize,
    to: usize,
    proxy: Proxy,
}

impl Routes {
    /// Lays them.
    pub(super) async fn lay(count: usize) -> io::Result<Self> {
        let listen: Vec<SocketAddr> = ports::free(count)?
            .into_iter()
            .map(|port| (Ipv4Addr::LOCALHOST, port).into())
            .collect();
        let mut ways = Vec::new();
        for from in 0..count {
            for (to, address) in listen.iter().enumerate() {
                let proxy = Proxy::to(*address).await?;
                ways.push(Way { from, to, proxy });
            }
        }
        Ok(Self { listen, ways })
    }

    /// The part of a broker's configuration.
    pub(super) fn config(&self, number: usize) -> String {
        let routes: Vec<String> = self
            .ways
            .iter()
            .filter(|way| way.from == number && way.to != number)
            .map(|way| format!("nats-route://{}", way.proxy.address()))
            .collect();
        let named = self
            .ways
            .iter()
            .find(|way| way.from == number && way.to == number)
            .map(|way| way.proxy.address().to_string())
            .unwrap_or_default();
        // Clients are told of no other brokers: they know the proxies only.
        format!(
            "cluster {{ name: chaos, listen: \"{}\", advertise: \"{named}\", no_advertise: true, routes: [{}] }}\n",
            self.listen[number],
            routes.join(", ")
        )
    }

    /// All ways from and to a broker.
    pub(super) fn of(&self, number: usize) -> impl Iterator<Item = &Proxy> {
        self.ways
            .iter()
            .filter(move |way| way.from == number || way.to == number)
            .map(|way| &way.proxy)
    }
}
