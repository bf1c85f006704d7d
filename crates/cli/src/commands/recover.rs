//! `racktick recover`: brings back the claims of jobs that Testflinger works on, after the broker's data was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use ledger::{Adoption, Recovery, RemoteJob};
use model::id::{CycleId, JobId};
use model::name::{MachineName, RackName};
use model::rack::RackRecord;
use model::tag;
use model::task::Pace;
use plan::slots::later;
use serde::Serialize;
use testflinger::{Belonging, JobSummary, Testflinger};
use worker::inputs::document;

use crate::app::App;
use crate::ask::Consent;
use crate::config::Config;
use crate::exit::Exit;
use crate::foresight::written_policy_of;
use crate::{output, person};
use ledger::stored::{self, Read};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Say what would be brought back, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    consent: Consent,
}

/// What became of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// It has its claim again, or would get it.
    Claim,
    /// It is over, and its cycle is known again, or would be.
    Record,
    /// The records knew it.
    Known,
    /// Its fate was decided here. It is left alone.
    Settled,
    /// Another job has its machine here. It is left alone.
    Taken,
    /// It bears our tag and is not a job that racktick would submit. It is left alone.
    Foreign,
}

/// One job and what it led to.
#[derive(Debug, Serialize)]
struct Line {
    job: String,
    state: String,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<MachineName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rack: Option<RackName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cycle: Option<CycleId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    jobs: Vec<Line>,
    /// Racks of these jobs that have no record: their schedules are lost.
    racks_without_record: BTreeSet<RackName>,
}

/// What Testflinger has of ours, each job with its state.
#[derive(Default)]
struct Found {
    jobs: Vec<(RemoteJob, String)>,
    foreign: Vec<Line>,
}

pub(crate) async fn run(arguments: &Arguments, app: &App) -> anyhow::Result<Exit> {
    let config = &app.config;
    let testflinger = config.testflinger()?;
    let ledger = app.ledger(app.bus().await?);
    let policy = plan::speed::shorten(config.policy.clone(), config.speed);
    let recovery = Recovery {
        by: person::name(),
        at: Timestamp::now(),
        pace: Pace {
            first_look: policy.first_look,
            look_every: policy.look_every,
            deadline: policy.deadline,
        },
        document: policy.job,
    };
    let racks = stored::racks(&ledger).await?;
    let found = find(&testflinger, &recovery, longest_catch_up(config, &racks)).await?;
    let mut lines = found.foreign;
    let mut jobs_by_cycle: BTreeMap<_, Vec<(RemoteJob, String)>> = BTreeMap::new();
    let mut new = 0;
    for (job, state) in found.jobs {
        match ledger.adoption(&job).await? {
            adoption @ (Adoption::Settled | Adoption::Taken(_)) => {
                lines.push(line(&job, state, adoption));
            }
            // One that is known may have been brought back by a run that broke off: its cycle and its look follow.
            adoption => {
                new += usize::from(adoption != Adoption::Known);
                jobs_by_cycle
                    .entry((job.rack.clone(), job.cycle))
                    .or_default()
                    .push((job, state));
            }
        }
    }
    if new > 0 && !arguments.dry_run && arguments.consent.asks() {
        output::say(format!("{new} jobs would be brought back"));
        arguments.consent.get("Bring them back?")?;
    }
    let mut unknown = BTreeSet::new();
    for found in jobs_by_cycle.into_values() {
        let (jobs, states): (Vec<RemoteJob>, Vec<String>) = found.into_iter().unzip();
        let mut adoptions = Vec::new();
        if arguments.dry_run {
            for job in &jobs {
                adoptions.push(ledger.adoption(job).await?);
            }
        } else {
            adoptions = ledger.adopt(&jobs, &recovery).await?;
        }
        for ((job, state), adoption) in jobs.iter().zip(states).zip(adoptions) {
            if !racks.contains_key(&job.rack) {
                unknown.insert(job.rack.clone());
            }
            lines.push(line(job, state, adoption));
        }
    }
    lines.sort_by(|a, b| (a.action, &a.rack, &a.machine).cmp(&(b.action, &b.rack, &b.machine)));
    let report = Report {
        jobs: lines,
        racks_without_record: unknown,
    };
    app.output.print(&report, text)?;
    tell(&report, arguments.dry_run);
    let is_clean = report
        .jobs
        .iter()
        .all(|line| matches!(line.action, Action::Claim | Action::Record | Action::Known));
    Ok(if is_clean { Exit::Ok } else { Exit::Failed })
}

/// How long after its slot a rack's tick may still run: the longest of all racks.
fn longest_catch_up(config: &Config, racks: &BTreeMap<RackName, Read<RackRecord>>) -> Duration {
    let known = racks.values().filter_map(|record| record.as_ref().ok());
    let catch_ups = known.map(|record| written_policy_of(config, Some(record)).catch_up);
    config
        .speed
        .shorten(catch_ups.fold(config.policy.catch_up, Duration::max))
}

/// Every job that bears our tag and may still be worked on, and those of the last slots: a slot that fires again, since
/// the broker forgot that it did, must find them.
async fn find(
    testflinger: &Testflinger,
    recovery: &Recovery,
    catch_up: Duration,
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for listed in testflinger.search_by_tags(&[tag::OURS]).await? {
        let state = listed.job_state.clone().unwrap_or_default();
        let is_over = plan::look::is_over(&state);
        let is_old = listed
            .created_at
            .is_some_and(|at| later(at, catch_up) < recovery.at);
        if is_over && is_old {
            continue;
        }
        // Gone meanwhile, so nothing works on it.
        let Some(belonging) = testflinger.belonging(&listed.job_id).await? else {
            continue;
        };
        let mut job = match ours(&listed, &belonging, recovery) {
            Ok(job) => job,
            // One that is over harms nobody.
            Err(_) if is_over => continue,
            Err(why) => {
                found.foreign.push(Line {
                    job: listed.job_id,
                    state,
                    action: Action::Foreign,
                    machine: MachineName::new(&belonging.job_queue).ok(),
                    rack: None,
                    cycle: None,
                    detail: Some(why.into()),
                });
                continue;
            }
        };
        // A cancelled one that nobody works on ended long ago. Of a young one its looks find out.
        if plan::look::needs_agent(&state) && is_old && !is_worked_on(testflinger, &job).await? {
            continue;
        }
        if is_over {
            let Some(result) = testflinger.result(&listed.job_id).await? else {
                continue;
            };
            job.verdict = Some(plan::verdict::verdict(&document(&result), None));
        }
        found.jobs.push((job, state));
    }
    Ok(found)
}

async fn is_worked_on(testflinger: &Testflinger, job: &RemoteJob) -> anyhow::Result<bool> {
    let agent = testflinger.agent(job.machine.as_str()).await?;
    let at_work = agent
        .filter(|agent| !plan::look::waits_for_work(agent.state.as_deref()))
        .and_then(|agent| agent.job_id?.parse::<JobId>().ok());
    Ok(at_work == Some(job.job))
}

/// The job as we know jobs, or why it is none of ours.
fn ours(
    listed: &JobSummary,
    belonging: &Belonging,
    recovery: &Recovery,
) -> Result<RemoteJob, &'static str> {
    let id: JobId = listed.job_id.parse().map_err(|_| "its id is no UUID")?;
    let (rack, cycle) =
        tag::parse(&belonging.tags).ok_or("its tags name no rack and cycle of racktick")?;
    let machine =
        MachineName::new(&belonging.job_queue).map_err(|_| "its queue is no machine's name")?;
    if JobId::of(cycle, &machine) != id {
        return Err("its id is not that of its machine in its cycle");
    }
    let submitted_at = listed.created_at.unwrap_or(recovery.at);
    Ok(RemoteJob {
        job: id,
        machine,
        rack,
        cycle,
        submitted_at,
        deadline: later(submitted_at, recovery.pace.deadline),
        verdict: None,
    })
}

fn line(job: &RemoteJob, state: String, adoption: Adoption) -> Line {
    let (action, detail) = match adoption {
        Adoption::Claimed => (Action::Claim, None),
        Adoption::Recorded => (Action::Record, None),
        Adoption::Known => (Action::Known, None),
        Adoption::Settled => (Action::Settled, None),
        Adoption::Taken(by) => (Action::Taken, Some(by.to_string())),
    };
    Line {
        job: job.job.to_string(),
        state,
        action,
        machine: Some(job.machine.clone()),
        rack: Some(job.rack.clone()),
        cycle: Some(job.cycle),
        detail,
    }
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Record => "record",
            Self::Known => "known",
            Self::Settled => "settled",
            Self::Taken => "taken",
            Self::Foreign => "foreign",
        }
    }
}

fn text(report: &Report) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let rows = report.jobs.iter().map(|line| {
        vec![
            line.action.as_str().to_owned(),
            or_dash(line.rack.as_ref().map(ToString::to_string)),
            or_dash(line.machine.as_ref().map(ToString::to_string)),
            line.job.clone(),
            line.state.clone(),
            or_dash(line.detail.clone()),
        ]
    });
    output::table(
        &["action", "rack", "machine", "job", "state", "detail"],
        rows,
    )
}

fn tell(report: &Report, dry_run: bool) {
    let count = |action| {
        report
            .jobs
            .iter()
            .filter(|line| line.action == action)
            .count()
    };
    let verb = if dry_run { "would be" } else { "were" };
    output::say(match report.jobs.is_empty() {
        true => "Testflinger works on no job of racktick, and no cycle is missing".to_owned(),
        false => format!(
            "{} claims and {} verdicts {verb} brought back; {} jobs were known, {} left alone",
            count(Action::Claim),
            count(Action::Record),
            count(Action::Known),
            count(Action::Settled) + count(Action::Taken) + count(Action::Foreign)
        ),
    });
    for rack in &report.racks_without_record {
        output::say(format!(
            "rack {rack} has no record any more: give it its schedule back with `racktick rack add {rack} --first slot`"
        ));
    }
}
