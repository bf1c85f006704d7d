//! Text of a stranger, made fit for a message: one line, printable, short, without our secrets.

use anstream::adapter::strip_str;
use model::text::turns_or_hides;

use crate::secrets::{Secrets, without_access_token};

/// As many characters of a body as a message can bear.
const LONGEST: usize = 300;

/// The beginning of `text`, cleaned.
pub(crate) fn excerpt(text: &str, secrets: &Secrets) -> String {
    // Secrets go first: cut or cleaned text could hold half of one.
    let hidden = secrets.hidden_in_message(text);
    let text = without_escapes(hidden.as_deref().unwrap_or(text));
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace().map(without_access_token) {
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        for character in word.chars() {
            if length == LONGEST {
                line.push('…');
                return line;
            }
            line.push(character);
            length += 1;
        }
    }
    line
}

/// Drops terminal escape sequences, of which each ends with its line at the latest; other control characters and what
/// turns or hides text become blanks.
fn without_escapes(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for line in text.lines() {
        let shown = strip_str(line).flat_map(str::chars);
        clean.extend(shown.map(|character| match character {
            c if c.is_control() || turns_or_hides(c) => ' ',
            c => c,
        }));
        clean.push(' ');
    }
    clean
}

/// Whether a body is a page for a browser: JSON never starts with this sign.
pub(crate) fn is_html(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    body.trim_ascii_start().first() == Some(&b'<')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_printable_line() {
        let text = "one\r\n\ttwo \u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7}three\u{0} \u{202e}four \u{1b}]8;;x\u{1b}\\five";
        assert_eq!(
            excerpt(text, &Secrets::default()),
            "one two red three four five"
        );
        let text = "one\u{1b}]0;never ended\ntwo\u{1b}Phidden\u{1b}\\ \u{9b}2Jthree\u{1b}[";
        assert_eq!(excerpt(text, &Secrets::default()), "one two 2Jthree");
        let long = excerpt(&"é".repeat(1000), &Secrets::default());
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn secrets_are_hidden_even_where_the_text_is_cut() {
        let secrets = Secrets::new(&["hunter2".into(), "".into()]);
        assert_eq!(
            excerpt("Expected &hunter2, got %26hunter2", &secrets),
            "Expected &***, got %26***"
        );
        let at_the_end = format!("{}hunter2", "x".repeat(LONGEST - 3));
        assert!(!excerpt(&at_the_end, &secrets).contains("hun"));
        let token = format!("bad token {}.{}", "eyJhbGciOiJIUzI1NiJ9", "a".repeat(60));
        assert_eq!(excerpt(&token, &secrets), "bad token ***");
    }

    #[test]
    fn a_page_is_told_from_json() {
        assert!(is_html(b"\xef\xbb\xbf \r\n<!doctype html>"));
        assert!(!is_html(b"[\"<p>\"]"));
        assert!(!is_html(b""));
    }
}
