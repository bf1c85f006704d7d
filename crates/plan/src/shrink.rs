//! A list that is suddenly much smaller is an outage until it is seen again.

use model::id::CycleId;
use model::rack::{Doubted, Sizes};

/// A list must lose at least so many entries to be doubted: small racks change.
const NOTABLE: usize = 5;

/// What to think of the lists of a cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// They are the new measure. What was doubted before is forgotten.
    Believed(Sizes),
    /// They are not acted on.
    Doubted {
        /// To be remembered, so that another cycle can confirm it.
        doubted: Doubted,
        /// What happened, for people.
        message: String,
    },
}

/// Compares the sizes of a cycle's lists with the last good ones.
///
/// A list of less than half its last good size, and at least 5 entries smaller, is implausible. It is believed when
/// another cycle has seen it with the same size before, or when somebody accepts it. The first lists of a rack are
/// always believed, also empty ones: a tag without machines is legal.
pub fn judge(
    sizes: Sizes,
    good: Option<Sizes>,
    doubted: Option<Doubted>,
    cycle: CycleId,
    accept: bool,
) -> Judgement {
    let Some(good) = good else {
        return Judgement::Believed(sizes);
    };
    let lists = [
        (
            "machines of the rack",
            good.machines,
            sizes.machines,
            doubted.map(|doubted| doubted.sizes.machines),
        ),
        (
            "agents of the fleet",
            good.agents,
            sizes.agents,
            doubted.map(|doubted| doubted.sizes.agents),
        ),
    ];
    let shrunk: Vec<_> = lists
        .into_iter()
        .filter(|(_, before, now, _)| is_implausible(*before, *now))
        .collect();
    let seen_before = doubted.is_some_and(|doubted| doubted.cycle != cycle);
    if accept
        || (seen_before
            && shrunk
                .iter()
                .all(|(_, _, now, before)| *before == Some(*now)))
        || shrunk.is_empty()
    {
        return Judgement::Believed(sizes);
    }
    let what: Vec<String> = shrunk
        .iter()
        .map(|(what, before, now, _)| format!("{now} {what} where there were {before}"))
        .collect();
    let message = format!(
        "{}: an outage until another cycle sees the same; `racktick tick <rack> --accept-shrink` accepts it now",
        what.join(", ")
    );
    Judgement::Doubted {
        doubted: Doubted { sizes, cycle },
        message,
    }
}

fn is_implausible(before: usize, now: usize) -> bool {
    now.saturating_mul(2) < before && before - now >= NOTABLE
}

#[cfg(test)]
#[path = "shrink_tests.rs"]
mod tests;
