//! The broker's raw limit: the same number of stored messages with nothing done about them. Each message is fetched, the
//! next is published and its storing awaited, and the message is acknowledged and that confirmed, on one work queue with
//! one consumer and as many at a time as the worker has at work.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use async_nats::Client;
use broker::Binary;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::brokers::Brokers;
use crate::child::Child;
use crate::process;
use crate::sync::SyncPolicy;

/// About what racktick's messages have, in bytes.
const BODY: usize = 300;
/// How long the broker may take for one message.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the raw program is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) nats: String,
    pub(crate) jobs: usize,
    /// Messages to store for each job.
    pub(crate) stored: usize,
    pub(crate) at_once: usize,
    pub(crate) replicas: usize,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Raw {
    /// Seconds until all were acknowledged.
    pub(crate) seconds: f64,
    /// User and system time of the program, in seconds.
    pub(crate) own_cpu: f64,
    /// The same of the broker.
    #[serde(default)]
    pub(crate) broker_cpu: f64,
}

/// Measures it with a broker of its own.
pub(crate) async fn run(
    policy: SyncPolicy,
    jobs: usize,
    stored: usize,
    at_once: usize,
    binary: &Binary,
) -> anyhow::Result<Raw> {
    let folder = tempfile::tempdir()?;
    let brokers = Brokers::start(policy, binary, folder.path()).await?;
    let orders = Orders {
        nats: brokers.url(),
        jobs,
        stored,
        at_once,
        replicas: if policy == SyncPolicy::Cluster { 3 } else { 1 },
    };
    let mut program = Child::start("raw", &orders, folder.path())?;
    let _: String = program.hear().await?;
    let before = brokers.cpu()?;
    program.go().await?;
    let raw: Raw = program.hear().await?;
    let broker_cpu = brokers.cpu()? - before;
    program.end().await?;
    brokers.stop().await?;
    Ok(Raw { broker_cpu, ..raw })
}

/// The program's part.
pub(crate) struct Program {
    client: Client,
    orders: Orders,
}

impl Program {
    /// Connects and makes the stream.
    pub(crate) async fn new(orders: Orders) -> anyhow::Result<Self> {
        let servers = orders
            .nats
            .split(',')
            .map(str::parse)
            .collect::<Result<Vec<async_nats::ServerAddr>, _>>()?;
        let client = async_nats::ConnectOptions::new()
            .request_timeout(Some(PATIENCE))
            .connect(servers)
            .await?;
        let program = Self { client, orders };
        let stream = json!({
            "name": "RAW", "subjects": ["raw.>"], "retention": "workqueue", "storage": "file",
            "num_replicas": program.orders.replicas,
        });
        program.api("STREAM.CREATE.RAW", &stream).await?;
        let consumer = json!({"stream_name": "RAW", "config": {
            "durable_name": "raw", "ack_policy": "explicit", "max_ack_pending": 4096,
        }});
        program
            .api("CONSUMER.DURABLE.CREATE.RAW.raw", &consumer)
            .await?;
        Ok(program)
    }

    async fn api(&self, operation: &str, body: &Value) -> anyhow::Result<()> {
        let subject = format!("$JS.API.{operation}");
        let answer = self
            .client
            .request(subject, body.to_string().into())
            .await?;
        let answer: Value = serde_json::from_slice(&answer.payload)?;
        ensure!(
            answer["error"].is_null(),
            "{operation}: {}",
            answer["error"]
        );
        Ok(())
    }

    /// Stores, fetches and acknowledges all messages.
    pub(crate) async fn run(&self) -> anyhow::Result<Raw> {
        let Orders {
            jobs,
            stored,
            at_once,
            ..
        } = self.orders;
        let cpu = process::cpu(std::process::id())?;
        let begun = Instant::now();
        // One message per job to begin with; each is followed by the next of its job when it is handled.
        let firsts = stream::iter(0..jobs).map(|job| publish(self.client.clone(), job, 1));
        let feed = async {
            let mut firsts = firsts.buffer_unordered(at_once);
            while let Some(first) = firsts.next().await {
                first?;
            }
            anyhow::Ok(())
        };
        tokio::try_join!(feed, self.handle(jobs * stored, stored, at_once))?;
        Ok(Raw {
            seconds: begun.elapsed().as_secs_f64(),
            own_cpu: (process::cpu(std::process::id())? - cpu).as_secs_f64(),
            broker_cpu: 0.0,
        })
    }

    async fn handle(&self, all: usize, stored: usize, at_once: usize) -> anyhow::Result<()> {
        let inbox = self.client.new_inbox();
        let mut messages = self.client.subscribe(inbox.clone()).await?;
        let mut running = JoinSet::new();
        let (mut taken, mut asked) = (0, 0);
        while taken < all || !running.is_empty() {
            let free = at_once
                .saturating_sub(running.len() + asked)
                .min(all - taken - asked);
            if free > 0 && (asked == 0 || free >= at_once / 4) {
                let request = json!({"batch": free, "expires": 30_000_000_000_u64});
                let subject = "$JS.API.CONSUMER.MSG.NEXT.RAW.raw";
                self.client
                    .publish_with_reply(subject, inbox.clone(), request.to_string().into())
                    .await?;
                asked += free;
            }
            tokio::select! {
                biased;
                Some(ended) = running.join_next() => ended??,
                message = tokio::time::timeout(PATIENCE, messages.next()), if asked > 0 => {
                    let message = message?.context("the subscription ended")?;
                    let reply = message.reply.context("only messages come: nothing expires")?;
                    (taken, asked) = (taken + 1, asked - 1);
                    running.spawn(one(self.client.clone(), message.subject, reply, stored));
                }
            }
        }
        Ok(())
    }
}

/// Handles a message: the next one of its job, then its own acknowledgement.
async fn one(
    client: Client,
    subject: async_nats::Subject,
    reply: async_nats::Subject,
    stored: usize,
) -> anyhow::Result<()> {
    let mut words = subject.split('.').skip(1).map(str::parse::<usize>);
    let (job, step) = words.next().zip(words.next()).context("raw.<job>.<step>")?;
    let (job, step) = (job?, step?);
    if step < stored {
        publish(client.clone(), job, step + 1).await?;
    }
    client.request(reply, "+ACK".into()).await?;
    Ok(())
}

async fn publish(client: Client, job: usize, step: usize) -> anyhow::Result<()> {
    let subject = format!("raw.{job}.{step}");
    let answer = client.request(subject, vec![b'x'; BODY].into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    ensure!(answer["error"].is_null(), "{}", answer["error"]);
    Ok(())
}
