//! Which of several servers is tried next.

use std::sync::{Mutex, PoisonError};

use async_nats::{Server, ServerAddr};

/// The server that was tried last.
///
/// The client itself would choose by chance, and so come back to a node it was just made to leave.
#[derive(Debug, Default)]
pub(crate) struct Turn(Mutex<Option<ServerAddr>>);

impl Turn {
    /// Another than the last one: of those that failed least often, the one that follows it. `None` before there was a
    /// first connection, when the client tries all of them by chance, which spreads the clients.
    pub(crate) fn next(&self, servers: &[Server]) -> Option<ServerAddr> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = match &*last {
            Some(last) => servers.iter().position(|server| server.addr == *last)?,
            None => servers.iter().position(|server| server.did_connect)?,
        };
        let (before, after) = (&servers[..at], &servers[at + 1..]);
        let next = after
            .iter()
            .chain(before)
            .min_by_key(|server| server.failed_attempts)?;
        *last = Some(next.addr.clone());
        last.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, failed_attempts: usize) -> Server {
        Server {
            addr: format!("nats://{name}:4222").parse().unwrap(),
            failed_attempts,
            did_connect: name == "b",
            is_discovered: false,
            last_error: None,
        }
    }

    fn next(turn: &Turn, servers: &[Server]) -> Option<String> {
        turn.next(servers).map(|server| server.host().to_owned())
    }

    #[test]
    fn every_server_has_its_turn_and_the_last_one_never_twice() {
        let turn = Turn::default();
        assert_eq!(next(&turn, &[server("a", 0), server("c", 0)]), None);
        let servers = ["a", "b", "c"].map(|name| server(name, 0));
        let turns: Vec<_> = (0..4).map(|_| next(&turn, &servers).unwrap()).collect();
        assert_eq!(turns, ["c", "a", "b", "c"]);
        assert_eq!(next(&Turn::default(), &[server("b", 0)]), None);
    }

    #[test]
    fn a_server_that_failed_often_has_its_turn_late() {
        let turn = Turn::default();
        let servers = [server("a", 2), server("b", 1), server("c", 3)];
        assert_eq!(next(&turn, &servers).unwrap(), "a");
        assert_eq!(next(&turn, &servers).unwrap(), "b");
        assert_eq!(next(&turn, &servers).unwrap(), "a");
    }
}
