//! What the facts of a round prove: nothing lost, nothing twice. Pure, so that it can be shown to find what it looks
//! for.

mod doubles;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use model::cycle::{CycleRecord, Fate, Origin, Planned};
use model::event::{Event, Fact};
use model::id::{CycleId, JobId};
use model::machine::Claim;
use model::name::{MachineName, RackName};
use model::outcome::{Outcome, SkipReason};
use model::subject::Subject;

use crate::facts::Facts;

/// One of so many jobs passes or fails, at least, whatever is done to the lab and to the rest.
const LEAST_WORK: usize = 2;

/// The invariants. The names are stable: whoever reads the report compares them.
pub(crate) const MUST_BE_ZERO: [&str; 16] = [
    "machines_without_job_or_reason",
    "machines_with_two_jobs_in_one_cycle",
    "jobs_with_same_id",
    "jobs_doubled_by_pause_and_not_reported",
    "ticks_with_two_cycles",
    "jobs_without_verdict",
    "verdicts_without_event",
    "events_twice_with_different_ids",
    "cycles_never_finished",
    "claims_left_behind",
    "waits_without_job",
    "jobs_without_wait",
    "messages_at_delivery_limit",
    "dead_letters_without_reason",
    "foreign_messages",
    "rounds_with_little_work",
];

/// What is no violation, and worth knowing.
pub(crate) const COUNTED_APART: [&str; 8] = [
    "jobs_doubled_by_pause",
    "jobs_posted_again_after_forgotten",
    "jobs_lost_after_forgotten",
    "doubled_events",
    "events_stored_again",
    "dead_letters",
    "cycles_missed_or_failed",
    "roles_ended_by_themselves",
];

/// What was found under one name: one line for each.
pub(crate) type Found = BTreeMap<&'static str, Vec<String>>;

/// The result of a check.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Findings {
    pub(crate) must_be_zero: Found,
    pub(crate) counted_apart: Found,
}

impl Findings {
    /// Whether everything that must be 0 is.
    pub(crate) fn is_ok(&self) -> bool {
        self.must_be_zero.values().all(Vec::is_empty)
    }

    fn wrong(&mut self, name: &'static str, what: impl Into<String>) {
        self.must_be_zero.entry(name).or_default().push(what.into());
    }

    fn apart(&mut self, name: &'static str, what: impl Into<String>) {
        self.counted_apart
            .entry(name)
            .or_default()
            .push(what.into());
    }
}

/// Checks everything.
pub(crate) fn check(facts: &Facts) -> Findings {
    let mut findings = invariants(facts);
    work(facts, &mut findings);
    findings
}

fn invariants(facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    let index = Index::of(facts);
    owed(facts, &mut findings);
    for record in &facts.cycles {
        cycle(facts, &index, record, &mut findings);
    }
    doubles::check(facts, &mut findings);
    verdicts(facts, &mut findings);
    events(facts, &mut findings);
    messages(facts, &index, &mut findings);
    for role in 0..facts.injected.ended {
        findings.apart("roles_ended_by_themselves", format!("number {}", role + 1));
    }
    findings
}

/// The facts, where they have to be found.
struct Index<'a> {
    /// Facts that were told, by the event's own id.
    told: BTreeMap<String, &'a Event>,
    /// Jobs that have a claim of their own.
    claimed: BTreeSet<JobId>,
    /// Jobs that were decided and have no outcome yet.
    open: BTreeMap<JobId, (RackName, MachineName)>,
}

impl<'a> Index<'a> {
    fn of(facts: &'a Facts) -> Self {
        let told = facts
            .events
            .iter()
            .filter_map(|told| told.event.as_ref())
            .map(|event| (event.id(), event))
            .collect();
        let claimed = facts
            .machines
            .values()
            .filter_map(|record| record.claim.job())
            .collect();
        let open = facts.cycles.iter().flat_map(|record| {
            record.open().map(|machine| {
                let job = JobId::of(record.cycle, machine);
                (job, (record.rack.clone(), machine.clone()))
            })
        });
        Self {
            told,
            claimed,
            open: open.collect(),
        }
    }

    fn tells(&self, cycle: &CycleRecord, fact: Fact) -> Option<&'a Event> {
        let event = Event {
            time: cycle.ticked_at,
            rack: cycle.rack.clone(),
            cycle: cycle.cycle,
            fact,
        };
        self.told.get(&event.id()).copied()
    }
}

/// Every tick became one cycle.
fn owed(facts: &Facts, findings: &mut Findings) {
    let known: BTreeSet<CycleId> = facts.cycles.iter().map(|record| record.cycle).collect();
    let named: BTreeSet<CycleId> = facts.owed.iter().filter_map(|owed| owed.cycle).collect();
    let mut lost: Vec<(&RackName, String)> = facts
        .owed
        .iter()
        .filter_map(|owed| Some((&owed.rack, owed.cycle?)))
        .filter(|(_, cycle)| !known.contains(cycle))
        .map(|(rack, cycle)| (rack, cycle.to_string()))
        .collect();
    for rack in facts.racks.keys() {
        let bare = facts
            .owed
            .iter()
            .filter(|owed| owed.rack == *rack && owed.cycle.is_none());
        let wanted = bare.count();
        let had: Vec<CycleId> = facts
            .cycles
            .iter()
            .filter(|record| record.rack == *rack && matches!(record.origin, Origin::Manual { .. }))
            .map(|record| record.cycle)
            .filter(|cycle| !named.contains(cycle))
            .collect();
        lost.extend((had.len()..wanted).map(|_| (rack, "of a bare rack name".to_owned())));
        for cycle in had.iter().skip(wanted) {
            findings.wrong(
                "ticks_with_two_cycles",
                format!("{rack} {cycle}: there are fewer ticks than cycles"),
            );
        }
    }
    for (rack, cycle) in lost {
        findings.wrong(
            "cycles_never_finished",
            format!("{rack} {cycle}: no record of it"),
        );
        for machine in facts.racks.get(rack).into_iter().flatten() {
            findings.wrong(
                "machines_without_job_or_reason",
                format!("{machine}: its cycle {cycle} has no record"),
            );
        }
    }
}

/// Everything in a cycle came to its end, and was told.
fn cycle(facts: &Facts, index: &Index<'_>, record: &CycleRecord, findings: &mut Findings) {
    let name = format!("{} {}", record.rack, record.cycle);
    let end = match &record.fate {
        Fate::Planned(planned) => {
            machines(facts, index, record, planned, findings);
            ("finished", record.is_complete())
        }
        Fate::Missed { .. } => ("missed", true),
        Fate::Failed { .. } => ("failed", true),
    };
    if end.0 != "finished" {
        findings.apart(
            "cycles_missed_or_failed",
            format!("{name}: {:?}", record.fate),
        );
    }
    let is_told = index
        .told
        .contains_key(&format!("{}.{}", record.cycle, end.0));
    if !(end.1 && record.closed && is_told) {
        findings.wrong(
            "cycles_never_finished",
            format!(
                "{name}: complete {}, closed {}, event {} {is_told}",
                end.1, record.closed, end.0
            ),
        );
    }
}

fn machines(
    facts: &Facts,
    index: &Index<'_>,
    record: &CycleRecord,
    planned: &Planned,
    findings: &mut Findings,
) {
    let posted = |machine: &MachineName| {
        facts
            .posted
            .get(&record.cycle)
            .is_some_and(|machines| machines.contains_key(machine))
    };
    for machine in facts.racks.get(&record.rack).into_iter().flatten() {
        let is_decided = planned.deploy.contains_key(machine) || planned.skip.contains_key(machine);
        if !is_decided {
            findings.wrong(
                "machines_without_job_or_reason",
                format!("{machine}: cycle {} does not know it", record.cycle),
            );
        }
    }
    for (machine, skip) in &planned.skip {
        let fact = Fact::MachineSkipped {
            machine: machine.clone(),
            skip: skip.clone(),
        };
        if !tells_skip(index, record, fact) {
            findings.wrong(
                "verdicts_without_event",
                format!("{machine} in {}: skipped {}", record.cycle, skip.reason),
            );
        }
    }
    for machine in planned.deploy.keys() {
        let job = JobId::of(record.cycle, machine);
        let outcome = record.outcomes.get(machine);
        let has_reason = match outcome {
            // As long as there is time, that is no reason.
            Some(Outcome::Skipped(skip)) if skip.reason == SkipReason::TooLate => {
                planned.deploy_by <= facts.read_at
            }
            Some(Outcome::Skipped(_) | Outcome::Rejected { .. }) => true,
            Some(_) | None => posted(machine),
        };
        if !has_reason {
            findings.wrong(
                "machines_without_job_or_reason",
                format!("{machine} in {}: job {job}, {outcome:?}", record.cycle),
            );
        }
        if let Some(outcome) = outcome
            && !tells_outcome(index, record, machine, job, outcome)
        {
            findings.wrong(
                "verdicts_without_event",
                format!("{machine} in {}: job {job}, {outcome:?}", record.cycle),
            );
        }
    }
}

fn tells_skip(index: &Index<'_>, record: &CycleRecord, fact: Fact) -> bool {
    index
        .tells(record, fact.clone())
        .is_some_and(|event| event.fact == fact)
}

/// Whether an event says the same as the record.
fn tells_outcome(
    index: &Index<'_>,
    record: &CycleRecord,
    machine: &MachineName,
    job: JobId,
    outcome: &Outcome,
) -> bool {
    let about = model::event::Job {
        machine: machine.clone(),
        job,
    };
    let wanted = match outcome {
        Outcome::Skipped(skip) => {
            let fact = Fact::MachineSkipped {
                machine: machine.clone(),
                skip: skip.clone(),
            };
            return tells_skip(index, record, fact);
        }
        Outcome::Rejected { .. } => format!("{}.rejected", about.job),
        _ => format!("{}.finished", about.job),
    };
    match index.told.get(&wanted).map(|event| &event.fact) {
        Some(Fact::JobFinished { verdict, .. }) => verdict.brief() == *outcome,
        Some(Fact::JobRejected { .. }) => true,
        _ => false,
    }
}

/// Every job that reached the lab has a verdict.
fn verdicts(facts: &Facts, findings: &mut Findings) {
    let outcomes: BTreeMap<CycleId, &CycleRecord> = facts
        .cycles
        .iter()
        .map(|record| (record.cycle, record))
        .collect();
    for (cycle, machines) in &facts.posted {
        for machine in machines.keys() {
            let job = JobId::of(*cycle, machine);
            let outcome = outcomes
                .get(cycle)
                .and_then(|record| record.outcomes.get(machine));
            let is_forgotten = facts.injected.forgotten.contains(&job.to_string());
            match outcome {
                Some(Outcome::Lost { .. }) if is_forgotten => {
                    findings.apart("jobs_lost_after_forgotten", format!("{machine} {job}"));
                }
                Some(outcome) if outcome.is_verdict() => {}
                // Forgotten before anybody had seen it: it was never there, as far as anybody can know.
                Some(_) if is_forgotten => {
                    findings.apart("jobs_lost_after_forgotten", format!("{machine} {job}"));
                }
                other => findings.wrong(
                    "jobs_without_verdict",
                    format!("{machine} in {cycle}: job {job}, {other:?}"),
                ),
            }
        }
    }
}

/// With every excuse there is, work goes on: a system that gives up on everything breaks no other rule.
fn work(facts: &Facts, findings: &mut Findings) {
    let decided: usize = facts.decided().count();
    let deployed = facts
        .decided()
        .filter(|outcome| matches!(outcome, Some(Outcome::Passed | Outcome::Failed { .. })))
        .count();
    if deployed * LEAST_WORK < decided || decided == 0 {
        findings.wrong(
            "rounds_with_little_work",
            format!("of {decided} jobs {deployed} passed or failed"),
        );
    }
}

/// A fact has one id.
fn events(facts: &Facts, findings: &mut Findings) {
    let mut ids = BTreeMap::<String, BTreeSet<&str>>::new();
    let mut seen = BTreeSet::new();
    for told in &facts.events {
        if !seen.insert(&told.id) {
            findings.apart("events_stored_again", told.id.clone());
        }
        if told.subject.ends_with(".doubled") {
            findings.apart("doubled_events", told.id.clone());
        }
        let Some(event) = &told.event else { continue };
        ids.entry(what_it_tells(event))
            .or_default()
            .insert(&told.id);
    }
    for (fact, ids) in ids {
        for id in ids.iter().skip(1) {
            findings.wrong(
                "events_twice_with_different_ids",
                format!("{fact}: {id} and others"),
            );
        }
    }
}

/// What tells one fact from another, made from the fact and not from its id. A job is decided once, whatever the
/// verdict; the attempts of a tick and the states of a job are facts of their own.
fn what_it_tells(event: &Event) -> String {
    let (about, what) = event.fact.words();
    let machine = event.fact.machine().map_or("", MachineName::as_str);
    let detail = match &event.fact {
        Fact::CycleRetrying { attempt, .. } => attempt.to_string(),
        Fact::JobProgressed { state, .. } => state.clone(),
        _ => String::new(),
    };
    format!(
        "{about} {what} {} {} {machine} {detail}",
        event.rack, event.cycle
    )
}

/// Nothing is left over, and nothing is missing.
fn messages(facts: &Facts, index: &Index<'_>, findings: &mut Findings) {
    for (machine, record) in &facts.machines {
        if record.claim != Claim::Idle {
            findings.wrong(
                "claims_left_behind",
                format!("{machine}: {:?}", record.claim),
            );
        }
    }
    let mut worked_on = BTreeSet::new();
    for subject in &facts.tasks {
        let jobs: Vec<JobId> = match subject.parse() {
            Ok(Subject::WaitSubmit(job) | Subject::WaitWatch(job)) => vec![job],
            Ok(Subject::Submit { rack, machine } | Subject::Watch { rack, machine }) => {
                jobs_of(index, &rack, &machine)
            }
            _ => {
                findings.wrong("foreign_messages", subject.clone());
                continue;
            }
        };
        let alive = |job: &JobId| index.claimed.contains(job) || index.open.contains_key(job);
        if !jobs.iter().any(alive) {
            findings.wrong("waits_without_job", subject.clone());
        }
        worked_on.extend(jobs);
    }
    for (job, (rack, machine)) in &index.open {
        if !worked_on.contains(job) {
            findings.wrong("jobs_without_wait", format!("{rack} {machine} {job}"));
        }
    }
    for tick in &facts.ticks {
        findings.wrong("cycles_never_finished", format!("{tick}: a tick is left"));
    }
    for subject in &facts.exhausted {
        findings.wrong("messages_at_delivery_limit", subject.clone());
    }
    for letter in &facts.letters {
        findings.apart(
            "dead_letters",
            format!("{}: {}", letter.subject, letter.reason),
        );
        if letter.reason.trim().is_empty() {
            findings.wrong("dead_letters_without_reason", letter.subject.clone());
        }
    }
}

/// The jobs that a message about a machine may be about.
fn jobs_of(index: &Index<'_>, rack: &RackName, machine: &MachineName) -> Vec<JobId> {
    index
        .open
        .iter()
        .filter(|(_, (of_rack, of))| of_rack == rack && of == machine)
        .map(|(job, _)| *job)
        .collect()
}
