//! Logs and documents of a stranger that are kept: lines stay lines, fields stay fields, and what looks like a secret is
//! hidden, ours or not.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use crate::secrets::{HIDDEN, Secrets, without_access_token};

/// A name with this in it is that of a secret, wherever names stand.
const NAMES: &str = "password | passwd | passphrase | secret | token | credential | api[_-]?key | access[_-]?key \
                     | private[_-]?key | oauth_";

/// A name with this in it is that of how whoever asks says who it is.
const HEADERS: &str = "authorization | cookie";

/// The name of a field that tells a secret.
static TELLING: LazyLock<Regex> = LazyLock::new(|| pattern(&format!("(?ix) {NAMES} | {HEADERS}")));

/// What names a secret that stands behind it, up to the end of the word or of the quotes, which JSON within a text
/// writes with backslashes.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r#"(?ix)
        ( [\w.-]* (?: {NAMES} ) [\w.-]* (?: \\*["'] )? [\x20\t]* [=:] [\x20\t]*
        | --[\w-]* (?: password | secret | token | key ) [\x20\t]+ )
        (?: \\*"[^"\n]+" | \\*'[^'\n]+' | [^\s"',;&]+ )"#,
    ))
});

/// How whoever asks says who it is. OAuth does it in parts, each in quotes of its own.
static AUTHORIZATION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r#"(?ix)
        ( (?: {HEADERS} ) (?: \\*["'] )? \s* [:=] \s* | \b (?: bearer | basic ) \s+ )
        (?: \\*["'] )? (?: [\w-]+ = "[^"\r\n]*" | [^\r\n"'] )+"#,
    ))
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

/// A field of a document: of one whose name tells a secret, only that it is there. The value of any other is rid of
/// them at any depth.
pub(crate) fn hidden_field(name: &str, value: Value, secrets: &Secrets) -> (String, Value) {
    let value = match value {
        // Neither is a secret, and that there is none may be what went wrong.
        Value::Null | Value::Bool(_) => value,
        Value::String(text) if text.is_empty() => Value::String(text),
        _ if TELLING.is_match(name) => HIDDEN.into(),
        other => hidden_value(other, secrets),
    };
    (hidden(name, secrets), value)
}

fn hidden_value(value: Value, secrets: &Secrets) -> Value {
    match value {
        Value::String(text) => hidden(&text, secrets).into(),
        Value::Array(values) => values
            .into_iter()
            .map(|value| hidden_value(value, secrets))
            .collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| hidden_field(&name, value, secrets))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_is_named_like_a_secret_keeps_no_value_at_any_depth() {
        let hidden = |value: Value| hidden_field("device_info", value, &Secrets::default()).1;
        for name in [
            "password",
            "ipmi_passwd",
            "passphrase",
            "client_secret",
            "secrets",
            "token",
            "accessToken",
            "api_key",
            "apiKey",
            "X-Api-Key",
            "access-key",
            "SSH_PRIVATE_KEY",
            "oauth_consumer",
            "credentials",
            "Authorization",
            "Set-Cookie",
        ] {
            for value in [
                json!("s3cret"),
                json!(1234),
                json!(["s3cret"]),
                json!({"value": {"of": "s3cret"}}),
            ] {
                let deep = json!({"bmc": [{"login": {name: value, "user": "ann"}}]});
                let want = json!({"bmc": [{"login": {name: "***", "user": "ann"}}]});
                assert_eq!(hidden(deep), want, "{name}");
                let at_the_top = hidden_field(name, value, &Secrets::default());
                assert_eq!(at_the_top, (name.into(), json!("***")));
            }
        }
        let harmless = json!({
            "agent_name": "node1", "provision_status": 46, "keyboard": "us", "author": "ann", "has_token": true,
            "password": "", "secret": null, "list": [1, 1.5, {"key": "x"}],
        });
        assert_eq!(hidden(harmless.clone()), harmless);
        let named = json!({"hunter2": "the maas password: s3cret", "why": ["token=abc"]});
        let secrets = Secrets::new(&["hunter2".into()]);
        assert_eq!(
            hidden_field("result", named, &secrets).1,
            json!({"***": "the maas password: ***", "why": ["token=***"]})
        );
    }

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
            ("credentials: ann:s3cret", "credentials: ***"),
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
