//! The phases of a job, worked out from what the looks saw.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use model::outcome::Phase;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::job::Look;
use crate::history::lengths;
use crate::history::time::{nanos, span, time};

/// A phase of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhaseView {
    /// Which.
    pub phase: Phase,
    /// When a look first saw the job in it. It began between the look before and this one; `None`: it was over before
    /// any look.
    pub seen_at: Option<Timestamp>,
    /// From there to the first look that saw another state, or to the job's end. As rough as the looks are far apart.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::optional")]
    #[schema(value_type = Option<String>)]
    pub lasted: Option<Duration>,
    /// Its exit status; `None`: it is not over, or nobody knows.
    pub status: Option<i64>,
}

/// The phases that were seen or have a status, in the order in which they run.
pub(crate) fn phases(
    looks: &[Look],
    statuses: &BTreeMap<Phase, i64>,
    over_at: Option<Timestamp>,
) -> Vec<PhaseView> {
    let looks: Vec<(&str, i64)> = looks
        .iter()
        .map(|look| (look.state.as_str(), nanos(look.at)))
        .collect();
    let seen = |phase: Phase| {
        let (at, until) = lengths::seen(&looks, phase, over_at.map(nanos))?;
        let lasted = until.map(|until| span(until.saturating_sub(at)));
        Some((time(at), lasted))
    };
    Phase::ALL
        .iter()
        .filter_map(|&phase| {
            let status = statuses.get(&phase).copied();
            let seen = seen(phase);
            (seen.is_some() || status.is_some()).then(|| PhaseView {
                phase,
                seen_at: seen.map(|(at, _)| at),
                lasted: seen.and_then(|(_, lasted)| lasted),
                status,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + minute * 60).unwrap()
    }

    fn look(state: &str, minute: i64) -> Look {
        Look {
            state: state.into(),
            at: at(minute),
        }
    }

    #[test]
    fn a_phase_lasts_until_another_state_is_seen() {
        let looks = [look("waiting", 0), look("provision", 5), look("test", 25)];
        let statuses = BTreeMap::from([(Phase::Setup, 0), (Phase::Provision, 0), (Phase::Test, 1)]);
        let view = phases(&looks, &statuses, Some(at(27)));
        let rows: Vec<_> = view
            .iter()
            .map(|phase| {
                (
                    phase.phase,
                    phase.lasted.map(|lasted| lasted.as_secs() / 60),
                    phase.status,
                )
            })
            .collect();
        assert_eq!(
            rows,
            [
                (Phase::Setup, None, Some(0)),
                (Phase::Provision, Some(20), Some(0)),
                (Phase::Test, Some(2), Some(1)),
            ]
        );
    }

    #[test]
    fn the_phase_that_runs_has_no_length_yet() {
        let view = phases(&[look("provision", 5)], &BTreeMap::new(), None);
        assert_eq!(view.len(), 1);
        assert_eq!((view[0].seen_at, view[0].lasted), (Some(at(5)), None));
    }
}
