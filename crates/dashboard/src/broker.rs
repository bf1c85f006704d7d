//! How the broker stands: its streams, the work that waits in it, and dead letters.

use std::convert::Infallible;
use std::time::Duration;

use bus::topology::{Item, Standing, Topology};
use bus::{Bus, BusError, dead};
use jiff::Timestamp;
use model::subject::{filter, stream};
use serde::Serialize;
use tokio::sync::watch;

use crate::poll::poll;

/// How often the broker is asked.
const EVERY: Duration = Duration::from_secs(5);

/// How many of the dead letters are shown: the newest.
const SHOWN: u64 = 100;

/// How the broker stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BrokerView {
    /// When that was asked; `None`: not yet.
    pub at: Option<Timestamp>,
    /// The version of the server that is connected to.
    pub version: String,
    /// racktick's streams and buckets.
    pub streams: Vec<StreamView>,
    /// The kinds of work.
    pub work: Vec<WorkView>,
    /// How many dead letters there are.
    pub dead_letters: u64,
    /// The newest of them, the newest first.
    pub newest_dead: Vec<DeadView>,
    /// The last dead letter that was read: nothing is read again while it and their number are the same.
    #[serde(skip)]
    last_dead: u64,
}

/// How a stream or a bucket is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamView {
    /// Which, such as `stream TASK` or `bucket racks`.
    pub name: String,
    /// On how many servers it is to be kept.
    pub replicas: u64,
    /// The server that leads it, in a cluster.
    pub leader: Option<String>,
    /// The servers that are away, behind, or still to be given their copy.
    pub lacking: Vec<String>,
}

/// One kind of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkView {
    /// Which: `tick`, `submit` or `watch`.
    pub kind: String,
    /// How many tasks wait.
    pub waiting: u64,
    /// How many are at work.
    pub at_work: u64,
    /// How many of these not for the first time.
    pub again: u64,
    /// How many requests of workers wait for some.
    pub takers: u64,
}

/// A dead letter in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadView {
    /// Its number, by which `racktick dlq` names it.
    pub number: u64,
    /// When it was given up.
    pub at: Timestamp,
    /// Where the message was.
    pub subject: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it cannot succeed.
    pub reason: String,
    /// The worker that gave up.
    pub by: String,
}

/// Keeps the view up with the broker.
pub async fn follow(bus: &Bus, view: &watch::Sender<BrokerView>) -> Infallible {
    let topology = Topology::declared(Default::default());
    poll("the broker's state", EVERY, view, async |last| {
        read(bus, &topology, last).await
    })
    .await
}

async fn read(bus: &Bus, topology: &Topology, last: &BrokerView) -> Result<BrokerView, BusError> {
    let at = Timestamp::now();
    let mut view = BrokerView {
        at: Some(at),
        version: bus.server_version().to_string(),
        ..BrokerView::default()
    };
    for standing in topology.standing(bus).await? {
        match (&standing.item, &standing.work) {
            (Item::Consumer { name, .. }, Some(work)) => view.work.push(WorkView {
                kind: name.clone(),
                waiting: work.waiting,
                at_work: work.out,
                again: work.again,
                takers: work.takers,
            }),
            (Item::Stream(_), _) => view.streams.push(StreamView {
                name: standing.item.to_string(),
                replicas: standing.replicas,
                lacking: lacking(&standing),
                // A single server leads everything, under a name that says nothing.
                leader: standing.cluster.and(standing.leader),
            }),
            _ => {}
        }
    }
    let subjects = bus.subjects(stream::DLQ, filter::DEAD).await?;
    view.dead_letters = subjects.values().sum();
    view.last_dead = bus.stream_state(stream::DLQ).await?.last;
    let known = |view: &BrokerView| (view.dead_letters, view.last_dead);
    view.newest_dead = match last.at.is_some() && known(last) == known(&view) {
        true => last.newest_dead.clone(),
        false => newest_dead(bus, view.last_dead).await?,
    };
    Ok(view)
}

fn lacking(standing: &Standing) -> Vec<String> {
    let followers = standing.followers.iter();
    let behind = followers.filter(|follower| follower.offline || !follower.current);
    let mut lacking: Vec<String> = behind.map(|follower| follower.name.clone()).collect();
    let missing = standing.lacking();
    if missing > 0 {
        lacking.push(format!("{missing} to be given a copy"));
    }
    lacking
}

async fn newest_dead(bus: &Bus, last: u64) -> Result<Vec<DeadView>, BusError> {
    let letters = dead::after(bus, last.saturating_sub(SHOWN)).await?;
    let lines = letters.into_iter().rev().map(|kept| DeadView {
        number: kept.sequence,
        at: kept.letter.at,
        subject: kept.letter.subject,
        attempts: kept.letter.attempts,
        reason: kept.letter.reason,
        by: kept.letter.by,
    });
    Ok(lines.collect())
}
