//! One kind of work: its consumer, its free hands, and what to do when the consumer is lost.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use jiff::Timestamp;
use model::task::TaskKind;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::attempt::{Post, attempt};
use super::{Drained, Handle, Observer, settle};
use crate::connect::Bus;
use crate::error::BusError;
use crate::pull::{Pull, Pulled};
use crate::topology;
use crate::wire::pause;

pub(super) struct Line {
    bus: Bus,
    worker: String,
    kind: TaskKind,
    stream: &'static str,
    capacity: usize,
    handler: Arc<dyn Handle>,
    observers: Vec<Arc<dyn Observer>>,
}

#[derive(Deserialize)]
struct StreamInfo {
    created: Timestamp,
}

#[derive(Deserialize)]
struct ConsumerInfo {
    config: ConsumerConfig,
}

#[derive(Deserialize)]
struct ConsumerConfig {
    /// In nanoseconds; absent means 30 seconds.
    #[serde(default)]
    ack_wait: Option<u64>,
    /// Absent or negative means without end.
    #[serde(default)]
    max_deliver: Option<i64>,
}

/// Why taking messages ended.
enum Ended {
    Shutdown { returned: usize },
    Lost(String),
}

/// The trouble there was at last, so that it is logged once.
#[derive(Default)]
struct Trouble {
    logged: bool,
    failures: u32,
}

impl Trouble {
    fn met(&mut self, kind: &str, why: &dyn std::fmt::Display) {
        if !std::mem::replace(&mut self.logged, true) {
            tracing::warn!(kind, %why, "tasks cannot be taken, trying again");
        }
        self.failures += 1;
    }

    fn over(&mut self, kind: &str) {
        if self.logged {
            tracing::info!(kind, "tasks are taken again");
        }
        *self = Self::default();
    }
}

impl Line {
    pub(super) fn new(
        bus: Bus,
        worker: &str,
        kind: TaskKind,
        capacity: usize,
        handler: Arc<dyn Handle>,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Self {
        Self {
            bus,
            worker: worker.into(),
            kind,
            stream: topology::stream_of(kind),
            capacity,
            handler,
            observers,
        }
    }

    pub(super) async fn run(self, mut stopped: watch::Receiver<bool>, grace: Duration) -> Drained {
        let kind = self.kind.as_str();
        let mut running = JoinSet::new();
        let mut trouble = Trouble::default();
        let returned = loop {
            let bound = tokio::select! {
                () = told(&mut stopped) => break 0,
                bound = self.bind() => bound,
            };
            match bound {
                Ok((post, pull)) => {
                    match self
                        .take(&mut running, &post, pull, &mut stopped, &mut trouble)
                        .await
                    {
                        Ended::Shutdown { returned } => break returned,
                        Ended::Lost(why) => trouble.met(kind, &why),
                    }
                }
                Err(error) => trouble.met(kind, &error),
            }
            tokio::select! {
                () = told(&mut stopped) => break 0,
                () = tokio::time::sleep(pause(trouble.failures)) => {}
            }
        };
        let begun = running.len();
        let finish = async { while running.join_next().await.is_some() {} };
        let aborted = match tokio::time::timeout(grace, finish).await {
            Ok(()) => 0,
            Err(_) => running.len(),
        };
        running.shutdown().await;
        Drained {
            finished: begun - aborted,
            returned,
            aborted,
        }
    }

    /// Finds the consumer and the facts that hold for all its messages.
    async fn bind(&self) -> Result<(Arc<Post>, Pull), BusError> {
        let (stream, consumer) = (self.stream, self.kind.as_str());
        let what = format!("binding to consumer {consumer} of {stream}");
        let info: StreamInfo = self
            .bus
            .api(&what, &format!("STREAM.INFO.{stream}"), &json!({}))
            .await?;
        let ConsumerInfo { config } = self
            .bus
            .api(
                &what,
                &format!("CONSUMER.INFO.{stream}.{consumer}"),
                &json!({}),
            )
            .await?;
        let post = Post {
            bus: self.bus.clone(),
            worker: self.worker.clone(),
            kind: self.kind,
            stream,
            stream_created: info.created,
            ack_wait: config
                .ack_wait
                .map_or(Duration::from_secs(30), Duration::from_nanos),
            max_deliver: config
                .max_deliver
                .and_then(|number| u32::try_from(number).ok())
                .filter(|number| *number > 0),
            handler: Arc::clone(&self.handler),
            observers: self.observers.clone(),
        };
        Ok((
            Arc::new(post),
            Pull::open(&self.bus, stream, consumer).await?,
        ))
    }

    /// Takes as many messages as there are free hands, until the shutdown or until the consumer is lost.
    async fn take(
        &self,
        running: &mut JoinSet<()>,
        post: &Arc<Post>,
        mut pull: Pull,
        stopped: &mut watch::Receiver<bool>,
        trouble: &mut Trouble,
    ) -> Ended {
        let lost = loop {
            let awaited = pull.outstanding();
            let free = self.capacity.saturating_sub(running.len() + awaited);
            // One message per request would double the traffic, so a request waits until a quarter of the hands is
            // free, unless nothing is asked for at all.
            if free > 0
                && (awaited == 0 || (awaited <= self.capacity / 2 && free >= self.capacity / 4))
            {
                pull.ask(free).await;
            }
            tokio::select! {
                biased;
                () = told(stopped) => break None,
                Some(ended) = running.join_next() => note(self.kind, ended),
                pulled = pull.next() => match pulled {
                    Pulled::Nothing => trouble.over(self.kind.as_str()),
                    Pulled::Lost(why) => break Some(why),
                    Pulled::Denied(error) => break Some(error.to_string()),
                    Pulled::Message(message) => {
                        trouble.over(self.kind.as_str());
                        if running.len() < self.capacity {
                            running.spawn(attempt(Arc::clone(post), message));
                        } else {
                            // More than was asked for: it must not wait here for a free hand.
                            self.hand_back(vec![message]).await;
                        }
                    }
                },
            }
        };
        let rest = match lost {
            None => pull.close().await,
            Some(_) => pull.abandon(),
        };
        let returned = rest.len();
        self.hand_back(rest).await;
        match lost {
            None => Ended::Shutdown { returned },
            Some(why) => Ended::Lost(why),
        }
    }

    async fn hand_back(&self, messages: Vec<Message>) {
        for reply in messages.into_iter().filter_map(|message| message.reply) {
            settle::again(&self.bus, &reply, Duration::ZERO).await;
        }
    }
}

/// Waits for the shutdown.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // An error means that the runtime itself is gone, which is a shutdown, too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Attempts catch the panics of handlers, so only an abort or a mistake of ours arrives here.
fn note(kind: TaskKind, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(kind = kind.as_str(), %error, "an attempt broke off; its message will come again");
    }
}
