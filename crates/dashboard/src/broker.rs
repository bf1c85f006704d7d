//! How the broker stands: its streams, the work that waits in it, armed slots, dead letters, and who is alive.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use bus::topology::{Item, Standing, Topology};
use bus::{Bus, BusError, dead};
use jiff::Timestamp;
use model::name::RackName;
use model::subject::{Subject, filter, stream};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::living::{self, RoleView};
use crate::poll::poll;

/// How often the broker is asked.
const EVERY: Duration = Duration::from_secs(5);

/// How long it may take for an answer: as long again is no news.
const PATIENCE: Duration = Duration::from_secs(4);

/// How many of the dead letters are shown: the newest.
const SHOWN: u64 = 100;

/// How the broker stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct BrokerView {
    /// When that was asked; `None`: not yet.
    pub at: Option<Timestamp>,
    /// The version of the server that is connected to.
    pub version: String,
    /// racktick's streams and buckets.
    pub streams: Vec<StreamView>,
    /// The kinds of work.
    pub work: Vec<WorkView>,
    /// The streams and consumers that do not answer, as while no server leads them.
    pub silent: Vec<String>,
    /// Who is alive; `None` where the broker does not let the dashboard ask.
    pub roles: Option<Vec<RoleView>>,
    /// The slots that are armed.
    pub armed: BTreeSet<Slot>,
    /// How many dead letters there are.
    pub dead_letters: u64,
    /// The newest of them, the newest first.
    pub newest_dead: Vec<DeadView>,
    /// The last dead letter that was read: nothing is read again while it and their number are the same.
    #[serde(skip)]
    last_dead: u64,
}

/// How a stream or a bucket is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
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
    /// The servers that lack a copy of who has which task, as of a stream.
    pub lacking: Vec<String>,
    /// When the oldest of them that is not done became due; `None` without any, and where the broker does not let the
    /// dashboard look.
    pub oldest: Option<Timestamp>,
}

/// A slot that waits in the broker until it is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct Slot {
    /// When it is due.
    pub at: Timestamp,
    /// Whose.
    pub rack: RackName,
}

/// A dead letter in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
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

impl BrokerView {
    /// Whether the slot waits in the broker.
    pub fn is_armed(&self, rack: &RackName, at: Timestamp) -> bool {
        let rack = rack.clone();
        self.armed.contains(&Slot { at, rack })
    }
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
    let (roles, sight) = tokio::join!(
        living::roles(bus, last.roles.as_deref()),
        topology.look(bus, PATIENCE)
    );
    view.roles = roles?;
    let sight = sight?;
    view.silent = sight.silent.iter().map(ToString::to_string).collect();
    for standing in sight.standings {
        match (&standing.item, &standing.work) {
            (Item::Consumer { stream, name }, Some(work)) => view.work.push(WorkView {
                kind: name.clone(),
                waiting: work.waiting,
                at_work: work.out,
                again: work.again,
                takers: work.takers,
                lacking: lacking(&standing),
                oldest: match work.waiting + work.out {
                    0 => None,
                    _ => oldest(bus, topology, stream, name).await?,
                },
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
    view.streams.sort_by(|a, b| a.name.cmp(&b.name));
    let armed = bus.subjects(stream::RACK, filter::ARMED_SLOTS).await?;
    let slots = armed.keys().filter_map(|subject| match subject.parse() {
        Ok(Subject::Slot { rack, slot }) => Some(Slot { at: slot, rack }),
        _ => None,
    });
    view.armed = slots.collect();
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

/// When the oldest task that a consumer has not done became due.
async fn oldest(
    bus: &Bus,
    topology: &Topology,
    stream: &str,
    consumer: &str,
) -> Result<Option<Timestamp>, BusError> {
    let declared = topology.consumers.get(&(stream.into(), consumer.into()));
    let filter = declared.and_then(|config| config.get("filter_subject")?.as_str());
    match bus.next_on(stream, filter.unwrap_or(">"), 1).await {
        Ok(first) => Ok(first.map(|first| first.time)),
        Err(BusError::Denied { .. }) => Ok(None),
        Err(error) => Err(error),
    }
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
