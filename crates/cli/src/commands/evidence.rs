//! Evidence of a job that did not pass, for a terminal.

use bus::Bus;
use dashboard::evidence::{self, Found};
use dashboard::views::JobView;
use model::evidence::{Evidence, Keeping};

use crate::output;

/// How many lines of a log are shown.
const LINES: usize = 20;

/// The evidence of a job; `None` of one that has none. That it cannot be had is no reason to say nothing else.
pub(super) async fn find(bus: &Bus, job: &JobView) -> Option<Found> {
    let (digest, id) = match job.evidence.as_ref()? {
        Keeping::Kept { digest, .. } => (digest, job.job.job),
        Keeping::Failed { cause } => return Some(Found::NeverKept(cause.clone())),
    };
    Some(match evidence::read(bus, id, digest).await {
        Ok(Some(evidence)) => Found::Evidence(evidence.into()),
        Ok(None) => Found::Gone,
        Err(error) => {
            tracing::warn!("the evidence cannot be read: {}", output::chain(&error));
            Found::NotNow
        }
    })
}

/// What was kept, for JSON.
pub(super) fn content(found: Option<&Found>) -> Option<&Evidence> {
    match found {
        Some(Found::Evidence(evidence)) => Some(evidence),
        _ => None,
    }
}

/// Phase, exit status and the last lines, or why there are none.
pub(super) fn text(found: &Found, job: &JobView) -> String {
    let evidence = match (found, evidence::missing(found, job.job.outcome_at)) {
        (Found::Evidence(evidence), _) => evidence,
        (_, missing) => return missing.unwrap_or_default(),
    };
    let logs = [
        ("wrote last", &evidence.output),
        ("serial line", &evidence.serial),
    ];
    let parts = logs.into_iter().flat_map(|(what, logs)| {
        logs.iter().map(move |(phase, log)| {
            let text = evidence::plain(&log.end);
            let last = evidence::last_lines(&text, LINES);
            let status = job.phases.iter().find(|view| view.phase == *phase);
            match status.and_then(|view| view.status) {
                Some(status) => format!("{phase}, exit status {status}, {what}:\n{last}"),
                None => format!("{phase}, {what}:\n{last}"),
            }
        })
    });
    let parts: Vec<String> = parts.collect();
    match parts.is_empty() {
        true => "no phase wrote anything that Testflinger still had".into(),
        false => parts.join("\n\n"),
    }
}
