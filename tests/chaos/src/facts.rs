//! Everything that can be known of a round afterwards, as values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::{Bus, Start, dead};
use jiff::Timestamp;
use lab::JobView;
use ledger::Ledger;
use model::cycle::{CycleRecord, Fate};
use model::event::Event;
use model::id::CycleId;
use model::machine::MachineRecord;
use model::name::{MachineName, RackName};
use model::outcome::Outcome;
use model::subject::{filter, stream};
use serde::Deserialize;

use crate::journal::Injected;
use crate::stage::{POST_LIMIT, SETTLE, Stage};

/// A tick that the broker confirmed, or a slot that came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Owed {
    pub(crate) rack: RackName,
    /// `None` for a bare rack name: its cycle's id follows from its place in the stream.
    pub(crate) cycle: Option<CycleId>,
}

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) subject: String,
    /// The id in its body.
    pub(crate) id: String,
    /// `None` for one that this build does not know.
    pub(crate) event: Option<Event>,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Letter {
    pub(crate) subject: String,
    pub(crate) reason: String,
}

/// A job in the lab.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) created_at: Timestamp,
}

/// All that was there when it was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Facts {
    /// The settle time in force.
    pub(crate) settle: Duration,
    /// The longest a POST may take.
    pub(crate) post_limit: Duration,
    /// The machines of each rack in MAAS.
    pub(crate) racks: BTreeMap<RackName, BTreeSet<MachineName>>,
    pub(crate) owed: Vec<Owed>,
    pub(crate) cycles: Vec<CycleRecord>,
    pub(crate) machines: BTreeMap<MachineName, MachineRecord>,
    pub(crate) events: Vec<Told>,
    /// Subjects of the messages in TASK.
    pub(crate) tasks: Vec<String>,
    /// Subjects of the ticks in RACK that were not done; armed slots are none.
    pub(crate) ticks: Vec<String>,
    /// Subjects of messages that the broker delivers no more.
    pub(crate) exhausted: Vec<String>,
    pub(crate) letters: Vec<Letter>,
    /// Jobs by cycle and machine, forgotten ones too, by the lab's counters.
    pub(crate) posted: BTreeMap<CycleId, BTreeMap<MachineName, u64>>,
    /// Jobs that the lab still knows, doubles too.
    pub(crate) jobs: Vec<Job>,
    pub(crate) injected: Injected,
    pub(crate) read_at: Timestamp,
}

impl Facts {
    /// What became of each job that was decided.
    pub(crate) fn decided(&self) -> impl Iterator<Item = Option<&Outcome>> {
        self.cycles.iter().flat_map(|record| {
            let deploy = match &record.fate {
                Fate::Planned(planned) => Some(planned.deploy.keys()),
                Fate::Missed { .. } | Fate::Failed { .. } => None,
            };
            let machines = deploy.into_iter().flatten();
            machines.map(|machine| record.outcomes.get(machine))
        })
    }

    /// Reads everything.
    pub(crate) async fn collect(
        stage: &Stage,
        owed: &[Owed],
        injected: Injected,
    ) -> anyhow::Result<Self> {
        let ledger = &stage.ledger;
        let bus = ledger.bus();
        let stats = stage.lab.stats().await?;
        let exhausted = dead::stuck(bus).await?.into_iter();
        let letters = dead::list(bus).await?.into_iter();
        let mut posted = BTreeMap::new();
        for (cycle, machines) in &stats.jobs_by_cycle {
            let counts: Result<_, _> = machines
                .iter()
                .map(|(name, count)| MachineName::new(name).map(|name| (name, *count)))
                .collect();
            posted.insert(cycle.parse()?, counts?);
        }
        Ok(Self {
            settle: SETTLE,
            post_limit: POST_LIMIT,
            racks: stage.lab.racks().await?,
            owed: owed.to_vec(),
            cycles: cycles(ledger).await?,
            machines: machines(ledger).await?,
            events: events(bus).await?,
            tasks: subjects(bus, stream::TASK, ">").await?,
            ticks: [
                subjects(bus, stream::RACK, "rack.tick").await?,
                subjects(bus, stream::RACK, "rack.schedule.*.retry.*").await?,
            ]
            .concat(),
            exhausted: exhausted.map(|stuck| stuck.message.subject).collect(),
            letters: letters
                .map(|kept| Letter {
                    subject: kept.letter.subject,
                    reason: kept.letter.reason,
                })
                .collect(),
            posted,
            jobs: stage.lab.jobs().await?.into_iter().map(Job::of).collect(),
            injected,
            read_at: Timestamp::now(),
        })
    }
}

impl Job {
    fn of(view: JobView) -> Self {
        Self {
            id: view.job_id,
            created_at: view.created_at,
        }
    }
}

async fn cycles(ledger: &Ledger) -> anyhow::Result<Vec<CycleRecord>> {
    let entries = ledger.cycles().entries(">").await?;
    Ok(entries.into_values().map(|entry| entry.value).collect())
}

async fn machines(ledger: &Ledger) -> anyhow::Result<BTreeMap<MachineName, MachineRecord>> {
    let entries = ledger.machines().entries(">").await?;
    let named = entries.into_iter().filter_map(|(key, entry)| {
        model::subject::key::parse_machine(&key).map(|name| (name, entry.value))
    });
    Ok(named.collect())
}

async fn events(bus: &Bus) -> anyhow::Result<Vec<Told>> {
    #[derive(Deserialize)]
    struct Envelope {
        id: String,
    }
    let stored = bus
        .read(stream::EVENTS, filter::EVENTS, Start::All)
        .await?
        .to_end()
        .await?;
    stored
        .into_iter()
        .map(|stored| {
            let envelope: Envelope = serde_json::from_slice(&stored.body)?;
            Ok(Told {
                subject: stored.subject.clone(),
                id: envelope.id,
                event: Event::from_json(&stored.body).ok(),
            })
        })
        .collect()
}

async fn subjects(bus: &Bus, stream: &str, filter: &str) -> anyhow::Result<Vec<String>> {
    let counts = bus.subjects(stream, filter).await?;
    let each = counts
        .into_iter()
        .flat_map(|(subject, count)| (0..count).map(move |_| subject.clone()));
    Ok(each.collect())
}
