//! Words of a stranger that are kept.

use serde::{Deserialize, Deserializer};

/// The longest word that is kept whole, in bytes: as long as a name may be.
const LONGEST: usize = 256;

/// A text that loses its end beyond 256 bytes and then ends with `…`: longer than any name that racktick accepts, so
/// it never equals one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Short(pub String);

impl From<String> for Short {
    fn from(mut text: String) -> Self {
        if text.len() > LONGEST {
            text.truncate(text.floor_char_boundary(LONGEST));
            text.push('…');
            text.shrink_to_fit();
        }
        Self(text)
    }
}

impl From<Short> for String {
    fn from(short: Short) -> Self {
        short.0
    }
}

impl<'de> Deserialize<'de> for Short {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_word_is_cut_where_a_character_ends_and_equals_no_name() {
        for (text, want) in [
            ("waiting".to_owned(), "waiting".to_owned()),
            ("a".repeat(256), "a".repeat(256)),
            ("a".repeat(257), "a".repeat(256) + "…"),
            ("é".repeat(1000), "é".repeat(128) + "…"),
            (
                "a".to_owned() + &"é".repeat(1000),
                "a".to_owned() + &"é".repeat(127) + "…",
            ),
        ] {
            assert_eq!(Short::from(text).0, want);
        }
        assert!("a".repeat(255).len() + "…".len() > LONGEST);
    }
}
