//! Evidence: what Testflinger still has of a job that did not pass, kept for whoever asks why. It is kept before the
//! verdict is settled, which says where it is, and no verdict waits for it longer than a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bus::Object;
use model::evidence::{Evidence, Keeping, LONGEST_OUTPUT, Output};
use model::machine::Settled;
use model::outcome::Phase;
use model::subject::{bucket, key};
use model::task::Watch;
use testflinger::{Log, Logged};
use tokio::time::timeout;

use super::Handler;
use crate::inputs::phase;
use crate::trouble::Trouble;

/// How long it may take to read and to keep it. What takes longer is left out: the verdict counts more.
const PATIENCE: Duration = Duration::from_secs(20);

impl Handler {
    /// Keeps the evidence of a job that did not pass. Whoever repeats this keeps the same again in the same place, or what
    /// is other by now in another.
    pub(super) async fn keep_evidence(&self, task: &Watch, settled: &Settled) -> Keeping {
        let kept = match timeout(PATIENCE, self.try_to_keep(task, settled)).await {
            Ok(kept) => kept,
            Err(_) => Err(("timeout", format!("it took longer than {PATIENCE:?}"))),
        };
        kept.unwrap_or_else(|(cause, why)| {
            tracing::warn!(
                machine.name = %task.machine, job.id = %task.job, cause,
                "the verdict is told without evidence, which could not be kept: {why}"
            );
            Keeping::Failed {
                cause: cause.to_owned(),
            }
        })
    }

    async fn try_to_keep(
        &self,
        task: &Watch,
        settled: &Settled,
    ) -> Result<Keeping, (&'static str, String)> {
        let job = task.job.to_string();
        let read = self.testflinger.logged(&job, LONGEST_OUTPUT).await;
        let logged = read
            .map_err(|error| {
                let trouble = Trouble::from(error);
                (trouble.cause, trouble.to_string())
            })?
            .ok_or_else(|| ("gone", "Testflinger has no result any more".to_owned()))?;
        let evidence = evidence(task, settled, logged);
        let content =
            serde_json::to_vec(&evidence).map_err(|error| ("malformed", error.to_string()))?;
        let size = content.len() as u64;
        let object = Object::new(content);
        let objects = self.ledger.bus().objects(bucket::EVIDENCE);
        let name = key::evidence(task.job, &object.digest);
        let put = objects.put(&name, &object).await;
        put.map_err(|error| ("broker", error.to_string()))?;
        Ok(Keeping::Kept {
            digest: object.digest,
            size,
        })
    }
}

/// The same for the same, to the byte: it says nothing of who kept it and when.
fn evidence(task: &Watch, settled: &Settled, logged: Logged) -> Evidence {
    let output = by_phase(logged.output);
    let serial = by_phase(logged.serial);
    let told = told(&settled.statuses, output.keys().chain(serial.keys()));
    let of_told = |logs: BTreeMap<Phase, Output>| {
        logs.into_iter()
            .filter(|(phase, _)| told.contains(phase))
            .collect()
    };
    Evidence {
        v: Evidence::VERSION,
        job: task.job,
        cycle: settled.cycle,
        rack: settled.rack.clone(),
        machine: task.machine.clone(),
        result: logged.result,
        output: of_told(output),
        serial: of_told(serial),
    }
}

/// The phases whose logs tell why: those that failed, and when none did, the last that wrote anything before cleanup.
fn told<'p>(
    statuses: &BTreeMap<Phase, i64>,
    wrote: impl Iterator<Item = &'p Phase>,
) -> BTreeSet<Phase> {
    let failed = statuses.iter().filter(|(_, status)| **status != 0);
    let failed: BTreeSet<Phase> = failed.map(|(phase, _)| *phase).collect();
    if failed.iter().any(|phase| *phase != Phase::Cleanup) {
        return failed;
    }
    let last = wrote.filter(|phase| **phase != Phase::Cleanup).max();
    failed.into_iter().chain(last.copied()).collect()
}

fn by_phase(logs: BTreeMap<testflinger::Phase, Log>) -> BTreeMap<Phase, Output> {
    let logs = logs.into_iter().map(|(read, log)| {
        let Log { end, cut } = log;
        (phase(read), Output { end, cut })
    });
    logs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logs_of_what_failed_tell_why() {
        use Phase::{Cleanup, Provision, Setup, Test};
        let told = |statuses: &[(Phase, i64)], wrote: &[Phase]| {
            let told = told(&statuses.iter().copied().collect(), wrote.iter());
            told.into_iter().collect::<Vec<_>>()
        };
        let wrote = [Setup, Provision, Cleanup];
        assert_eq!(
            told(&[(Setup, 0), (Provision, 1), (Cleanup, 0)], &wrote),
            [Provision]
        );
        assert_eq!(
            told(&[(Provision, 46), (Cleanup, 1)], &wrote),
            [Provision, Cleanup]
        );
        assert_eq!(told(&[(Provision, 0), (Test, 1)], &wrote), [Test]);
        assert_eq!(
            told(&[(Setup, 0), (Cleanup, 247)], &[Setup, Cleanup]),
            [Setup, Cleanup]
        );
        assert_eq!(told(&[], &[]), []);
    }
}
