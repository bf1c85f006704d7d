//! Keeps a hostile or endless document from filling the memory while it is parsed.
//!
//! The parser holds one string and one path of brackets at a time. Both are bounded here, before it sees them. Strings
//! lose their end instead of failing: a log of hundreds of megabytes is an ordinary part of a result, and dropping it
//! here is also much cheaper than letting the parser walk over it.

use std::io::{self, Read};

/// The longest string that is passed on whole, in bytes as written.
const LONGEST_STRING: usize = 64 << 10;

/// The deepest nesting, the same as the parser's own for values it keeps.
const DEEPEST: u32 = 128;

/// Lets JSON text through whose strings lose what goes beyond 64 KiB, and stops at nesting deeper than 128. Every long
/// answer is read through it.
pub struct Guard<R> {
    inner: R,
    longest: usize,
    depth: u32,
    place: Place,
}

enum Place {
    Outside,
    /// In a string, so many bytes after its start.
    Inside {
        length: usize,
        escape: Escape,
    },
    /// In the part of a string that is dropped; true after a backslash.
    Dropping {
        escaped: bool,
    },
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Escape {
    None,
    Backslash,
    /// In `\uXXXX`, with the digits read so far.
    Hex {
        digits: u8,
        first: u8,
        high: bool,
    },
    /// After the first half of a pair: its second half must not be dropped.
    Half,
}

impl Escape {
    pub(crate) fn next(self, byte: u8) -> Self {
        match self {
            Self::None | Self::Half if byte == b'\\' => Self::Backslash,
            Self::None | Self::Half => Self::None,
            Self::Backslash if byte == b'u' => Self::Hex {
                digits: 0,
                first: 0,
                high: false,
            },
            Self::Backslash => Self::None,
            Self::Hex { digits: 0, .. } => Self::Hex {
                digits: 1,
                first: byte,
                high: false,
            },
            Self::Hex {
                digits: 1, first, ..
            } => {
                let high = matches!(first, b'd' | b'D')
                    && matches!(byte, b'8'..=b'9' | b'a' | b'b' | b'A' | b'B');
                Self::Hex {
                    digits: 2,
                    first,
                    high,
                }
            }
            Self::Hex {
                digits: 2,
                first,
                high,
            } => Self::Hex {
                digits: 3,
                first,
                high,
            },
            Self::Hex { high, .. } => {
                if high {
                    Self::Half
                } else {
                    Self::None
                }
            }
        }
    }
}

impl<R> Guard<R> {
    /// Guards whoever reads from `inner` through it.
    pub fn new(inner: R) -> Self {
        Self::with_longest(inner, LONGEST_STRING)
    }

    /// The same for strings of this length.
    pub(crate) fn with_longest(inner: R, longest: usize) -> Self {
        Self {
            inner,
            longest,
            depth: 0,
            place: Place::Outside,
        }
    }

    /// Moves what may pass to the front of `bytes` and says how much that is.
    fn filter(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut kept = 0;
        for at in 0..bytes.len() {
            let byte = bytes[at];
            match &mut self.place {
                Place::Outside => match byte {
                    b'"' => {
                        self.place = Place::Inside {
                            length: 0,
                            escape: Escape::None,
                        }
                    }
                    b'{' | b'[' => {
                        self.depth += 1;
                        if self.depth > DEEPEST {
                            return Err(io::Error::other("it is nested too deeply"));
                        }
                    }
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                },
                Place::Inside {
                    escape: Escape::None | Escape::Half,
                    ..
                } if byte == b'"' => {
                    self.place = Place::Outside;
                }
                // Only where a character starts can a string end.
                Place::Inside {
                    length,
                    escape: Escape::None,
                } if *length >= self.longest && byte & 0b1100_0000 != 0b1000_0000 => {
                    self.place = Place::Dropping {
                        escaped: byte == b'\\',
                    };
                    continue;
                }
                Place::Inside { length, escape } => {
                    *length += 1;
                    *escape = escape.next(byte);
                }
                Place::Dropping { escaped: false } if byte == b'"' => self.place = Place::Outside,
                Place::Dropping { escaped } => {
                    *escaped = !*escaped && byte == b'\\';
                    continue;
                }
            }
            bytes[kept] = byte;
            kept += 1;
        }
        Ok(kept)
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.inner.read(buffer)?;
            if read == 0 {
                return Ok(0);
            }
            // All of it may have been dropped, which is not the end.
            let kept = self.filter(&mut buffer[..read])?;
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes when the text comes in pieces of every small size.
    fn passed(text: &str, piece: usize) -> io::Result<String> {
        let mut guard = Guard::new(io::empty());
        let mut out = Vec::new();
        for chunk in text.as_bytes().chunks(piece) {
            let mut chunk = chunk.to_vec();
            let kept = guard.filter(&mut chunk)?;
            out.extend_from_slice(&chunk[..kept]);
        }
        Ok(String::from_utf8(out).expect("text stays text"))
    }

    #[test]
    fn an_ordinary_document_passes_unchanged() {
        let text = r#" {"a": "b\"\\", "\u00e9é": [1, {"c": "\ud83d\ude00"}], "d": "}]["} "#;
        for piece in 1..20 {
            assert_eq!(passed(text, piece).unwrap(), text);
        }
    }

    #[test]
    fn a_long_string_loses_its_end_and_stays_a_string() {
        for part in [
            "x",
            "é",
            "€",
            "\u{1f600}",
            r"\n",
            r"\u001b",
            r"\ud83d\ude00",
            r#"\""#,
            r"\\",
            r"a\ud83d\ude00",
        ] {
            for shift in 0..13 {
                let long = part.repeat(LONGEST_STRING / part.len() + 50);
                let text = format!(r#"{{"log":"{}{long}","end":1}}"#, "y".repeat(shift));
                let short = passed(&text, 4096).unwrap();
                assert!(short.len() < LONGEST_STRING + 64, "{part}: {}", short.len());
                let value: serde_json::Value = serde_json::from_str(&short).expect(part);
                assert_eq!(value["end"], 1, "{part}");
            }
        }
    }

    #[test]
    fn brackets_cannot_be_nested_without_end() {
        assert!(passed(&"[".repeat(128), 7).is_ok());
        assert!(passed(&"[".repeat(129), 7).is_err());
        assert!(passed(&"[]".repeat(1000), 7).is_ok());
    }
}
