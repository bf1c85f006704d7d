//! What must be true of every cycle at its end, however it came there.

use std::collections::{BTreeMap, BTreeSet};

use bus::Start;
use bytes::Bytes;
use model::cycle::{CycleRecord, Fate};
use model::event::Event;
use model::id::{CycleId, JobId};
use model::name::MachineName;
use model::outcome::Outcome;
use model::subject::{filter, stream};

use super::{Rack, submits};

/// The events that end a machine's part in a cycle.
const FINAL: [(&str, &str); 3] = [
    ("machine", "skipped"),
    ("job", "rejected"),
    ("job", "finished"),
];
/// The events that end a cycle.
const ENDS: [(&str, &str); 3] = [
    ("cycle", "finished"),
    ("cycle", "failed"),
    ("tick", "missed"),
];

/// An event as a reader sees it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) event: Event,
    body: Bytes,
}

impl Told {
    pub(crate) fn words(&self) -> (&'static str, &'static str) {
        self.event.fact.words()
    }

    /// Told at the time it is published, and by a later look again; everything else is a copy of a record.
    fn has_a_time_of_its_own(&self) -> bool {
        matches!(self.words(), ("job", "progressed") | ("cycle", "retrying"))
    }
}

impl Rack {
    /// All events of a cycle, repeats too, in order.
    pub(crate) async fn told(&self, cycle: CycleId) -> Vec<Told> {
        let filter = filter::events_of(&self.name);
        let reader = self
            .bus
            .read(stream::EVENTS, &filter, Start::All)
            .await
            .unwrap();
        let told = reader.to_end().await.unwrap().into_iter().map(|stored| {
            let event = Event::from_json(&stored.body).unwrap();
            assert_eq!(event.subject().to_string(), stored.subject);
            let id = stored.header("Nats-Msg-Id").unwrap().to_owned();
            assert_eq!(id, event.id());
            Told {
                id,
                event,
                body: stored.body,
            }
        });
        told.filter(|told| told.event.cycle == cycle).collect()
    }

    /// The distinct events of a cycle with these words, in order.
    pub(crate) async fn events(&self, cycle: CycleId, about: &str, what: &str) -> Vec<Event> {
        let mut known = BTreeSet::new();
        let told = self.told(cycle).await;
        let matching = told
            .into_iter()
            .filter(|told| told.words() == (about, what));
        matching
            .filter(|told| known.insert(told.id.clone()))
            .map(|told| told.event)
            .collect()
    }

    /// Checks that a cycle is over as every cycle must be, and returns its record.
    pub(crate) async fn ended(&self, cycle: CycleId) -> CycleRecord {
        self.ended_doubled(cycle, 0).await
    }

    /// The same, with so many submits that arrived although their job was there, or was not to be.
    pub(crate) async fn ended_doubled(&self, cycle: CycleId, doubled: u64) -> CycleRecord {
        let record = self.record(cycle).await.expect("the cycle has a record");
        let open: Vec<_> = record.open().collect();
        assert!(open.is_empty(), "without an outcome: {open:?}");
        assert!(record.closed, "not closed");
        let told = self.told(cycle).await;
        repeats_are_equal(&told);
        let ends = distinct(&told, |told| ENDS.contains(&told.words()));
        assert_eq!(ends.len(), 1, "ends of the cycle: {ends:?}");
        if let Fate::Planned(_) = record.fate {
            self.jobs_ended(&record, &told, doubled).await;
        }
        record
    }

    async fn jobs_ended(&self, record: &CycleRecord, told: &[Told], doubled: u64) {
        let stats = self.lab.stats();
        let (mut known, mut too_many) = (BTreeSet::new(), 0);
        let told_doubled = told
            .iter()
            .filter(|told| told.words() == ("job", "doubled") && known.insert(&told.id))
            .count();
        assert_eq!(told_doubled as u64, doubled);
        let nothing = BTreeMap::new();
        let jobs = stats
            .jobs_by_cycle
            .get(&record.cycle.to_string())
            .unwrap_or(&nothing);
        let end = told
            .iter()
            .position(|told| ENDS.contains(&told.words()))
            .unwrap();
        for task in submits(record) {
            let (machine, outcome) = (&task.machine, &record.outcomes[&task.machine]);
            let submitted = jobs.get(machine.as_str()).copied().unwrap_or(0);
            let expected = u64::from(outcome.is_verdict());
            assert!(
                submitted >= expected,
                "jobs of {machine}: {submitted}, {outcome:?}"
            );
            too_many += submitted - expected;
            let about = |told: &&Told| told.event.fact.machine() == Some(machine);
            let told: Vec<&Told> = told[..].iter().filter(about).collect();
            let ends: BTreeSet<&str> = told
                .iter()
                .filter(|told| FINAL.contains(&told.words()))
                .map(|told| told.id.as_str())
                .collect();
            assert_eq!(ends.len(), 1, "{machine} was told to end as {ends:?}");
            let was_submitted = self.settled_as(machine, task.job, outcome).await;
            let submitted: BTreeSet<&str> = told
                .iter()
                .filter(|told| told.words() == ("job", "submitted"))
                .map(|told| told.id.as_str())
                .collect();
            if let Some(was_submitted) = was_submitted {
                assert_eq!(submitted.len(), usize::from(was_submitted), "{machine}");
            }
            assert_eq!(self.waiting_look(&task).await, None, "a look is left over");
        }
        assert_eq!(too_many, doubled, "submits that arrived too often");
        assert!(doubled > 0 || stats.jobs_with_same_id == 0);
        let first_parts = told
            .iter()
            .enumerate()
            .filter(|(_, told)| FINAL.contains(&told.words()));
        let mut seen = BTreeSet::new();
        for (position, part) in first_parts {
            if seen.insert(part.id.clone()) {
                assert!(
                    position < end,
                    "{} was told after the end of its cycle",
                    part.id
                );
            }
        }
    }

    /// The machine does not belong to the job any more, and its record says what the cycle says, and whether the job
    /// was submitted, if that is not forgotten.
    async fn settled_as(
        &self,
        machine: &MachineName,
        job: JobId,
        outcome: &Outcome,
    ) -> Option<bool> {
        let record = self.machine(machine).await;
        assert_ne!(record.claim.job(), Some(job), "{machine} is still claimed");
        let settled = record.settled.get(&job)?;
        assert_eq!(&settled.outcome.brief(), outcome);
        Some(settled.submitted_at.is_some())
    }
}

fn distinct(told: &[Told], matching: impl Fn(&Told) -> bool) -> BTreeSet<&str> {
    told.iter()
        .filter(|told| matching(told))
        .map(|told| told.id.as_str())
        .collect()
}

/// Whoever reads an event a second time reads the same bytes.
fn repeats_are_equal(told: &[Told]) {
    let mut bodies: BTreeMap<&str, &Bytes> = BTreeMap::new();
    for told in told.iter().filter(|told| !told.has_a_time_of_its_own()) {
        let first = bodies.entry(&told.id).or_insert(&told.body);
        assert_eq!(*first, &told.body, "two bodies of {}", told.id);
    }
}
