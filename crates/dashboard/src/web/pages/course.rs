//! A cycle drawn on the clock: when each of its jobs was at work.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};
use model::outcome::Outcome;

use super::parts::span;
use crate::views::{CycleView, JobSummary};

/// How wide a job's line is, in pixels, and how high.
const LINE: (i128, u32) = (160, 10);
/// So much is seen also of a job that was over at once.
const LEAST: i128 = 2;

/// From the first that was heard of a cycle to the last that was heard of its jobs: the same until more is heard, so that
/// a page of it stays as it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Course {
    begin: Timestamp,
    end: Timestamp,
}

impl Course {
    pub(super) fn of(view: &CycleView) -> Self {
        let begin = view.cycle.at;
        let decisions = view.decisions.iter();
        let jobs = decisions.filter_map(|decision| decision.job.as_ref());
        let heard = jobs.flat_map(|job| [job.submitted_at, job.state_at, job.outcome_at]);
        let end = heard.flatten().fold(begin, Timestamp::max);
        Self { begin, end }
    }

    /// When a job was at work, beside the cycle's others, and how long; nothing of one that was never submitted.
    pub(super) fn of_job(self, job: &JobSummary) -> Markup {
        let Some(begin) = job.submitted_at else {
            return html! {};
        };
        let class = job.outcome.as_ref().map_or("deploying", Outcome::word);
        let (left, right) = self.place(begin, job.outcome_at.unwrap_or(self.end));
        let (width, height) = LINE;
        html! {
            svg.course width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } aria-hidden="true" {
                rect.bar.(class) x=(left) width=(right - left) height=(height) rx="2" {}
            }
            @if let Some(end) = job.outcome_at {
                " " (span(Some(Duration::try_from(end.duration_since(begin)).unwrap_or_default())))
            }
        }
    }

    /// Where its line begins and ends, in pixels.
    fn place(self, begin: Timestamp, end: Timestamp) -> (i128, i128) {
        let (width, _) = LINE;
        let whole = self.end.duration_since(self.begin).as_nanos().max(1);
        // Whoever tells of a job has another clock than who tells of its cycle.
        let at = |moment: Timestamp| {
            let since = moment.duration_since(self.begin).as_nanos();
            (width * since / whole).clamp(0, width)
        };
        let left = at(begin).min(width - LEAST);
        (left, at(end).max(left + LEAST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_job_is_where_it_was_and_always_to_be_seen() {
        let course = Course {
            begin: at(1000),
            end: at(1160),
        };
        for (begin, end, seen) in [
            (1000, 1160, (0, 160)),
            (1010, 1100, (10, 100)),
            (1010, 1010, (10, 12)),
            (1160, 1160, (158, 160)),
            // Its clock is behind, or ahead.
            (900, 1001, (0, 2)),
            (1100, 2000, (100, 160)),
            (1100, 1050, (100, 102)),
        ] {
            assert_eq!(course.place(at(begin), at(end)), seen, "{begin} to {end}");
        }
        let nothing = Course {
            begin: at(1000),
            end: at(1000),
        };
        assert_eq!(nothing.place(at(1000), at(1000)), (0, LEAST));
    }
}
