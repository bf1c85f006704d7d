//! A server that takes requests and brings no answers, because it is cut off from the others of its cluster.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connect::Bus;

/// How long requests may go unanswered: longer than the election of a leader takes, so that a healthy node is not left.
const PATIENCE: Duration = Duration::from_secs(6);

/// Since when nothing was answered on the connection there is.
#[derive(Debug, Default)]
pub(crate) struct Deaf(Mutex<Option<Instant>>);

impl Deaf {
    fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// True when it is time to try another server; the patience begins anew then.
    fn unanswered(&self, now: Instant) -> bool {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *since.get_or_insert(now);
        let over = now.duration_since(start) >= PATIENCE;
        if over {
            *since = None;
        }
        over
    }
}

impl Bus {
    /// The server, or the cluster behind it, gave an answer to a request.
    pub(crate) fn heard(&self) {
        self.deaf.answered();
    }

    /// A request got no answer, or only that there is no leader. With several servers to choose from, another one is
    /// tried after a while.
    pub(crate) async fn unheard(&self) {
        if !self.has_choice || !self.is_connected() {
            // A connection that is lost is made anew anyway.
            self.deaf.answered();
        } else if self.deaf.unanswered(Instant::now()) {
            tracing::warn!("nothing was answered for {PATIENCE:?}, trying another NATS server");
            if let Err(error) = self.client.force_reconnect().await {
                tracing::debug!(%error, "the connection cannot be made anew");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_once_and_every_answer_renews_it() {
        let deaf = Deaf::default();
        let start = Instant::now();
        let at = |halves: u32| start + PATIENCE / 2 * halves;
        assert!(!deaf.unanswered(at(0)));
        assert!(!deaf.unanswered(at(1)));
        deaf.answered();
        assert!(!deaf.unanswered(at(2)));
        assert!(!deaf.unanswered(at(3)));
        assert!(deaf.unanswered(at(4)));
        assert!(!deaf.unanswered(at(5)));
    }
}
