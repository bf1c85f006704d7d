use std::fmt;
use std::str::FromStr;

use oauth1_request::signature_method::PLAINTEXT;
use oauth1_request::{Builder, Token};
use rest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

/// A MAAS API key: `consumer:token:secret`, as `maas apikey` and the web page print it.
#[derive(Clone)]
pub struct ApiKey {
    consumer: String,
    token: String,
    secret: SecretString,
}

/// The parts of a key that MAAS makes have 18 and 32 characters.
const TELLING: usize = 8;

/// Why a key was refused. Never shows any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing was given.
    #[error("the MAAS API key is empty; copy it from the user's preferences in MAAS")]
    Empty,
    /// It does not have three parts.
    #[error(
        "the MAAS API key has {0} part(s) separated by `:`; it needs three: consumer key, token key and token secret"
    )]
    Parts(usize),
    /// A part is empty.
    #[error(
        "the {0} of the MAAS API key is empty; a key reads `consumer key:token key:token secret`"
    )]
    EmptyPart(&'static str),
    /// A part holds what no key holds, most likely from copying.
    #[error(
        "the {part} of the MAAS API key holds {what} at position {position}; copy the key again"
    )]
    Character {
        /// Which part.
        part: &'static str,
        /// What kind of character.
        what: &'static str,
        /// Where in the part, counted from 1.
        position: usize,
    },
}

impl ApiKey {
    /// Reads a key. White space around it is fine, as a file's line end.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let parts: Vec<&str> = text.split(':').collect();
        let [consumer, token, secret] = parts[..] else {
            return Err(KeyError::Parts(parts.len()));
        };
        for (part, value) in [
            ("consumer key", consumer),
            ("token key", token),
            ("token secret", secret),
        ] {
            if value.is_empty() {
                return Err(KeyError::EmptyPart(part));
            }
            if let Some(at) = value
                .chars()
                .position(|character| !character.is_ascii_graphic())
            {
                let what = if value.chars().nth(at).is_some_and(char::is_whitespace) {
                    "white space"
                } else {
                    "a character that is not plain ASCII"
                };
                return Err(KeyError::Character {
                    part,
                    what,
                    position: at + 1,
                });
            }
        }
        Ok(Self {
            consumer: consumer.to_owned(),
            token: token.to_owned(),
            secret: secret.into(),
        })
    }

    /// What to keep out of messages: the secret part, and the two others unless they are so short that they could be
    /// any word.
    pub fn secrets(&self) -> Vec<SecretString> {
        let names = [&self.consumer, &self.token].into_iter();
        let names = names.filter(|name| name.len() >= TELLING);
        let names = names.map(|name| SecretString::from(name.as_str()));
        std::iter::once(self.secret.clone()).chain(names).collect()
    }

    /// The `Authorization` header of one GET, with its own nonce and timestamp.
    pub(crate) fn sign(&self, address: &str) -> HeaderValue {
        let token = Token::from_parts(
            self.consumer.as_str(),
            "",
            self.token.as_str(),
            self.secret.expose_secret(),
        );
        let header = Builder::<_, &str>::with_token(token, PLAINTEXT).get(address, &());
        let mut header =
            HeaderValue::try_from(header).expect("every value in it is percent-encoded");
        header.set_sensitive(true);
        header
    }
}

impl FromStr for ApiKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_key_is_refused_by_part_and_never_shown() {
        for (text, want) in [
            ("", "empty"),
            (" \n", "empty"),
            ("hunter2", "1 part"),
            ("a:hunter2", "2 part"),
            ("a:b:hunter2:d", "4 part"),
            (":b:hunter2", "consumer key"),
            ("a::hunter2", "token key"),
            ("a:hunter2:", "token secret"),
            (
                "a:b:hun ter2",
                "token secret of the MAAS API key holds white space at position 4",
            ),
            (
                "a:bé:hunter2",
                "token key of the MAAS API key holds a character that is not plain ASCII at position 2",
            ),
            ("\"a:b\u{200b}:hunter2", "token key"),
        ] {
            let error = ApiKey::parse(text).unwrap_err();
            assert!(error.to_string().contains(want), "{text:?}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_good_key_is_never_shown_either() {
        let key = ApiKey::parse(" consumer:token:hunter2\n").unwrap();
        assert_eq!(format!("{key:?}"), "ApiKey(***)");
        assert!(!format!("{:?}", key.sign("http://h/")).contains("hunter2"));
    }
}
