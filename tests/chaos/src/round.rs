//! One round: set the stage, let work and trouble happen, and see what is left when the trouble has stopped.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use broker::Binary;
use tokio::time::{sleep, sleep_until};

use crate::checker::{self, Findings};
use crate::facts::{Facts, Owed};
use crate::journal::{Injected, Journal};
use crate::plan::{HEAL, Plan, TROUBLE};
use crate::stage::Stage;
use crate::{inject, load};

/// How often it is looked whether everything has settled, and whether a role has ended.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How many lines of each kind of finding are shown.
const SHOWN: usize = 5;

/// What a round came to.
pub(crate) struct Outcome {
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) findings: Findings,
}

/// Plays a round.
pub(crate) async fn play(
    program: &Path,
    binary: Binary,
    seed: u64,
    cluster: bool,
) -> anyhow::Result<Outcome> {
    let plan = Plan::draw(seed, cluster);
    let stage = Stage::set(program, binary, seed, cluster).await?;
    let journal = Journal::new();
    let result = trouble(&stage, &plan, seed, &journal).await;
    let injected = journal.injected().clone();
    match result {
        Ok(findings) => {
            show(&findings);
            if !findings.is_ok() {
                let folder = stage.keep();
                println!("logs and stores are kept in {}", folder.display());
            }
            Ok(Outcome {
                faults: injected.counts,
                findings,
            })
        }
        Err(error) => {
            let folder = stage.keep();
            Err(error.context(format!("the logs are in {}", folder.display())))
        }
    }
}

async fn trouble(
    stage: &Stage,
    plan: &Plan,
    seed: u64,
    journal: &Journal,
) -> anyhow::Result<Findings> {
    let work = async {
        let (by_hand, by_schedule, (), ()) = tokio::try_join!(
            load::tick_by_hand(&stage.ledger, &plan.ticks, seed, journal),
            load::tick_by_schedule(stage, journal),
            load::cancel_by_hand(stage, &plan.cancels, seed, journal),
            inject::run(stage, &plan.lanes, journal),
        )?;
        let owed = [by_hand, by_schedule].concat();
        sleep_until(journal.began() + TROUBLE).await;
        settled(stage, &owed, journal).await
    };
    tokio::select! {
        findings = work => findings,
        error = look_after(stage, journal) => Err(error),
    }
}

/// Looks until nothing is wrong any more, or the time is over.
async fn settled(stage: &Stage, owed: &[Owed], journal: &Journal) -> anyhow::Result<Findings> {
    let mut last = Ok(Findings::default());
    while journal.elapsed() < TROUBLE + HEAL {
        let injected = journal.injected().clone();
        last = look(stage, owed, injected).await;
        if last.as_ref().is_ok_and(Findings::is_ok) {
            journal.say("everything has settled");
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    last
}

async fn look(stage: &Stage, owed: &[Owed], injected: Injected) -> anyhow::Result<Findings> {
    let facts = Facts::collect(stage, owed, injected).await?;
    Ok(checker::check(&facts))
}

/// Starts what has ended by itself. Ends with an error only.
async fn look_after(stage: &Stage, journal: &Journal) -> anyhow::Error {
    loop {
        sleep(LOOK_EVERY).await;
        match stage.revive().await {
            Ok(ended) => {
                for (role, how) in ended {
                    journal.injected().ended += 1;
                    journal.say(format!(
                        "{role} has ended by itself and is started again: {how}"
                    ));
                }
            }
            Err(error) => return error,
        }
    }
}

fn show(findings: &Findings) {
    for (mark, found) in [
        ("WRONG", &findings.must_be_zero),
        ("apart", &findings.counted_apart),
    ] {
        for (name, lines) in found {
            println!("{mark} {name}: {}", lines.len());
            for line in lines.iter().take(SHOWN) {
                println!("      {line}");
            }
        }
    }
}
