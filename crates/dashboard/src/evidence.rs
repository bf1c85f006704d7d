//! Evidence of jobs that did not pass: asked of the broker when somebody wants to see it, and kept for a while, as a page
//! that is open asks again and again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstream::adapter::strip_str;
use bus::{Bus, BusError};
use jiff::Timestamp;
use ledger::Ledger;
use model::body;
use model::evidence::{Evidence, Keeping};
use model::id::JobId;
use model::subject::{bucket, key};
use model::text::turns_or_hides;
use tokio::sync::watch;
use tokio::time::timeout;

/// Longer than any evidence that racktick keeps, in bytes.
const LONGEST: u64 = 4 << 20;

/// How long the broker is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// How much is remembered, in bytes of JSON.
const REMEMBERED: usize = 8 << 20;

/// What is found of a job's evidence.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// All of it.
    Evidence(Arc<Evidence>),
    /// The bucket has it no more.
    Gone,
    /// It was never kept, for this cause.
    NeverKept(String),
    /// The broker did not give it.
    NotNow,
}

/// Reads a job's evidence, and makes sure that it is what the job's verdict speaks of. `None`: it is not there any more.
///
/// # Errors
/// When the broker cannot be asked, or what it has cannot be read.
pub async fn read(bus: &Bus, job: JobId, digest: &str) -> Result<Option<Evidence>, BusError> {
    let found = sized(bus, job, digest).await?;
    Ok(found.map(|(evidence, _)| evidence))
}

/// The same with how many bytes it has, which is not what an event says of it: that is a stranger's word.
async fn sized(bus: &Bus, job: JobId, digest: &str) -> Result<Option<(Evidence, usize)>, BusError> {
    let objects = bus.objects(bucket::EVIDENCE);
    let name = key::evidence(job, digest);
    let object = objects.get(&name, LONGEST).await?;
    let Some(object) = object.filter(|object| object.digest == digest) else {
        return Ok(None);
    };
    let malformed = |source| BusError::Malformed {
        bucket: bucket::EVIDENCE.into(),
        key: name,
        source,
    };
    let evidence: Evidence = body::read(&object.content).map_err(malformed)?;
    // What is kept under one job's name may be of another.
    Ok((evidence.job == job).then_some((evidence, object.content.len())))
}

/// The evidence that was asked for lately. Clones share it.
#[derive(Clone)]
pub(crate) struct Shelf {
    ledger: watch::Receiver<Option<Ledger>>,
    kept: Arc<Mutex<VecDeque<Kept>>>,
}

struct Kept {
    digest: String,
    size: usize,
    evidence: Arc<Evidence>,
}

impl Shelf {
    /// Of the broker of this ledger, once there is one.
    pub(crate) fn new(ledger: watch::Receiver<Option<Ledger>>) -> Self {
        Self {
            ledger,
            kept: Arc::default(),
        }
    }

    /// A job's evidence.
    pub(crate) async fn find(&self, job: JobId, keeping: &Keeping) -> Found {
        let digest = match keeping {
            Keeping::Kept { digest, .. } => digest,
            Keeping::Failed { cause } => return Found::NeverKept(cause.clone()),
        };
        if let Some(evidence) = self.remembered(job, digest) {
            return Found::Evidence(evidence);
        }
        let Some(ledger) = self.ledger.borrow().clone() else {
            return Found::NotNow;
        };
        match timeout(PATIENCE, sized(ledger.bus(), job, digest)).await {
            Ok(Ok(Some((evidence, size)))) => {
                let evidence = Arc::new(evidence);
                self.remember(digest, size, &evidence);
                Found::Evidence(evidence)
            }
            Ok(Ok(None)) => Found::Gone,
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(job.id = %job, error, "evidence cannot be shown");
                Found::NotNow
            }
            Err(_) => Found::NotNow,
        }
    }

    fn remembered(&self, job: JobId, digest: &str) -> Option<Arc<Evidence>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept
            .iter()
            .find(|kept| kept.evidence.job == job && kept.digest == digest);
        found.map(|kept| Arc::clone(&kept.evidence))
    }

    fn remember(&self, digest: &str, size: usize, evidence: &Arc<Evidence>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(Kept {
            digest: digest.to_owned(),
            size,
            evidence: Arc::clone(evidence),
        });
        while kept.iter().map(|kept| kept.size).sum::<usize>() > REMEMBERED {
            kept.pop_front();
        }
    }
}

/// The words for evidence that is not there.
pub fn missing(found: &Found, over_at: Option<Timestamp>) -> Option<String> {
    match found {
        Found::Evidence(_) => None,
        Found::Gone => Some(match over_at {
            Some(at) => format!(
                "the broker does not keep the evidence of {} any more",
                at.strftime("%Y-%m-%d")
            ),
            None => "the broker does not keep its evidence any more".into(),
        }),
        Found::NeverKept(cause) => Some(format!(
            "its evidence could not be kept ({cause}): Testflinger may still have its log"
        )),
        Found::NotNow => Some("the broker does not give its evidence now".into()),
    }
}

/// A log as text: without what commands a terminal, and a line that was written over and over as it was at last. Each line
/// is read for itself, so that a command that never ends hides no line after it.
pub fn plain(log: &str) -> String {
    let mut text = String::with_capacity(log.len());
    for (number, line) in log.split('\n').enumerate() {
        if number > 0 {
            text.push('\n');
        }
        let line = strip_str(line).to_string();
        let last = line.trim_end_matches('\r').rsplit('\r').next();
        let shown = |c: &char| *c == '\t' || !(c.is_control() || turns_or_hides(*c));
        text.extend(last.unwrap_or_default().chars().filter(shown));
    }
    text
}

/// The last lines of a text, at most so many.
pub fn last_lines(text: &str, most: usize) -> &str {
    let text = text.trim_end();
    match text.rmatch_indices('\n').nth(most.saturating_sub(1)) {
        Some((at, _)) => &text[at + 1..],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_text_for_people() {
        let log =
            "a\r\n\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}\t\u{202e}x\n10%\r55%\r100%\nend\u{0}\r";
        assert_eq!(plain(log), "a\nred\tx\n100%\nend");
    }

    #[test]
    fn nothing_in_a_log_commands_a_terminal_or_hides_a_line() {
        for (log, text) in [
            ("a\u{1b}[2J\u{1b}[1;1Hb", "ab"),
            ("a\u{1b}[38;2;255;0;0mb\u{1b}[?25l", "ab"),
            (
                "a\u{1b}]8;;http://evil.example\u{1b}\\b\u{1b}]8;;\u{1b}\\",
                "ab",
            ),
            (
                "a\u{1b}P$qm\u{1b}\\b\u{1b}_hidden\u{1b}\\\u{1b}^hidden\u{1b}\\c",
                "abc",
            ),
            ("a\u{1b}(0b\u{1b}#8\u{1b}c", "ab"),
            ("a\u{9b}31mb\u{90}c\u{7f}", "a31mbc"),
            (
                "one\u{1b}]0;never ended\ntwo\u{1b}[\nthree\u{1b}Px\nfour\u{1b}",
                "one\ntwo\nthree\nfour",
            ),
            ("a\u{1b}[3\u{18}b\u{1b}[\u{1b}[mc", "abc"),
            ("50%\r\u{1b}[K100%\r\r\nb\r", "100%\nb"),
            ("\n\n", "\n\n"),
        ] {
            assert_eq!(plain(log), text, "{log:?}");
        }
    }

    #[test]
    fn the_last_lines_are_the_last() {
        assert_eq!(last_lines("a\nb\nc\n\n", 2), "b\nc");
        assert_eq!(last_lines("a\nb", 2), "a\nb");
        assert_eq!(last_lines("", 2), "");
    }
}
