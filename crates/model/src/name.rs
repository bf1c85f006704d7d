//! Names that come from outside, and the one way they become part of a subject or a key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

/// The longest name accepted, in bytes. MAAS keeps tag names below this, and a subject must stay short.
const LONGEST: usize = 256;

/// A rack: a MAAS tag name. Letters, digits, `_` and `-`, at most 256 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String)]
pub struct RackName(String);

/// A machine: the short host name in MAAS, which is also the name of its Testflinger agent. Free text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String)]
pub struct MachineName(String);

/// Why a name was refused. The text names the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left of the name after trimming.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// More than 256 bytes.
    #[error("the {what} `{start}...` is {length} bytes long; at most {LONGEST} are allowed")]
    TooLong {
        /// What was being named.
        what: &'static str,
        /// The first characters of it.
        start: String,
        /// Its length in bytes.
        length: usize,
    },
    /// A rack name holds something that no MAAS tag can hold.
    #[error(
        "`{name}` is not a rack name: {character:?} is not allowed; \
         a rack is a MAAS tag of letters, digits, `_` and `-`"
    )]
    Character {
        /// The refused name, escaped for printing.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// A token that this encoding cannot have made.
    #[error("`{0}` is not an encoded name")]
    Token(String),
}

impl RackName {
    /// Checks and keeps a rack name.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = checked("rack name", name.into())?;
        match name
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || *c == '_' || *c == '-'))
        {
            Some(character) => Err(NameError::Character {
                name: name.escape_debug().to_string(),
                character,
            }),
            None => Ok(Self(name)),
        }
    }

    /// The name as MAAS knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MachineName {
    /// Checks and keeps a machine name: anything that is not empty and not longer than 256 bytes.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        checked("machine name", name.into()).map(Self)
    }

    /// The name as MAAS and Testflinger know it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as one subject token or one part of a bucket key.
    pub fn token(&self) -> String {
        encode(&self.0)
    }

    /// Reads back what [`MachineName::token`] wrote.
    pub fn from_token(token: &str) -> Result<Self, NameError> {
        Self::new(decode(token)?)
    }
}

fn checked(what: &'static str, name: String) -> Result<String, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty(what));
    }
    if name.len() > LONGEST {
        let start = name
            .chars()
            .take(32)
            .collect::<String>()
            .escape_debug()
            .to_string();
        return Err(NameError::TooLong {
            what,
            start,
            length: name.len(),
        });
    }
    Ok(name)
}

/// Letters, digits, `_` and `-` stay; every other byte becomes `=` and two hex digits. The result is a valid NATS
/// subject token and a valid part of a key-value key, and no two names share one.
fn encode(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            token.push(char::from(byte));
        } else {
            token.push_str(&format!("={byte:02X}"));
        }
    }
    token
}

fn decode(token: &str) -> Result<String, NameError> {
    let bad = || {
        NameError::Token(
            token
                .chars()
                .take(64)
                .collect::<String>()
                .escape_debug()
                .to_string(),
        )
    };
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'=' => {
                let digits = [rest.next().ok_or_else(bad)?, rest.next().ok_or_else(bad)?];
                let digits = str::from_utf8(&digits).map_err(|_| bad())?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
            }
            byte => bytes.push(byte),
        }
    }
    let name = String::from_utf8(bytes).map_err(|_| bad())?;
    // Only what `encode` writes is accepted, so that one name never has two tokens.
    if encode(&name) == token {
        Ok(name)
    } else {
        Err(bad())
    }
}

macro_rules! text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
        /// Without the copy that being made into a `String` first would take: answers hold thousands.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}
text!(RackName);
text!(MachineName);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rack_is_a_maas_tag_name() {
        assert!(RackName::new("r7").is_ok());
        assert!(RackName::new("Rack_7-a").is_ok());
        for bad in [
            "",
            "r 7",
            "r.7",
            "r*",
            ">",
            "r7\n",
            "räck",
            "{",
            &"x".repeat(257),
        ] {
            let error = RackName::new(bad).unwrap_err().to_string();
            assert!(!error.contains('\n'), "{error}");
        }
        assert_eq!(
            RackName::new("r.7").unwrap_err().to_string(),
            "`r.7` is not a rack name: '.' is not allowed; a rack is a MAAS tag of letters, digits, `_` and `-`"
        );
    }

    #[test]
    fn awkward_machine_names_become_plain_tokens() {
        let token = MachineName::new("node 3.lab*>=/é").unwrap().token();
        assert_eq!(token, "node=203=2Elab=2A=3E=3D=2F=C3=A9");
        assert!(MachineName::from_token("a=2").is_err());
        assert!(MachineName::from_token("a=ZZ").is_err());
        assert!(
            MachineName::from_token("a=41").is_err(),
            "`A` has only one token"
        );
        assert!(MachineName::from_token("=FF").is_err());
    }

    proptest! {
        #[test]
        fn every_machine_name_comes_back_from_its_token(name in "\\PC{1,60}") {
            let name = MachineName::new(name).unwrap();
            let token = name.token();
            prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-=".contains(&b)));
            prop_assert_eq!(MachineName::from_token(&token).unwrap(), name);
        }

        #[test]
        fn decoding_never_panics(token in "\\PC{0,60}") {
            let _ = MachineName::from_token(&token);
        }
    }
}
