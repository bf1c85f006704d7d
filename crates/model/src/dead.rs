//! Dead letters: messages that cannot succeed, kept whole with the reason.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is kept of a message that cannot succeed: the body of a message on `dlq.<original subject>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Version of this form.
    pub v: u8,
    /// Where the message was.
    pub subject: String,
    /// Its stream.
    pub stream: String,
    /// Its sequence in that stream.
    pub sequence: u64,
    /// When it was stored there.
    pub stored_at: Timestamp,
    /// Its headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Vec<String>>,
    /// Its body.
    pub body: Body,
    /// Why it cannot succeed.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up.
    pub at: Timestamp,
    /// The worker that gave up.
    pub by: String,
}

/// A body as it can stand in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Text.
    Text(String),
    /// Anything else, in base64.
    Base64(String),
    /// Too large to keep: the first bytes in base64, and how many there were.
    Cut {
        /// The first bytes.
        start: String,
        /// The length of the whole, in bytes.
        length: usize,
    },
}

impl Body {
    /// The largest body kept whole, in bytes. racktick's own messages are far below; with base64 and the rest of the
    /// letter it stays under the broker's limit of 1 MB.
    const LARGEST: usize = 256 * 1024;

    /// Keeps a body.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.len() > Self::LARGEST {
            return Self::Cut {
                start: BASE64_STANDARD.encode(&bytes[..1024]),
                length: bytes.len(),
            };
        }
        match str::from_utf8(bytes) {
            // Control characters are escaped to six bytes each in JSON; base64 is shorter.
            Ok(text) if !text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace()) => {
                Self::Text(text.into())
            }
            _ => Self::Base64(BASE64_STANDARD.encode(bytes)),
        }
    }

    /// The body again, to publish it anew. `None` when it was cut or is not base64.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Base64(text) => BASE64_STANDARD.decode(text).ok(),
            Self::Cut { .. } => None,
        }
    }
}

impl DeadLetter {
    /// The present version.
    pub const VERSION: u8 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_back_as_they_were() {
        for body in [
            &b"r7\n"[..],
            b"{\"rack\": \"r7\"}",
            b"",
            b"\x00\x1b[2J",
            &[0xff, 0xfe],
        ] {
            assert_eq!(Body::of(body).bytes().as_deref(), Some(body));
        }
    }

    #[test]
    fn the_largest_body_still_fits_into_a_message() {
        let worst = vec![b'\n'; Body::LARGEST];
        assert!(serde_json::to_vec(&Body::of(&worst)).unwrap().len() < 1_000_000);
        let huge = vec![b'x'; Body::LARGEST + 1];
        assert_eq!(Body::of(&huge).bytes(), None);
        assert!(serde_json::to_vec(&Body::of(&huge)).unwrap().len() < 4096);
    }
}
