//! Our secrets, and what a stranger's text looks like without them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

/// What stands in the place of a secret.
pub(crate) const HIDDEN: &str = "***";

/// A shorter secret could be a part of any word, so only messages are rid of it: names and states have to stay what
/// they are.
const TELLING: usize = 8;

/// What OAuth and addresses write as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Secrets in every guise in which they may come back from a server, the longest first: one may be a part of another.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    guises: Vec<Guise>,
}

#[derive(Debug)]
struct Guise {
    text: SecretString,
    /// Whether it is long enough to be found in a word by nothing but itself.
    tells: bool,
}

impl Secrets {
    /// These, as they are, as a part of an address or a signature (which encodes twice), and in JSON.
    pub(crate) fn new(secrets: &[SecretString]) -> Self {
        let mut guises = Vec::new();
        for secret in secrets.iter().map(ExposeSecret::expose_secret) {
            let once = utf8_percent_encode(secret, UNRESERVED).to_string();
            let twice = utf8_percent_encode(&once, UNRESERVED).to_string();
            let json = serde_json::Value::from(secret).to_string();
            let json = json[1..json.len() - 1].to_owned();
            let mut texts = vec![twice, once, json, secret.to_owned()];
            texts.dedup();
            texts.retain(|text| !text.is_empty());
            guises.extend(texts.into_iter().map(|text| Guise {
                text: text.into(),
                tells: secret.len() >= TELLING,
            }));
        }
        guises.sort_by_key(|guise| std::cmp::Reverse(guise.text.expose_secret().len()));
        Self { guises }
    }

    /// A message without any of them.
    pub(crate) fn hidden_in_message(&self, text: &str) -> Option<String> {
        hidden(text, self.guises.iter())
    }

    /// A word that is kept without those that can be told from a part of any word, and without access tokens. None if
    /// there is nothing to hide, which is found out at little cost: most words are shorter than a secret.
    pub(crate) fn hidden_in_word(&self, text: &str) -> Option<String> {
        let without = hidden(text, self.guises.iter().filter(|guise| guise.tells));
        let text = without.as_deref().unwrap_or(text);
        if !text.split_whitespace().any(is_access_token) {
            return without;
        }
        let words = text.split_whitespace();
        Some(
            words
                .map(without_access_token)
                .collect::<Vec<_>>()
                .join(" "),
        )
    }
}

fn hidden<'a>(text: &str, guises: impl Iterator<Item = &'a Guise>) -> Option<String> {
    let mut hidden: Option<String> = None;
    for guise in guises {
        let (secret, text) = (
            guise.text.expose_secret(),
            hidden.as_deref().unwrap_or(text),
        );
        if text.len() >= secret.len() && text.contains(secret) {
            hidden = Some(text.replace(secret, HIDDEN));
        }
    }
    hidden
}

/// The word, or what stands for it if it is an access token.
pub(crate) fn without_access_token(word: &str) -> &str {
    if is_access_token(word) { HIDDEN } else { word }
}

/// The three letters are `{"` in base64, with which every access token of Testflinger starts.
fn is_access_token(word: &str) -> bool {
    word.len() > 40 && word.contains("eyJ")
}

/// Whether something was hidden in a word that was kept of an answer. Such a word is for the eyes of people: it is
/// nobody's name.
pub fn is_hidden(word: &str) -> bool {
    word.contains(HIDDEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_in_every_guise() {
        let secrets = Secrets::new(&["long/\"secret".into(), "longPlain".into()]);
        for text in [
            "long/\"secret",
            "long%2F%22secret",
            "long%252F%2522secret",
            r#"long/\"secret"#,
            "longPlain",
        ] {
            let text = format!("<{text}>");
            assert_eq!(secrets.hidden_in_message(&text).as_deref(), Some("<***>"));
            assert_eq!(secrets.hidden_in_word(&text).as_deref(), Some("<***>"));
        }
    }

    #[test]
    fn a_secret_that_another_one_holds_leaves_no_rest_of_it() {
        let secrets = Secrets::new(&["hunter22".into(), "hunter22AndMore".into()]);
        let hidden = secrets.hidden_in_word("a hunter22AndMore, a hunter22");
        assert_eq!(hidden.as_deref(), Some("a ***, a ***"));
    }

    #[test]
    fn a_short_secret_leaves_words_alone() {
        let secrets = Secrets::new(&["wait".into(), "".into()]);
        assert_eq!(secrets.hidden_in_word("waiting"), None);
        let message = secrets.hidden_in_message("waiting");
        assert_eq!(message.as_deref(), Some("***ing"));
    }

    #[test]
    fn an_access_token_is_hidden_in_a_word() {
        let token = format!("eyJhbGciOiJIUzI1NiJ9.{}", "a".repeat(60));
        let secrets = Secrets::default();
        let hidden = secrets.hidden_in_word(&format!("Bearer\t{token} sent"));
        assert_eq!(hidden.as_deref(), Some("Bearer *** sent"));
        assert_eq!(secrets.hidden_in_word("eyJ is short"), None);
    }
}
