//! What codes mean, in words for people.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
use model::cycle::{MissedCause, Origin};
use model::outcome::{FailCause, LostCause, Outcome, Skip, SkipReason};

use crate::history::standing::Health;
use crate::views::{CycleState, CycleView};

/// The shape that stands for a health beside its word, for who does not see colours.
pub fn shape(health: Health) -> &'static str {
    match health {
        Health::Quarantined => "■",
        Health::Failing => "✖",
        Health::Suspect => "▲",
        Health::Stale => "◌",
        Health::Unknown => "?",
        Health::Ok => "●",
    }
}

/// What a health means, in one sentence.
pub fn health_meaning(health: Health) -> &'static str {
    match health {
        Health::Quarantined => "It failed so often in a row that it is left alone.",
        Health::Failing => "It failed at least twice in a row.",
        Health::Suspect => "It failed the last time.",
        Health::Stale => "It deployed the last time, more than 7 days ago.",
        Health::Unknown => "Nothing was proved yet.",
        Health::Ok => "It deployed the last time.",
    }
}

/// What is known of a machine of which no verdict was seen.
pub fn unproved(health: Health) -> &'static str {
    match health {
        Health::Quarantined => "failed before racktick's first job on it",
        _ => "nothing was proved yet",
    }
}

/// The shape that stands for an outcome.
pub fn outcome_shape(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "●",
        Outcome::Failed { .. } => "✖",
        Outcome::Cancelled => "⊘",
        Outcome::Lost { .. } => "?",
        Outcome::Rejected { .. } => "⊗",
        Outcome::Skipped(_) => "–",
    }
}

/// What became of a job, in one sentence without its first word.
pub fn outcome_detail(outcome: &Outcome) -> Option<String> {
    Some(match outcome {
        Outcome::Passed | Outcome::Cancelled => return None,
        Outcome::Failed {
            cause,
            phase,
            exit_code,
        } => {
            let phase = phase.map_or("a phase", |phase| phase.as_str());
            let exit = match exit_code {
                Some(code) => format!("exit status {code}"),
                None => "no exit status".into(),
            };
            match cause {
                FailCause::Phase => format!("in {phase}, {exit}"),
                FailCause::Killed => {
                    format!("in {phase}: killed, and nobody was seen to cancel it")
                }
                FailCause::RecoveryFailed => {
                    "the machine could not be recovered, and its agent went offline".into()
                }
                FailCause::NotProvisioned => "it ended without having provisioned".into(),
            }
        }
        Outcome::Lost { cause } => match cause {
            LostCause::Deadline => "it ran past its deadline and was cancelled".into(),
            LostCause::Gone => "Testflinger no longer knows it".into(),
        },
        Outcome::Rejected { status, message } => match message.as_str() {
            "" => format!("Testflinger answered {status}"),
            message => format!("Testflinger answered {status}: {message}"),
        },
        Outcome::Skipped(skip) => skip_words(skip),
    })
}

/// What became of a job, in one sentence.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome_detail(outcome) {
        Some(detail) => format!("{} {detail}", outcome.word()),
        None => outcome.word().to_owned(),
    }
}

/// Why a machine was left alone.
pub fn skip_words(skip: &Skip) -> String {
    match &skip.detail {
        None => skip.reason.meaning().to_owned(),
        Some(detail) => format!(
            "{} ({detail}).",
            skip.reason.meaning().trim_end_matches('.')
        ),
    }
}

/// Whose word it is that a rule saw.
pub fn source(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::RackPaused => "the rack's record",
        SkipReason::Excluded => "the rack's policy",
        SkipReason::InFlight | SkipReason::Cancelled => "the machine's record",
        SkipReason::MaasLocked | SkipReason::MaasStatus | SkipReason::MaasOwner => {
            "MAAS's list of the rack's machines"
        }
        SkipReason::NoAgent
        | SkipReason::OtherLocation
        | SkipReason::AgentOffline
        | SkipReason::AgentSilent
        | SkipReason::AgentBusy
        | SkipReason::NotOnQueue
        | SkipReason::QueueRestricted
        | SkipReason::FailStreak => "Testflinger's list of agents",
        SkipReason::TooLate => "the clock",
    }
}

/// What started a cycle.
pub fn origin(origin: Option<&Origin>) -> String {
    match origin {
        None => "-".into(),
        Some(Origin::Slot { .. }) => "schedule".into(),
        Some(Origin::Manual { by, reason }) => {
            let reason = reason.as_deref().map(|reason| format!(": {reason}"));
            format!(
                "{}{}",
                by.as_deref().unwrap_or("hand"),
                reason.unwrap_or_default()
            )
        }
    }
}

/// How far a cycle is, in a word.
pub fn cycle_word(state: &CycleState) -> &'static str {
    match state {
        CycleState::Planning => "planning",
        CycleState::Running => "running",
        CycleState::Finished { .. } => "finished",
        CycleState::Failed { .. } => "failed",
        CycleState::Missed { .. } => "missed",
    }
}

/// What must happen before a cycle goes on.
pub fn waits_for(view: &CycleView) -> Option<String> {
    match &view.cycle.state {
        CycleState::Planning => Some(match view.retries.last() {
            Some(retry) => format!(
                "the next attempt at {} ({}: {})",
                retry.next_at.strftime("%H:%M:%S UTC"),
                retry.cause,
                retry.message
            ),
            None => "MAAS and Testflinger to say what there is".into(),
        }),
        CycleState::Running => {
            let running = view.cycle.open.saturating_sub(view.unsubmitted);
            let mut waits = Vec::new();
            if view.unsubmitted > 0 {
                waits.push(count(view.unsubmitted, "submit"));
            }
            if running > 0 {
                waits.push(format!("{} to end", count(running, "job")));
            }
            (!waits.is_empty()).then(|| waits.join(" and "))
        }
        _ => None,
    }
}

/// Why a tick was not run.
pub fn missed(cause: MissedCause) -> &'static str {
    match cause {
        MissedCause::Removed => "the rack is gone",
        MissedCause::Paused => "the rack is paused",
        MissedCause::Rescheduled => "the rack's schedule has no such slot any more",
        MissedCause::Late => "it was taken up too late",
    }
}

/// The same as a whole sentence, which what programs are told is not always.
pub fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    let end = if text.ends_with(['.', '?', '!']) {
        ""
    } else {
        "."
    };
    format!("{}{}{end}", first.collect::<String>(), rest.as_str())
}

/// So many of something, whose plural ends in `s`.
pub fn count(count: usize, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    }
}

/// A long time span, in its largest unit.
pub fn roughly(span: SignedDuration) -> String {
    let whole = |number: i64| usize::try_from(number).unwrap_or(0);
    match span.as_hours() {
        hours if hours >= 48 => count(whole(hours / 24), "day"),
        hours if hours >= 2 => count(whole(hours), "hour"),
        _ => count(whole(span.as_mins()), "minute"),
    }
}

/// A time span to the second.
pub fn span(span: Duration) -> String {
    let whole = match span.as_secs() {
        0 => Duration::from_millis(span.as_millis().try_into().unwrap_or(0)),
        seconds => Duration::from_secs(seconds),
    };
    SpanPrinter::new()
        .designator(Designator::Compact)
        .spacing(Spacing::BetweenUnits)
        .unsigned_duration_to_string(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_a_beginning_and_an_end() {
        for (text, whole) in [
            ("no event has told of this", "No event has told of this."),
            ("does it run?", "Does it run?"),
            ("`x` is no name.", "`x` is no name."),
            ("ärger", "Ärger."),
        ] {
            assert_eq!(sentence(text), whole);
        }
    }
}
