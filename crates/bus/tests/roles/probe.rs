//! A bare client that tries things, and is told by the server what it may not.

use std::fmt;

use async_nats::{Client, ConnectOptions, Event, ServerError};
use bus::access::{KeyFile, Role};
use secrecy::ExposeSecret;
use testkit::Broker;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Who tries: a role, or nobody in particular.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Role(Role),
    NoKey,
}

impl Who {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Role::ALL.into_iter().map(Self::Role).chain([Self::NoKey])
    }

    /// Where its answers come.
    pub(crate) fn inbox_prefix(self) -> String {
        match self {
            Self::Role(role) => role.inbox_prefix(),
            Self::NoKey => "_INBOX".into(),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => role.fmt(f),
            Self::NoKey => f.write_str("nobody"),
        }
    }
}

pub(crate) struct Probe {
    pub(crate) client: Client,
    errors: UnboundedReceiver<String>,
    tries: usize,
}

impl Probe {
    pub(crate) async fn connect(broker: &Broker, who: Who) -> Self {
        let (tell, errors) = unbounded_channel();
        let options = ConnectOptions::new()
            .custom_inbox_prefix(who.inbox_prefix())
            .event_callback(move |event| {
                let tell = tell.clone();
                async move {
                    if let Event::ServerError(ServerError::Other(error)) = event {
                        let _ = tell.send(error);
                    }
                }
            });
        let options = match who {
            Who::NoKey => options,
            Who::Role(role) => {
                let text = std::fs::read_to_string(broker.key_file(role)).unwrap();
                let key = KeyFile::parse(&text).unwrap();
                options.nkey(key.seed.expose_secret().to_owned())
            }
        };
        Self {
            client: options.connect(broker.url()).await.unwrap(),
            errors,
            tries: 0,
        }
    }

    /// Whether the server takes a message on this subject.
    pub(crate) async fn may_publish(&mut self, subject: &str) -> bool {
        let subject = subject.to_owned();
        self.client
            .publish(subject.clone(), "".into())
            .await
            .unwrap();
        !self.denied("Publish", &subject).await
    }

    /// Whether the server lets it listen on this subject.
    pub(crate) async fn may_subscribe(&mut self, subject: &str) -> bool {
        let mut subscription = self.client.subscribe(subject.to_owned()).await.unwrap();
        let denied = self.denied("Subscription", subject).await;
        subscription.unsubscribe().await.unwrap();
        !denied
    }

    /// Whether the server denied it. Errors come in order, so this waits for one that surely comes.
    async fn denied(&mut self, act: &str, subject: &str) -> bool {
        self.tries += 1;
        // No role may listen here but the admin, who is denied nothing and hears itself instead.
        let last = format!("_INBOX_nobody.{}", self.tries);
        let mut own = self.client.subscribe(last.clone()).await.unwrap();
        self.client.publish(last.clone(), "".into()).await.unwrap();
        let mut denied = false;
        loop {
            let error = tokio::select! {
                error = self.errors.recv() => error.unwrap(),
                _ = futures_util::StreamExt::next(&mut own) => return denied,
            };
            denied |= error == format!("Permissions Violation for {act} to \"{subject}\"");
            if error == format!("Permissions Violation for Publish to \"{last}\"") {
                return denied;
            }
        }
    }
}
