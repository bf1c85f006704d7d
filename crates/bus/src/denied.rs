//! What the broker does not let this user do. It answers a publish or a subscription that is not permitted with nothing
//! but an error on the connection, which names the subject. Here the error finds whoever waits for an answer that will
//! not come.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::error::BusError;

/// What was not permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Publishing, requests included.
    Publish,
    /// Subscribing.
    Subscribe,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish on",
            Self::Subscribe => "subscribe to",
        })
    }
}

/// How long a denial may come after another, or after an answer, that left the server after it.
const SECOND_WORD: Duration = Duration::from_millis(300);

/// Something the broker denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) act: Act,
    pub(crate) subject: String,
    pub(crate) advice: &'static str,
}

impl Denial {
    pub(crate) fn into_error(self, what: &str) -> BusError {
        BusError::Denied {
            what: what.into(),
            act: self.act,
            subject: self.subject,
            advice: self.advice,
        }
    }
}

/// Reads the server's words, such as `Permissions Violation for Publish to "rack.tick"`.
fn parse(error: &str) -> Option<(Act, &str)> {
    let rest = error.strip_prefix("Permissions Violation for ")?;
    let (act, rest) = match rest.split_once(" to \"")? {
        ("Publish", rest) => (Act::Publish, rest),
        ("Subscription", rest) => (Act::Subscribe, rest),
        _ => return None,
    };
    Some((act, rest.split_once('"')?.0))
}

/// Everybody of one connection who waits for an answer.
pub(crate) struct Denials {
    /// How this connection's inboxes begin.
    inbox_prefix: String,
    has_credentials: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: HashMap<u64, Waiting>,
    /// All requests share one inbox, which is asked for once per connection.
    no_inbox: Option<Denial>,
}

struct Waiting {
    subjects: Vec<String>,
    inbox: Inbox,
    tell: mpsc::UnboundedSender<Denial>,
}

/// Where an answer is to come.
pub(crate) enum Inbox {
    /// Where the answers to all requests come.
    Shared,
    /// A subscription of its own.
    Own(String),
}

impl Denials {
    pub(crate) fn new(inbox_prefix: &str, has_credentials: bool) -> Self {
        Self {
            inbox_prefix: format!("{inbox_prefix}."),
            has_credentials,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is in there is whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advice(&self, act: Act, subject: &str) -> &'static str {
        match (act, self.has_credentials) {
            (_, false) => "no key is in use: set NATS_NKEY to the file with a role's key",
            (Act::Subscribe, true) if subject.starts_with(&self.inbox_prefix) => {
                "its inboxes begin otherwise (set NATS_INBOX_PREFIX; a key file of `racktick setup --credentials` says \
                 it), or it gets no answers at all"
            }
            (_, true) => "use the key of a role that may",
        }
    }

    /// Called when a connection stands: what was denied on the one before says nothing of it.
    pub(crate) fn connected(&self) {
        self.state().no_inbox = None;
    }

    /// Called with each error that the server reports. False when nobody waits for what it denies, or it denies
    /// nothing.
    pub(crate) fn heard(&self, error: &str) -> bool {
        let Some((act, subject)) = parse(error) else {
            return false;
        };
        let denial = Denial {
            act,
            subject: subject.to_owned(),
            advice: self.advice(act, subject),
        };
        let mut state = self.state();
        let is_shared = act == Act::Subscribe
            && subject.starts_with(&self.inbox_prefix)
            && subject.ends_with(".*");
        if is_shared {
            state.no_inbox = Some(denial.clone());
        }
        let concerned: Vec<u64> = state
            .waiting
            .iter()
            .filter(|(_, waiting)| match (act, &waiting.inbox) {
                (Act::Publish, _) => waiting.subjects.iter().any(|wanted| wanted == subject),
                (Act::Subscribe, Inbox::Shared) => is_shared,
                (Act::Subscribe, Inbox::Own(inbox)) => inbox == subject,
            })
            .map(|(id, _)| *id)
            .collect();
        for waiting in concerned.iter().filter_map(|id| state.waiting.get(id)) {
            // Whoever is gone needs no word.
            let _ = waiting.tell.send(denial.clone());
        }
        !concerned.is_empty()
    }

    /// Listens for the denial of a publish on any of these subjects, or of the inbox. Begin before publishing.
    pub(crate) fn watch(self: &Arc<Self>, subjects: Vec<String>, inbox: Inbox) -> Watch {
        let (tell, told) = mpsc::unbounded_channel();
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        if let (Some(denial), Inbox::Shared) = (&state.no_inbox, &inbox) {
            // Not asked for again on this connection, so the server will not say it again.
            let _ = tell.send(denial.clone());
        }
        let is_shared = matches!(inbox, Inbox::Shared);
        let waiting = Waiting {
            subjects,
            inbox,
            tell,
        };
        state.waiting.insert(id, waiting);
        Watch {
            denials: Arc::clone(self),
            id,
            is_shared,
            told,
        }
    }
}

/// Listens until it is dropped.
pub(crate) struct Watch {
    denials: Arc<Denials>,
    id: u64,
    is_shared: bool,
    told: mpsc::UnboundedReceiver<Denial>,
}

impl Watch {
    /// Resolves when something was denied. With an inbox of its own, it can be dropped while it waits.
    pub(crate) async fn denied(&mut self) -> Denial {
        let Some(denial) = self.told.recv().await else {
            return std::future::pending().await;
        };
        if denial.act == Act::Publish || !self.is_shared {
            return denial;
        }
        // The server judges the inbox first. That the request itself is denied says more.
        match tokio::time::timeout(SECOND_WORD, self.told.recv()).await {
            Ok(Some(publish)) => publish,
            _ => denial,
        }
    }

    /// What was denied before an answer came: the answer takes a shorter way.
    pub(crate) async fn denied_before(&mut self) -> Option<Denial> {
        tokio::time::timeout(SECOND_WORD, self.denied()).await.ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.denials.state().waiting.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn denials() -> Arc<Denials> {
        Arc::new(Denials::new("_INBOX_worker", true))
    }

    fn publish(subject: &str) -> String {
        format!("Permissions Violation for Publish to \"{subject}\"")
    }

    #[test]
    fn the_servers_words_are_read() {
        assert_eq!(
            parse(&publish("rack.tick")),
            Some((Act::Publish, "rack.tick"))
        );
        let queue = "Permissions Violation for Subscription to \"event.>\" using queue \"q\"";
        assert_eq!(parse(queue), Some((Act::Subscribe, "event.>")));
        for other in [
            "Authorization Violation",
            "Permissions Violation for Publish with Reply of \"x\"",
            "Permissions Violation for Publish to x",
            "",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_denial_finds_those_who_publish_on_its_subject_and_nobody_else() {
        let denials = denials();
        let mut one = denials.watch(vec!["a".into(), "b".into()], Inbox::Shared);
        let mut other = denials.watch(vec!["c".into()], Inbox::Own("_INBOX_worker.x".into()));
        assert!(denials.heard(&publish("b")));
        assert_eq!(one.denied().await.subject, "b");
        assert!(other.denied().now_or_never().is_none());
        let inbox = "Permissions Violation for Subscription to \"_INBOX_worker.x\"";
        assert!(denials.heard(inbox));
        assert_eq!(other.denied().await.act, Act::Subscribe);
        assert!(one.denied().now_or_never().is_none());
        drop(denials.watch(vec!["d".into()], Inbox::Shared));
        assert!(!denials.heard(&publish("d")), "it is gone");
    }

    #[tokio::test]
    async fn without_the_shared_inbox_no_request_waits_until_there_is_another_connection() {
        let denials = denials();
        let inbox = "Permissions Violation for Subscription to \"_INBOX_worker.abc.*\"";
        assert!(!denials.heard(inbox), "nobody waits yet");
        let watch = || denials.watch(vec!["a".into()], Inbox::Shared);
        let denial = watch().denied().await;
        assert!(denial.advice.contains("NATS_INBOX_PREFIX"), "{denial:?}");
        let mut both = watch();
        assert!(denials.heard(&publish("a")));
        assert_eq!(both.denied().await.subject, "a", "it says more");
        denials.connected();
        assert!(watch().denied().now_or_never().is_none());
    }
}
