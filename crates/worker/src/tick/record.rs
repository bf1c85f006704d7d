//! From the inputs to the frozen decisions.

use jiff::Timestamp;
use model::cycle::{Fate, Origin, Planned};
use model::rack::RackRecord;
use model::task::{Pace, Resume, Tick};
use plan::shrink::{Judgement, judge};
use serde::Serialize;

use super::Handler;
use crate::inputs::Unreadable;
use crate::trouble::Trouble;

/// The largest cycle record, in bytes, when every machine has its outcome: the broker takes messages up to 1 MB.
const LARGEST: usize = 1_000_000;
/// All that is neither a decision, an outcome nor the origin: a rack's name, an id, times.
const FRAME: usize = 1000;
/// An outcome takes at most this and the machine's name.
const OUTCOME: usize = 150;

impl Handler {
    /// Reads everything and decides.
    pub(super) async fn plan(
        &self,
        tick: &Tick,
        identity: &Resume,
        rack: Option<&RackRecord>,
        planned_at: Timestamp,
    ) -> Result<Fate, Unreadable> {
        let policy = self.settings.policy_of(rack);
        let paused = rack.is_some_and(|rack| rack.paused.is_some());
        let (inputs, sizes) = self
            .sources
            .read_with_sizes(&tick.rack, paused, policy.clone())
            .await?;
        if let Some(rack) = rack {
            self.believe(tick, identity, rack, sizes).await?;
        }
        let period = rack
            .and_then(|rack| plan::slots::Slots::new(&rack.schedule, &tick.rack).ok())
            .map(|slots| slots.period());
        let spread = match tick.spread {
            Some(spread) => self.settings.speed.shorten(spread),
            None => plan::slots::spread(&policy, period),
        };
        let decisions = plan::decide::decide(&inputs);
        let planned = Planned {
            at: planned_at,
            deploy_by: plan::slots::deploy_by(planned_at, spread, policy.submit_window),
            spread,
            deploy: plan::spread::due_times(decisions.deploy, planned_at, spread),
            skip: decisions.skip,
            pace: Pace {
                first_look: policy.first_look,
                look_every: policy.look_every,
                deadline: policy.deadline,
            },
            job: policy.job,
        };
        let size = size_in_the_end(&planned, &identity.origin);
        if size > LARGEST {
            let machines = inputs.machines.len();
            return Err(Unreadable::Remote(Trouble {
                cause: "too_many_machines",
                message: format!(
                    "the record of {machines} machines may take {size} bytes; at most {LARGEST} fit: split the rack"
                ),
                retry_after: None,
            }));
        }
        Ok(Fate::Planned(planned))
    }

    /// Compares the lists with the last good ones, and remembers what is learnt.
    async fn believe(
        &self,
        tick: &Tick,
        identity: &Resume,
        rack: &RackRecord,
        sizes: model::rack::Sizes,
    ) -> Result<(), Unreadable> {
        let judgement = judge(
            sizes,
            rack.good_sizes,
            rack.doubted,
            identity.cycle,
            tick.accept_shrink,
        );
        let (good_sizes, doubted) = match &judgement {
            Judgement::Believed(good) => (Some(*good), None),
            Judgement::Doubted { doubted, .. } => (rack.good_sizes, Some(*doubted)),
        };
        if (good_sizes, doubted) != (rack.good_sizes, rack.doubted) {
            self.ledger
                .change_rack(&tick.rack, |record| {
                    record.good_sizes = good_sizes;
                    record.doubted = doubted;
                })
                .await?;
        }
        match judgement {
            Judgement::Believed(_) => Ok(()),
            Judgement::Doubted { message, .. } => Err(Unreadable::Remote(Trouble {
                cause: "implausible_shrink",
                message,
                retry_after: None,
            })),
        }
    }
}

fn size_in_the_end(planned: &Planned, origin: &Origin) -> usize {
    let decisions = length(planned);
    let outcomes = planned
        .deploy
        .keys()
        .map(|name| length(name).saturating_add(OUTCOME))
        .sum();
    [length(origin), outcomes, FRAME]
        .into_iter()
        .fold(decisions, usize::saturating_add)
}

/// How long it is as JSON.
fn length(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;
    use model::cycle::CycleRecord;
    use model::id::CycleId;
    use model::name::{MachineName, RackName};
    use model::outcome::{FailCause, Outcome};
    use model::task::LONGEST_WORDS;
    use serde_json::json;

    use super::*;

    /// Everything as long as it can be, written as long as JSON can write it.
    #[test]
    fn a_cycles_record_is_never_larger_than_was_foreseen() {
        let late = Timestamp::MAX - SignedDuration::from_nanos(1);
        let name = |n: usize| MachineName::new(format!("{}{n:03}", "\u{1}".repeat(253))).unwrap();
        let planned = Planned {
            at: late,
            deploy_by: late,
            spread: Duration::from_secs(6 * 24 * 3600),
            deploy: (0..20).map(|n| (name(n), late)).collect(),
            skip: Default::default(),
            pace: Pace {
                first_look: Duration::from_secs(60),
                look_every: Duration::from_secs(60),
                deadline: Duration::from_secs(3600),
            },
            job: json!({"distro": "noble"}),
        };
        let words = Some("\u{1}".repeat(LONGEST_WORDS));
        let origin = Origin::Manual {
            by: words.clone(),
            reason: words,
        };
        let foreseen = size_in_the_end(&planned, &origin);
        let rack = RackName::new("r".repeat(256)).unwrap();
        let outcome = Outcome::Failed {
            cause: FailCause::NotProvisioned,
            phase: None,
            exit_code: Some(i64::MIN),
        };
        let record = CycleRecord {
            v: CycleRecord::VERSION,
            cycle: CycleId::of_slot(&rack, late),
            rack,
            origin,
            ticked_at: late,
            outcomes: (0..20).map(|n| (name(n), outcome.clone())).collect(),
            fate: Fate::Planned(planned),
            settled_at: Some(late),
            closed: true,
        };
        let size = length(&record);
        assert!(size > 12 * LONGEST_WORDS);
        assert!(size <= foreseen, "{size} bytes, foreseen {foreseen}");
    }
}
