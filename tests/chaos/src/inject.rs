//! Carries a plan out.

use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use tokio::time::{sleep, sleep_until};

use crate::fault::{Fault, Role};
use crate::journal::{Journal, Pause};
use crate::plan::Injection;
use crate::stage::Stage;

/// Enough for a broker that was restarted in its turn to have what it missed. A time and not that state: the round's plan
/// counts on it, and a broker that needs longer is one more thing to be borne.
const CATCHES_UP: Duration = Duration::from_secs(3);

/// All lanes side by side; afterwards everything is as it was before.
pub(crate) async fn run(
    stage: &Stage,
    lanes: &[Vec<Injection>],
    journal: &Journal,
) -> anyhow::Result<()> {
    try_join_all(lanes.iter().map(|lane| async move {
        for injection in lane {
            sleep_until(journal.began() + injection.at).await;
            inject(stage, injection, journal)
                .await
                .with_context(|| format!("{} cannot be injected", injection.fault))?;
        }
        anyhow::Ok(())
    }))
    .await?;
    journal.say("no more faults");
    Ok(())
}

/// Injects one fault. Where it sleeps, nothing is waited for: that is how long the fault lasts.
async fn inject(stage: &Stage, injection: &Injection, journal: &Journal) -> anyhow::Result<()> {
    let Injection { lasts, fault, .. } = injection;
    let tell = || {
        journal.say(format!("{fault}, for {:.1} s", lasts.as_secs_f64()));
        journal.count(fault.kind());
    };
    match fault {
        Fault::Kill(role) => {
            tell();
            let process = &stage.player(*role).process;
            process.kill().await?;
            sleep(*lasts).await;
            process.start().await
        }
        Fault::Pause(role) => {
            tell();
            pause(stage, *role, *lasts, journal).await
        }
        Fault::KillBroker(node) => {
            tell();
            let node = stage.brokers.find(stage.ledger.bus(), *node).await;
            stage.brokers.kill(node).await?;
            sleep(*lasts).await;
            stage.brokers.restart(node).await
        }
        Fault::RestartBroker(node) => {
            tell();
            let node = stage.brokers.find(stage.ledger.bus(), *node).await;
            stage.brokers.stop(node).await?;
            sleep(*lasts).await;
            stage.brokers.restart(node).await
        }
        Fault::CutOffBroker(node) => {
            tell();
            let node = stage.brokers.find(stage.ledger.bus(), *node).await;
            stage.brokers.cut_off(node);
            sleep(*lasts).await;
            stage.brokers.bring_back(node);
            Ok(())
        }
        Fault::RollingRestart => {
            tell();
            for node in stage.brokers.numbers() {
                stage.brokers.stop(node).await?;
                stage.brokers.restart(node).await?;
                sleep(CATCHES_UP).await;
            }
            Ok(())
        }
        Fault::Cable(role, cable) => {
            tell();
            let player = stage.player(*role);
            player.harm(*cable);
            sleep(*lasts).await;
            player.heal();
            Ok(())
        }
        Fault::Lab(kind, lab_fault) => {
            let before: u64 = stage.lab.stats().await?.faults.values().sum();
            journal.say(format!("{fault}, for {:.1} s", lasts.as_secs_f64()));
            stage.lab.inject(lab_fault).await?;
            sleep(*lasts).await;
            stage.lab.clear_faults().await?;
            let after: u64 = stage.lab.stats().await?.faults.values().sum();
            // A fault that no request met was none.
            if after > before {
                journal.count(kind);
            }
            Ok(())
        }
        Fault::ForgetJob(share) => forget(stage, *share, journal).await,
        Fault::RestartAgents => {
            tell();
            stage.lab.restart_agents().await
        }
    }
}

async fn pause(
    stage: &Stage,
    role: Role,
    lasts: Duration,
    journal: &Journal,
) -> anyhow::Result<()> {
    let process = &stage.player(role).process;
    let from = Timestamp::now();
    process.pause().await?;
    sleep(lasts).await;
    let until = Timestamp::now();
    journal.injected().pauses.push(Pause { role, from, until });
    process.resume().await
}

/// Forgets a job that is not over, if there is one.
async fn forget(stage: &Stage, share: f64, journal: &Journal) -> anyhow::Result<()> {
    let mut live: Vec<String> = stage
        .lab
        .jobs()
        .await?
        .into_iter()
        .filter(|job| job.live)
        .map(|job| job.job_id)
        .collect();
    live.sort();
    let chosen = (live.len() as f64 * share) as usize;
    if let Some(job) = live.get(chosen) {
        // Noted first: whatever comes of it, it was asked for.
        journal.injected().forgotten.push(job.clone());
        stage.lab.forget(job).await?;
        journal.say(format!("lab_job_forgotten {job}"));
        journal.count("lab_job_forgotten");
    }
    Ok(())
}
