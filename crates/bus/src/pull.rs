//! Pulling from a consumer: exactly as many messages as were asked for, and a word when they will not come.

use std::time::Duration;

use async_nats::{HeaderMap, Message, Subscriber};
use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::connect::Bus;
use crate::denied::{Inbox, Watch};
use crate::error::BusError;
use crate::wire::header;

/// How long the broker keeps a request for messages.
const EXPIRES: Duration = Duration::from_secs(5);
/// How often it says that it still has one.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// After this long without a word, the request is taken for lost. Short, because a request that reaches no leader is
/// lost without a word: an election of some five seconds must not cost much more than itself.
const SILENCE: Duration = Duration::from_secs(3);
/// How long messages that are under way are waited for when the subscription ends.
const DRAIN: Duration = Duration::from_secs(1);

/// A subscription that receives what its requests bring.
pub(crate) struct Pull {
    bus: Bus,
    requests: String,
    inbox: String,
    messages: Subscriber,
    watch: Watch,
    connections: watch::Receiver<u64>,
    outstanding: usize,
    heard: Instant,
}

/// What came.
pub(crate) enum Pulled {
    /// A message.
    Message(Message),
    /// A sign of life, or the end of a request: look at `outstanding` again.
    Nothing,
    /// Nothing will come any more, for this reason. Open a new one.
    Lost(String),
    /// Nothing will come, because the broker does not permit it: always [`BusError::Denied`].
    Denied(BusError),
}

impl Pull {
    pub(crate) async fn open(bus: &Bus, stream: &str, consumer: &str) -> Result<Self, BusError> {
        let mut connections = bus.connections();
        connections.mark_unchanged();
        let inbox = bus.client.new_inbox();
        let requests = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        let watch = bus
            .denials
            .watch(vec![requests.clone()], Inbox::Own(inbox.clone()));
        let messages = bus
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|source| BusError::Setting {
                what: format!("the subscription for {consumer}"),
                source: source.into(),
            })?;
        Ok(Self {
            bus: bus.clone(),
            requests,
            inbox,
            messages,
            watch,
            connections,
            outstanding: 0,
            heard: Instant::now(),
        })
    }

    /// How many messages were asked for and have not come.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Asks for this many messages more.
    pub(crate) async fn ask(&mut self, batch: usize) {
        let nanoseconds =
            |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let request = json!({
            "batch": batch,
            "expires": nanoseconds(EXPIRES),
            "idle_heartbeat": nanoseconds(HEARTBEAT),
        });
        if self.outstanding == 0 {
            self.heard = Instant::now();
        }
        let sent = self
            .bus
            .client
            .publish_with_reply(
                self.requests.clone(),
                self.inbox.clone(),
                request.to_string().into(),
            )
            .await;
        self.outstanding += batch;
        if let Err(error) = sent {
            // The silence that follows ends this subscription.
            tracing::debug!(%error, "a request for messages could not be sent");
        }
    }

    /// The next thing that comes. Can be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Pulled {
        let silent = async {
            match self.outstanding {
                0 => std::future::pending().await,
                _ => tokio::time::sleep_until(self.heard + SILENCE).await,
            }
        };
        tokio::select! {
            biased;
            message = self.messages.next() => {
                self.heard = Instant::now();
                match message {
                    Some(message) => self.sort(message),
                    None => Pulled::Lost("the subscription ended".into()),
                }
            }
            denial = self.watch.denied() => Pulled::Denied(denial.into_error("taking messages")),
            _ = self.connections.changed() => Pulled::Lost("the connection was made anew".into()),
            () = silent => Pulled::Lost(format!("nothing was heard for {SILENCE:?}")),
        }
    }

    /// Messages and statuses come on the same subject.
    fn sort(&mut self, message: Message) -> Pulled {
        let Some(status) = message.status.filter(|_| message.reply.is_none()) else {
            self.outstanding = self.outstanding.saturating_sub(1);
            return Pulled::Message(message);
        };
        let text = message.description.as_deref().unwrap_or_default();
        match (status.as_u16(), left_over(message.headers.as_ref())) {
            (100, _) => Pulled::Nothing,
            // A request ended before all its messages came: it says how many did not.
            (404 | 408, Some(left)) => {
                self.outstanding = self.outstanding.saturating_sub(left);
                Pulled::Nothing
            }
            (status, _) => Pulled::Lost(format!("{text} ({status})")),
        }
    }

    /// Ends the subscription at once, and returns what had come and nobody has looked at. A subscription that drains
    /// while its connection breaks is taken to the next connection by the client and forgotten there, and the broker
    /// goes on handing messages to nobody (async-nats 0.51).
    pub(crate) fn abandon(mut self) -> Vec<Message> {
        let mut rest = Vec::new();
        while let Some(Some(message)) = self.messages.next().now_or_never() {
            if message.reply.is_some() {
                rest.push(message);
            }
        }
        rest
    }

    /// Ends the subscription in order, and returns what had come and nobody has looked at.
    pub(crate) async fn close(mut self) -> Vec<Message> {
        let mut rest = Vec::new();
        if self.messages.drain().await.is_ok() {
            let collect = async {
                while let Some(message) = self.messages.next().await {
                    if message.reply.is_some() {
                        rest.push(message);
                    }
                }
            };
            // While there is no connection it does not end.
            let _ = tokio::time::timeout(DRAIN, collect).await;
        }
        rest
    }
}

fn left_over(headers: Option<&HeaderMap>) -> Option<usize> {
    headers?
        .get(header::PENDING_MESSAGES)?
        .as_str()
        .parse()
        .ok()
}
