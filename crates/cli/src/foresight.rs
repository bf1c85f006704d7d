//! What a tick of a rack would do now: the worker's own inputs and decisions, and nothing submitted.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use ledger::Ledger;
use model::name::RackName;
use model::outcome::SkipReason;
use model::policy::Policy;
use model::rack::RackRecord;
use plan::decide::{Decisions, decide};
use plan::inputs::Inputs;
use plan::slots::Slots;
use worker::inputs::Sources;

use crate::config::{Config, Shown};

/// Inputs and decisions for one rack.
pub(crate) struct Foresight {
    pub(crate) inputs: Inputs,
    pub(crate) decisions: Decisions,
}

impl Foresight {
    /// Reads everything that a tick would read. `record` is the rack as it is, or as it is about to be.
    pub(crate) async fn read(
        config: &Config,
        ledger: &Ledger,
        rack: &RackName,
        record: Option<&RackRecord>,
    ) -> anyhow::Result<Self> {
        let sources = Sources::new(config.maas()?, config.testflinger()?, ledger.clone());
        let paused = record.is_some_and(|record| record.paused.is_some());
        let inputs = sources
            .read(rack, paused, policy_of(config, record))
            .await
            .with_context(|| format!("cannot read what is known of rack {rack}"))?;
        Ok(Self::of(inputs))
    }

    /// Decides on given inputs.
    pub(crate) fn of(inputs: Inputs) -> Self {
        let decisions = decide(&inputs);
        Self { inputs, decisions }
    }

    /// How many machines are left alone, by reason.
    pub(crate) fn skipped(&self) -> BTreeMap<SkipReason, usize> {
        let mut skipped = BTreeMap::new();
        for skip in self.decisions.skip.values() {
            *skipped.entry(skip.reason).or_default() += 1;
        }
        skipped
    }

    /// One sentence for a person.
    pub(crate) fn sentence(&self, spread: Duration) -> String {
        let skipped = self.skipped();
        let over = match spread {
            Duration::ZERO => "at once".to_owned(),
            spread => format!("over {}", Shown(spread)),
        };
        let deploy = self.decisions.deploy.len();
        let skips = skipped.values().sum::<usize>();
        match skips {
            0 => format!("{} would be deployed, {over}", machines(deploy)),
            _ => format!(
                "{} would be deployed, {over}; {skips} skipped: {}",
                machines(deploy),
                counted(
                    skipped
                        .iter()
                        .map(|(reason, count)| (reason.as_str(), *count))
                )
            ),
        }
    }
}

/// A rack's policy in real time, as people write it.
pub(crate) fn written_policy_of(config: &Config, record: Option<&RackRecord>) -> Policy {
    let policy = config.policy.clone();
    match record {
        Some(record) => policy.with(&record.policy),
        None => policy,
    }
}

/// A rack's policy at the speed in force.
fn policy_of(config: &Config, record: Option<&RackRecord>) -> Policy {
    plan::speed::shorten(written_policy_of(config, record), config.speed)
}

/// Over which time the submits of a tick would leave.
pub(crate) fn spread_of(
    config: &Config,
    rack: &RackName,
    record: Option<&RackRecord>,
    wanted: Option<Duration>,
) -> Duration {
    match wanted {
        Some(wanted) => config.speed.shorten(wanted),
        None => {
            let slots = record.and_then(|record| Slots::new(&record.schedule, rack).ok());
            let period = slots.map(|slots| slots.period());
            plan::slots::spread(&policy_of(config, record), period)
        }
    }
}

/// `1 machine`, `2 machines`.
pub(crate) fn machines(count: usize) -> String {
    match count {
        1 => "1 machine".into(),
        count => format!("{count} machines"),
    }
}

/// `no_agent 2, offline 1`.
pub(crate) fn counted<'a>(counts: impl Iterator<Item = (&'a str, usize)>) -> String {
    counts
        .map(|(word, count)| format!("{word} {count}"))
        .collect::<Vec<_>>()
        .join(", ")
}
