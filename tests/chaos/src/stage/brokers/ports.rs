//! Ports that stay free while their broker is down.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use rand::RngExt;

/// Below the ports that the system gives to connections: one of those could take the place of a broker that is down.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
/// How many are tried for each.
const TRIES: usize = 100;

/// So many ports on which nobody listens. All of them are held until the last is found, so that they differ.
pub(super) fn free(count: usize) -> io::Result<Vec<u16>> {
    let mut chance = rand::rng();
    let mut found = Vec::new();
    for _ in 0..count * TRIES {
        if found.len() == count {
            break;
        }
        let port = chance.random_range(RANGE);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            found.push((port, listener));
        }
    }
    if found.len() < count {
        return Err(io::Error::other(format!("no free ports in {RANGE:?}")));
    }
    Ok(found.into_iter().map(|(port, _)| port).collect())
}
