//! A job's result with the ends of its logs.

use std::collections::BTreeMap;

use rest::{Http, Object};
use serde_json::{Map, Value};

use crate::client::Testflinger;
use crate::error::TestflingerError;
use crate::job::{Phase, is_short};

/// Half a secret at the beginning of what came is at most so long, in bytes.
const HALF_A_SECRET: usize = 4 << 10;

/// The longest way of writing one byte of text in JSON: `\u001b`.
const LONGEST_ESCAPE: usize = 6;

/// More fields than any server writes, besides logs.
const MOST_FIELDS: usize = 100;

/// A job's result, and what its phases wrote. Nothing in it is a secret of ours, or looks like one of others.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// The result as the server writes it, without logs and what is long.
    pub result: Map<String, Value>,
    /// Outputs of phases that wrote anything.
    pub output: BTreeMap<Phase, Log>,
    /// What came over the serial line while they ran.
    pub serial: BTreeMap<Phase, Log>,
}

/// The end of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Whole lines, unless one is longer than all that is kept.
    pub end: String,
    /// Whether there was more before it.
    pub cut: bool,
}

impl Testflinger {
    /// The result of a job with the last `longest` bytes of each log; none for a clean 204, as [`Self::job`].
    ///
    /// # Errors
    /// As [`Self::result`].
    pub async fn logged(
        &self,
        job_id: &str,
        longest: usize,
    ) -> Result<Option<Logged>, TestflingerError> {
        const DOING: &str = "read the logs of the job";
        let answer = self.get(DOING, "result", &["v1", "result", job_id]).await?;
        let error = |error| self.error(DOING, error);
        let read = match answer.status() {
            204 => return answer.nothing().await.map(|()| None).map_err(error),
            200 => {
                let cap = self.http.limits().result_bytes;
                let keep = (longest + HALF_A_SECRET) * LONGEST_ESCAPE;
                answer
                    .json_ends::<Object<Map<String, Value>>>(cap, keep)
                    .await
            }
            _ => Err(answer.refused().await),
        };
        let Object(written) = read.map_err(error)?;
        Ok(Some(logged(&self.http, written, longest)))
    }
}

fn logged(http: &Http, written: Map<String, Value>, longest: usize) -> Logged {
    let mut logged = Logged {
        result: Map::new(),
        output: BTreeMap::new(),
        serial: BTreeMap::new(),
    };
    for (name, value) in written {
        let log = name.rsplit_once('_').and_then(|(phase, kind)| match kind {
            "output" => Some((&mut logged.output, phase)),
            "serial" => Some((&mut logged.serial, phase)),
            _ => None,
        });
        match (log, value) {
            (Some((logs, phase)), Value::String(text)) => {
                if let Some(phase) = Phase::named(phase)
                    && !text.is_empty()
                {
                    logs.insert(phase, end_of(http, &text, longest));
                }
            }
            (Some(_), _) => {}
            (None, value) if is_short(&value) && logged.result.len() < MOST_FIELDS => {
                let (name, value) = http.field_without_secrets(&name, value);
                logged.result.insert(name, value);
            }
            (None, _) => {}
        }
    }
    logged
}

fn end_of(http: &Http, text: &str, longest: usize) -> Log {
    let from = text.len().saturating_sub(longest + HALF_A_SECRET);
    // A text of this length may have lost its beginning on the way, and begin with half a secret as well.
    let is_half = text.len() >= longest + HALF_A_SECRET;
    let hidden = http.without_secrets(&text[text.ceil_char_boundary(from)..]);
    let too_much = hidden.len().saturating_sub(longest);
    let from = match is_half {
        true => too_much.max(HALF_A_SECRET.min(hidden.len())),
        false => too_much,
    };
    let mut end = &hidden[hidden.ceil_char_boundary(from)..];
    if from > 0
        && let Some((_, whole)) = end.split_once('\n')
        && !whole.is_empty()
    {
        end = whole;
    }
    Log {
        end: end.to_owned(),
        cut: from > 0,
    }
}
