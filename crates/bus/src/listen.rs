//! Messages as they are published, for whoever may not read what is stored.

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::StreamExt;

use crate::connect::Bus;
use crate::denied::{Inbox, Watch};
use crate::error::BusError;

/// A message that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Where it was published.
    pub subject: String,
    /// Its body.
    pub body: Bytes,
}

/// Hears messages as they are published. What is published while the connection is lost is missed.
pub struct Listener {
    what: String,
    messages: Subscriber,
    watch: Watch,
}

impl Bus {
    /// Listens to all subjects that match the filter, from now on.
    ///
    /// # Errors
    /// `Setting` when it is no filter.
    pub async fn listen(&self, filter: &str) -> Result<Listener, BusError> {
        let what = format!("listening to {filter}");
        let watch = self
            .denials
            .watch(Vec::new(), Inbox::Own(filter.to_owned()));
        let subscribed = self.client.subscribe(filter.to_owned()).await;
        let messages = subscribed.map_err(|source| BusError::Setting {
            what: what.clone(),
            source: source.into(),
        })?;
        Ok(Listener {
            what,
            messages,
            watch,
        })
    }
}

impl Listener {
    /// The next message; waits for ever if need be. Can be dropped while it waits.
    ///
    /// # Errors
    /// `Denied`, which is the end.
    pub async fn next(&mut self) -> Result<Heard, BusError> {
        tokio::select! {
            message = self.messages.next() => match message {
                Some(message) => Ok(Heard {
                    subject: message.subject.to_string(),
                    body: message.payload,
                }),
                // The client keeps a subscription for as long as it lives.
                None => std::future::pending().await,
            },
            denial = self.watch.denied() => Err(denial.into_error(&self.what)),
        }
    }
}
