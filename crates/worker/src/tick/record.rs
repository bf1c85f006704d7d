//! From the inputs to the frozen decisions.

use jiff::Timestamp;
use model::cycle::{Fate, Planned};
use model::rack::RackRecord;
use model::task::{Pace, Tick};
use plan::shrink::{Judgement, judge};

use super::Handler;
use super::identity::Identity;
use crate::inputs::Unreadable;
use crate::trouble::Trouble;

/// The largest cycle record, in bytes, when every machine has its outcome: the broker takes messages up to 1 MB.
const LARGEST: usize = 1_000_000;
/// An outcome takes at most this and the machine's name.
const OUTCOME: usize = 150;

impl Handler {
    /// Reads everything and decides.
    pub(super) async fn plan(
        &self,
        tick: &Tick,
        identity: &Identity,
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
        let size = size_in_the_end(&planned);
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
        identity: &Identity,
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

fn size_in_the_end(planned: &Planned) -> usize {
    let decisions = serde_json::to_vec(planned).map_or(usize::MAX, |json| json.len());
    let outcomes = planned
        .deploy
        .keys()
        .map(|name| name.as_str().len() + OUTCOME)
        .sum();
    decisions.saturating_add(outcomes)
}
