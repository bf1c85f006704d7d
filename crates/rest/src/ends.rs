//! Logs of which the end is wanted: strings lose their beginning while they come, so that one of hundreds of megabytes
//! takes no more memory than its end.

use std::io::{self, Read};

use crate::guard::Escape;

/// How much may pass in all, in bytes: many times what the logs of a job come to, each cut.
const LONGEST_DOCUMENT: usize = 32 << 20;

/// Lets JSON text through whose strings lose their beginning: of a longer one at least the last `keep` bytes pass, as
/// written, and less than about twice as many.
pub(crate) struct Ends<R> {
    inner: R,
    keep: usize,
    /// How much may still pass, in bytes.
    room: usize,
    inside: bool,
    escape: Escape,
    /// The part of the string before `late`, once it is long enough to be cut.
    early: Vec<u8>,
    late: Vec<u8>,
    /// What may pass, and how much of it has.
    ready: Vec<u8>,
    read: usize,
}

impl<R> Ends<R> {
    pub(crate) fn new(inner: R, keep: usize) -> Self {
        Self {
            inner,
            keep,
            room: LONGEST_DOCUMENT,
            inside: false,
            escape: Escape::None,
            early: Vec::new(),
            late: Vec::new(),
            ready: Vec::new(),
            read: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let between = matches!(self.escape, Escape::None | Escape::Half);
            if !self.inside {
                self.ready.push(byte);
                self.inside = byte == b'"';
                continue;
            }
            if between && byte == b'"' {
                self.ready.append(&mut self.early);
                self.ready.append(&mut self.late);
                self.ready.push(byte);
                (self.inside, self.escape) = (false, Escape::None);
                continue;
            }
            // Only where a character starts can a string begin.
            if self.late.len() >= self.keep
                && self.escape == Escape::None
                && byte & 0b1100_0000 != 0b1000_0000
            {
                std::mem::swap(&mut self.early, &mut self.late);
                self.late.clear();
            }
            self.late.push(byte);
            self.escape = self.escape.next(byte);
        }
    }
}

impl<R: Read> Read for Ends<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.ready.len() {
            self.ready.clear();
            self.read = 0;
            let mut piece = [0; 16 << 10];
            let length = self.inner.read(&mut piece)?;
            if length == 0 {
                // A string that does not end passes as far as it came, so that the reader finds the document cut.
                self.ready.append(&mut self.early);
                self.ready.append(&mut self.late);
                if self.ready.is_empty() {
                    return Ok(0);
                }
            }
            self.take(&piece[..length]);
        }
        let length = buffer.len().min(self.ready.len() - self.read);
        buffer[..length].copy_from_slice(&self.ready[self.read..][..length]);
        self.read += length;
        self.room = self
            .room
            .checked_sub(length)
            .ok_or_else(|| io::Error::other("too much of it would have to be kept"))?;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Gives a text in pieces of this size.
    struct Pieces<'t>(&'t [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn passed(text: &str, piece: usize, keep: usize) -> String {
        let mut out = String::new();
        let mut ends = Ends::new(Pieces(text.as_bytes(), piece), keep);
        ends.read_to_string(&mut out).expect("text stays text");
        out
    }

    #[test]
    fn short_strings_pass_unchanged() {
        let text = r#" {"a": "b\"\\", "\u00e9é": [1, {"c": "\ud83d\ude00"}], "d": "}]["} "#;
        for piece in 1..20 {
            assert_eq!(passed(text, piece, 64), text);
        }
    }

    #[test]
    fn a_long_string_keeps_its_end_and_stays_a_string() {
        for part in [
            "x",
            "é",
            "\u{1f600}",
            r"\n",
            r"\u001b",
            r"\ud83d\ude00",
            r#"\""#,
            r"\\",
            r"a\ud83d\ude00",
        ] {
            for shift in 0..13 {
                let long = format!("{}{}the end", "y".repeat(shift), part.repeat(500));
                let text = format!(r#"{{"log":"{long}","end":1}}"#);
                let short = passed(&text, 7, 100);
                assert!(short.len() < 300, "{part}: {}", short.len());
                let value: Value = serde_json::from_str(&short).expect(part);
                let whole: Value = serde_json::from_str(&text).expect(part);
                let (end, log) = (value["log"].as_str(), whole["log"].as_str());
                assert!(
                    log.zip(end).is_some_and(|(log, end)| log.ends_with(end)),
                    "{part}"
                );
                assert!(end.is_some_and(|end| end.len() >= 20), "{part}");
                assert_eq!(value["end"], 1, "{part}");
            }
        }
    }

    #[test]
    fn what_would_fill_the_memory_is_an_error() {
        let mut ends = Ends::new(br#"["aa", "bb"]"#.as_slice(), 100);
        ends.room = 11;
        assert!(io::copy(&mut ends, &mut io::sink()).is_err());
    }
}
