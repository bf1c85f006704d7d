//! Evidence of jobs that did not pass: asked of the broker when somebody wants to see it, and kept for a while, as a page
//! that is open asks again and again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bus::{Bus, BusError};
use jiff::Timestamp;
use model::body;
use model::evidence::{Evidence, Keeping};
use model::id::JobId;
use model::subject::{bucket, key};
use tokio::time::timeout;

/// Longer than any evidence that racktick keeps, in bytes.
const LONGEST: u64 = 4 << 20;

/// How long the broker is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// How much is remembered, in bytes of JSON.
const REMEMBERED: u64 = 8 << 20;

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
    body::read(&object.content).map(Some).map_err(malformed)
}

/// The evidence that was asked for lately. Clones share it.
#[derive(Clone)]
pub(crate) struct Shelf {
    bus: Bus,
    kept: Arc<Mutex<VecDeque<Kept>>>,
}

struct Kept {
    digest: String,
    size: u64,
    evidence: Arc<Evidence>,
}

impl Shelf {
    pub(crate) fn new(bus: Bus) -> Self {
        Self {
            bus,
            kept: Arc::default(),
        }
    }

    /// A job's evidence.
    pub(crate) async fn find(&self, job: JobId, keeping: &Keeping) -> Found {
        let (digest, size) = match keeping {
            Keeping::Kept { digest, size } => (digest, *size),
            Keeping::Failed { cause } => return Found::NeverKept(cause.clone()),
        };
        if let Some(evidence) = self.remembered(digest) {
            return Found::Evidence(evidence);
        }
        match timeout(PATIENCE, read(&self.bus, job, digest)).await {
            Ok(Ok(Some(evidence))) => {
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

    fn remembered(&self, digest: &str) -> Option<Arc<Evidence>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|kept| kept.digest == digest);
        found.map(|kept| Arc::clone(&kept.evidence))
    }

    fn remember(&self, digest: &str, size: u64, evidence: &Arc<Evidence>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(Kept {
            digest: digest.to_owned(),
            size,
            evidence: Arc::clone(evidence),
        });
        while kept.iter().map(|kept| kept.size).sum::<u64>() > REMEMBERED {
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

/// A log as text: without what commands a terminal, and a line that was written over and over as it was at last.
pub fn plain(log: &str) -> String {
    let mut text = String::with_capacity(log.len());
    let mut rest = log.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => match rest.next() {
                // A control sequence ends with a letter or one of a few signs.
                Some('[') => {
                    while rest
                        .next()
                        .is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c))
                    {}
                }
                // A command to the terminal (title, link) ends with a bell, or an escape and a backslash.
                Some(']') => {
                    while let Some(c) = rest.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && rest.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\r' => match rest.peek() {
                Some('\n') | None => {}
                Some(_) => text.truncate(text.rfind('\n').map_or(0, |at| at + 1)),
            },
            '\n' | '\t' => text.push(character),
            // What turns or hides the text beside it.
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => {}
            c if c.is_control() => {}
            c => text.push(c),
        }
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
    fn the_last_lines_are_the_last() {
        assert_eq!(last_lines("a\nb\nc\n\n", 2), "b\nc");
        assert_eq!(last_lines("a\nb", 2), "a\nb");
        assert_eq!(last_lines("", 2), "");
    }
}
