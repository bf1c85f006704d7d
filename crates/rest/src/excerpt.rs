//! Text of a stranger, made fit for a message: one line, printable, short, without our secrets.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

/// As many characters of a body as a message can bear.
const LONGEST: usize = 300;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// What OAuth and addresses write as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Secrets as they may come back from a server: as they are, as a part of an address or a signature (which encodes
/// twice), or in JSON.
pub(crate) fn guises(secrets: &[SecretString]) -> Vec<SecretString> {
    let mut guises = Vec::new();
    for secret in secrets.iter().map(ExposeSecret::expose_secret) {
        let once = utf8_percent_encode(secret, UNRESERVED).to_string();
        let twice = utf8_percent_encode(&once, UNRESERVED).to_string();
        let json = serde_json::Value::from(secret).to_string();
        let json = json[1..json.len() - 1].to_owned();
        let mut forms = vec![twice, once, json, secret.to_owned()];
        forms.dedup();
        guises.extend(forms.into_iter().map(SecretString::from));
    }
    guises
}

/// The beginning of `text`, cleaned.
pub(crate) fn excerpt(text: &str, secrets: &[SecretString]) -> String {
    // Secrets go first: cut or cleaned text could hold half of one.
    let mut text = text.to_owned();
    for secret in secrets
        .iter()
        .map(ExposeSecret::expose_secret)
        .filter(|secret| !secret.is_empty())
    {
        if text.contains(secret) {
            text = text.replace(secret, HIDDEN);
        }
    }
    let mut line = String::new();
    let mut length = 0;
    for word in without_escapes(&text).split_whitespace() {
        // The three letters are `{"` in base64, with which every access token of Testflinger starts.
        let word = if word.contains("eyJ") && word.len() > 40 {
            HIDDEN
        } else {
            word
        };
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

/// Drops terminal escape sequences; other control characters and what turns or hides text become blanks.
fn without_escapes(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
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
                // A command to the terminal (title, link) ends with a bell or an escape and a backslash.
                Some(']') => {
                    while let Some(c) = rest.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && rest.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => clean.push(' '),
            c if c.is_control() => clean.push(' '),
            c => clean.push(c),
        }
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
        assert_eq!(excerpt(text, &[]), "one two red three four five");
        let long = excerpt(&"é".repeat(1000), &[]);
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn secrets_are_hidden_even_where_the_text_is_cut() {
        let secrets = [SecretString::from("hunter2"), SecretString::from("")];
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
    fn a_secret_is_known_in_every_guise() {
        let secrets = guises(&[SecretString::from("a/\"b"), SecretString::from("plain")]);
        for text in ["a/\"b", "a%2F%22b", "a%252F%2522b", r#"a/\"b"#, "plain"] {
            assert_eq!(excerpt(&format!("<{text}>"), &secrets), "<***>", "{text}");
        }
    }

    #[test]
    fn a_page_is_told_from_json() {
        assert!(is_html(b"\xef\xbb\xbf \r\n<!doctype html>"));
        assert!(!is_html(b"[\"<p>\"]"));
        assert!(!is_html(b""));
    }
}
