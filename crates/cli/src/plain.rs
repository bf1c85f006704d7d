//! Text of strangers, made fit for a terminal. Names and messages come from MAAS, Testflinger and the broker, and
//! whoever may write there must not be able to move our cursor, hide a line or invent one.

use std::borrow::Cow;
use std::io::{self, Write};

use model::text::turns_or_hides;

/// One line: every character that would not simply be shown is written as `\u001b` is, which is also how JSON has it.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    written(text, is_plain)
}

/// The same for several lines: line ends and tabs stay.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    written(text, |character| {
        is_plain(character) || matches!(character, '\n' | '\t')
    })
}

fn written(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&stays) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if stays(character) {
            plain.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                plain.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    Cow::Owned(plain)
}

/// Whether a character is no command to a terminal, and neither turns nor hides what stands beside it.
fn is_plain(character: char) -> bool {
    !character.is_control() && !turns_or_hides(character)
}

/// Passes on lines of JSON. JSON itself writes most of these characters so, but not all of them.
pub(crate) struct JsonLines<W>(pub(crate) W);

impl<W: Write> Write for JsonLines<W> {
    /// Takes whole lines, as the log writes them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .write_all(lines(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        for (text, want) in [
            ("node 3 é 漢 😀 `x`", "node 3 é 漢 😀 `x`"),
            ("\u{1b}[2J\u{1b}]0;t\u{7}", "\\u001b[2J\\u001b]0;t\\u0007"),
            ("a\r\nb\tc\u{7f}", "a\\u000d\\u000ab\\u0009c\\u007f"),
            (
                "\u{9b}31m\u{202e}x\u{200b}\u{feff}",
                "\\u009b31m\\u202ex\\u200b\\ufeff",
            ),
            ("\u{e0041}", "\\udb40\\udc41"),
        ] {
            assert_eq!(line(text), want);
        }
        assert_eq!(lines("a\n\tb\u{1b}\r"), "a\n\tb\\u001b\\u000d");
    }

    #[test]
    fn written_out_json_is_the_same_json() {
        let value = serde_json::json!({"a\u{9b}": ["\u{202e}\u{7f}", "\u{e0041}", "\u{1b}\n"]});
        for text in [
            value.to_string(),
            serde_json::to_string_pretty(&value).unwrap(),
        ] {
            let plain = lines(&text);
            assert!(plain.chars().all(|c| is_plain(c) || c == '\n'));
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&plain).unwrap(),
                value
            );
        }
    }
}
