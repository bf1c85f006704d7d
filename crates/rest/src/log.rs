//! Logs of a stranger that are kept: lines stay lines, and what looks like a secret is hidden, ours or not.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::secrets::{HIDDEN, Secrets, without_access_token};

/// What names a secret that stands behind it, up to the end of the word or of the quotes, which JSON within a text
/// writes with backslashes.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?ix)
        ( [\w.-]* (?: password | passwd | passphrase | secret | token | api[_-]?key | access[_-]?key | private[_-]?key | oauth_ )
          [\w.-]* (?: \\*["'] )? [\x20\t]* [=:] [\x20\t]*
        | --[\w-]* (?: password | secret | token | key ) [\x20\t]+ )
        (?: \\*"[^"\n]+" | \\*'[^'\n]+' | [^\s"',;&]+ )"#,
    )
});

/// How whoever asks says who it is. OAuth does it in parts, each in quotes of its own.
static AUTHORIZATION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?ix)
        ( (?: authorization | cookie ) (?: \\*["'] )? \s* [:=] \s* | \b (?: bearer | basic ) \s+ )
        (?: \\*["'] )? (?: [\w-]+ = "[^"\r\n]*" | [^\r\n"'] )+"#,
    )
});

/// A key of MAAS, as `maas login` takes it: consumer, token and secret.
static MAAS_KEY: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b[A-Za-z0-9]{18}:[A-Za-z0-9]{18}:[A-Za-z0-9]{32}\b"));

/// User and password of an address.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(://)[^\s/@]+(@)"));

/// A private key, of which the beginning or the end may be missing.
static PRIVATE_KEY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|$)|^[^-]*?(-----END [A-Z ]*PRIVATE KEY-----)",
    )
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of ours, used by a test")
}

/// The text without our secrets, access tokens, and what looks like the secret of somebody else.
pub(crate) fn hidden(text: &str, secrets: &Secrets) -> String {
    let ours = secrets.hidden_in_message(text);
    let text = ours.as_deref().unwrap_or(text);
    let text = PRIVATE_KEY.replace_all(text, |found: &Captures| {
        let part = |number| found.get(number).map_or("", |part| part.as_str());
        format!("{}{HIDDEN}{}{}", part(1), part(2), part(3))
    });
    let text = AUTHORIZATION.replace_all(&text, format!("${{1}}{HIDDEN}"));
    let text = NAMED.replace_all(&text, format!("${{1}}{HIDDEN}"));
    let text = MAAS_KEY.replace_all(&text, HIDDEN);
    let text = ADDRESS.replace_all(&text, format!("${{1}}{HIDDEN}${{2}}"));
    text.split_inclusive(char::is_whitespace)
        .map(|word| {
            let end = word.trim_end().len();
            [without_access_token(&word[..end]), &word[end..]]
        })
        .collect::<Vec<_>>()
        .concat()
        .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        hidden(text, &Secrets::new(&["hunter2".into()]))
    }

    #[test]
    fn lines_stay_lines_and_ours_are_hidden() {
        assert_eq!(
            shown("one\n\ttwo  hunter2 \r\nthree %68\n"),
            "one\n\ttwo  *** \r\nthree %68\n"
        );
        let token = format!("eyJhbGciOiJIUzI1NiJ9.{}", "a".repeat(60));
        assert_eq!(shown(&format!("a\n{token}\nb")), "a\n***\nb");
    }

    #[test]
    fn what_looks_like_a_secret_is_hidden() {
        for (text, want) in [
            ("maas password: s3cret done", "maas password: *** done"),
            (
                r#"{"api_key": "a b c", "x": 1}"#,
                r#"{"api_key": ***, "x": 1}"#,
            ),
            ("--token=abc --user ann", "--token=*** --user ann"),
            ("login --api-key a:b", "login --api-key ***"),
            ("the token is wrong", "the token is wrong"),
            ("MAAS_API_KEY=a:b:c\n", "MAAS_API_KEY=***\n"),
            (
                r#"Authorization: OAuth oauth_token="t", oauth_signature="%26SECRET""#,
                "Authorization: ***",
            ),
            (
                r#"send oauth_signature="%26SECRET", then"#,
                "send oauth_signature=***, then",
            ),
            (
                r#"{\"password\": \"s3cret\", \"x\": 1}"#,
                r#"{\"password\": ***, \"x\": 1}"#,
            ),
            (
                "maas login admin http://maas aaaaaaaaaaaaaaaaaa:bbbbbbbbbbbbbbbbbb:cccccccccccccccccccccccccccccccc x",
                "maas login admin http://maas *** x",
            ),
            (
                "curl -H 'authorization: Bearer abc'",
                "curl -H 'authorization: ***'",
            ),
            (
                "git clone https://ann:pw@host/x",
                "git clone https://***@host/x",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nabc\ndef\n-----END RSA PRIVATE KEY-----\nmore",
                "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----\nmore",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nabc",
                "-----BEGIN PRIVATE KEY-----***",
            ),
            (
                "abc\n-----END PRIVATE KEY-----\nmore",
                "***-----END PRIVATE KEY-----\nmore",
            ),
            ("https://host/path?a=b", "https://host/path?a=b"),
            ("Deployment of node1 failed", "Deployment of node1 failed"),
        ] {
            assert_eq!(shown(text), want);
        }
    }
}
