//! Looking at a server: what it has of a topology, how that stands, and what does not answer.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::try_join_all;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::standing::{Cluster, Listed, replicas};
use super::{Config, Difference, Item, Standing, Topology, Work, is_work_queue};
use crate::connect::Bus;
use crate::error::BusError;
use crate::wire::{ONE_TRY, PATIENCE};

/// A list of consumers is there after four seconds at the latest: so long a cluster waits for those without a leader, and
/// then names them (observed with 2.14.6 and 2.15.1).
const LIST: Duration = Duration::from_secs(6);

/// What a server says of a topology at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sight {
    /// What it has of the streams that the topology names, and all consumers of its work queues.
    pub found: Topology,
    /// How everything in the topology stands. What is missing or silent is left out.
    pub standings: Vec<Standing>,
    /// What may be there and does not answer: nobody leads it, and only its leader could.
    pub silent: BTreeSet<Item>,
}

impl Sight {
    /// What the server has not, or has otherwise, than is declared. Of what is silent no more is known than that.
    pub fn compare(&self, declared: &Topology) -> Vec<Difference> {
        let mut differences = declared.compare(&self.found);
        differences.retain(
            |difference| !matches!(difference, Difference::Missing(item) if self.silent.contains(item)),
        );
        differences.extend(self.silent.iter().cloned().map(Difference::Silent));
        differences
    }
}

impl Topology {
    /// Looks at what the server has of this topology. Answers about a third longer than `patience` at the latest, or
    /// after six seconds, whatever does not answer.
    ///
    /// # Errors
    /// When the broker cannot be asked at all.
    pub async fn look(&self, bus: &Bus, patience: Duration) -> Result<Sight, BusError> {
        let streams = self
            .streams
            .iter()
            .map(|(name, config)| self.look_at(bus, name, is_work_queue(config), patience));
        let mut all = Sight::default();
        for mut sight in try_join_all(streams).await? {
            all.found.streams.append(&mut sight.found.streams);
            all.found.consumers.append(&mut sight.found.consumers);
            all.standings.append(&mut sight.standings);
            all.silent.append(&mut sight.silent);
        }
        // Streams first, as they are declared.
        all.standings
            .sort_by_key(|standing| standing.work.is_some());
        Ok(all)
    }

    /// One stream and, since readers of others come and go, a work queue's consumers.
    async fn look_at(
        &self,
        bus: &Bus,
        stream: &str,
        is_queue: bool,
        patience: Duration,
    ) -> Result<Sight, BusError> {
        let mut sight = Sight::default();
        let item = Item::Stream(stream.into());
        let (state, listed) = tokio::join!(state(bus, stream, patience), async {
            match is_queue {
                true => consumers(bus, stream, patience).await,
                false => Ok(List::default()),
            }
        });
        let mut copies = 0;
        match state {
            Ok(None) => return Ok(sight),
            Ok(Some(state)) => {
                copies = replicas(&state.config);
                let standing = Standing::of(item, copies, state.cluster, None);
                sight.standings.push(standing);
                sight.found.streams.insert(stream.into(), state.config);
            }
            Err(error) if is_silence(&error) => drop(sight.silent.insert(item)),
            Err(error) => return Err(error),
        }
        let consumer = |name: &str| Item::Consumer {
            stream: stream.into(),
            name: name.into(),
        };
        let declared = self.consumers.keys().filter(|(of, _)| of == stream);
        let list = match listed {
            Ok(list) => list,
            Err(error) if is_silence(&error) => {
                sight
                    .silent
                    .extend(declared.map(|(_, name)| consumer(name)));
                return Ok(sight);
            }
            // It was deleted meanwhile.
            Err(BusError::Missing { .. }) => return Ok(sight),
            Err(error) => return Err(error),
        };
        sight
            .silent
            .extend(list.silent.iter().map(|name| consumer(name)));
        for listed in list.consumers {
            let key = (stream.to_owned(), listed.name.clone());
            if self.consumers.contains_key(&key) {
                let replicas = match replicas(&listed.config) {
                    0 => copies,
                    own => own,
                };
                let work = Work::of(&listed);
                let item = consumer(&listed.name);
                let standing = Standing::of(item, replicas, listed.cluster, Some(work));
                sight.standings.push(standing);
            }
            sight.found.consumers.insert(key, listed.config);
        }
        Ok(sight)
    }

    /// What a server has of the streams that this topology names, and all consumers of its work queues.
    ///
    /// # Errors
    /// When the broker cannot be asked, or something of it does not answer.
    pub async fn found(&self, bus: &Bus) -> Result<Self, BusError> {
        let sight = self.look(bus, PATIENCE).await?;
        match sight.silent.first() {
            None => Ok(sight.found),
            Some(item) => Err(no_leader(item)),
        }
    }
}

/// What is said of a thing that does not answer, and that nothing can be done without.
pub(super) fn no_leader(item: &Item) -> BusError {
    BusError::Unavailable {
        what: format!("reading {item}"),
        description: "it does not answer, as while no server leads it; `racktick doctor` says more"
            .into(),
    }
}

fn is_silence(error: &BusError) -> bool {
    matches!(
        error,
        BusError::Unknown { .. } | BusError::Unavailable { .. }
    )
}

/// A stream as the server has it.
#[derive(Deserialize)]
pub(super) struct State {
    config: Config,
    pub(super) state: Contents,
    #[serde(default)]
    cluster: Cluster,
}

/// What a stream holds.
#[derive(Deserialize)]
pub(super) struct Contents {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_ts: Timestamp,
}

/// Asks for a stream; `None` when it does not exist.
pub(super) async fn state(
    bus: &Bus,
    stream: &str,
    patience: Duration,
) -> Result<Option<State>, BusError> {
    let what = format!("reading stream {stream}");
    let operation = format!("STREAM.INFO.{stream}");
    match bus
        .api_for(ONE_TRY, patience, &what, &operation, &json!({}))
        .await
    {
        Ok(state) => Ok(Some(state)),
        Err(BusError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The consumers of a stream.
#[derive(Default)]
struct List {
    consumers: Vec<Listed>,
    /// Those whose leader did not say how they are, by name.
    silent: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Page {
    total: usize,
    #[serde(default)]
    consumers: Option<Vec<Listed>>,
    #[serde(default)]
    missing: Option<Vec<String>>,
}

/// Asks again while some are silent: an election takes a few seconds.
async fn consumers(bus: &Bus, stream: &str, patience: Duration) -> Result<List, BusError> {
    let since = Instant::now();
    loop {
        let left = patience.saturating_sub(since.elapsed());
        let list = list(bus, stream, left).await?;
        if list.silent.is_empty() || since.elapsed() >= patience {
            return Ok(list);
        }
    }
}

async fn list(bus: &Bus, stream: &str, patience: Duration) -> Result<List, BusError> {
    let what = format!("listing the consumers of {stream}");
    let operation = format!("CONSUMER.LIST.{stream}");
    let mut all = List::default();
    loop {
        let seen = all.consumers.len() + all.silent.len();
        let page: Page = bus
            .api_for(LIST, patience, &what, &operation, &json!({"offset": seen}))
            .await?;
        all.consumers.extend(page.consumers.unwrap_or_default());
        all.silent.extend(page.missing.unwrap_or_default());
        let now = all.consumers.len() + all.silent.len();
        if now == seen || now >= page.total {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Retention;
    use super::*;

    #[test]
    fn what_does_not_answer_is_not_missing_and_no_danger_to_other_work() {
        let declared = Topology::declared(Retention::default());
        let mut sight = Sight {
            found: declared.clone(),
            ..Sight::default()
        };
        let [one, other] = ["submit", "watch"].map(|name| ("TASK".to_owned(), name.to_owned()));
        let silent = Item::Consumer {
            stream: one.0.clone(),
            name: one.1.clone(),
        };
        sight.found.consumers.remove(&one);
        sight.found.consumers.remove(&other);
        sight.silent.insert(silent.clone());
        let differences = sight.compare(&declared);
        let [
            Difference::Missing(Item::Consumer { name, .. }),
            said @ Difference::Silent(item),
        ] = differences.as_slice()
        else {
            panic!("{differences:?}");
        };
        assert_eq!((name, item, said.danger()), (&other.1, &silent, None));
    }

    /// As 2.15.1 answers when one of two consumers has no leader.
    #[test]
    fn a_page_names_those_whose_leader_did_not_answer() {
        let text = r#"{"total": 2, "offset": 0, "limit": 256, "missing": ["watch"],
            "consumers": [{"name": "submit", "config": {"max_ack_pending": 4096}, "num_pending": 3,
                "cluster": {"name": "c", "leader": "n1"}}]}"#;
        let page: Page = serde_json::from_str(text).unwrap();
        let consumers = page.consumers.unwrap();
        let work = Work::of(&consumers[0]);
        assert_eq!((work.waiting, work.most_out), (3, 4096));
        assert_eq!(page.missing.unwrap(), ["watch"]);
    }
}
