//! Shapes that a derived reader would let through, and the reading itself.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::de::IoRead;
use tokio::sync::mpsc;

use crate::ends::Ends;
use crate::guard::Guard;
use crate::hiding;
use crate::secrets::Secrets;

/// More elements than any lab has. Keeps a well-formed endless list from filling the memory.
const LONGEST_LIST: usize = 100_000;

/// A JSON object. A derived reader of a struct whose fields may all be missing takes `[]` as well.
pub struct Object<T>(pub T);

/// A JSON list of at most 100,000 elements.
pub struct List<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Only<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Only(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
            type Value = List<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    if elements.len() == LONGEST_LIST {
                        return Err(A::Error::custom(format_args!(
                            "more than {LONGEST_LIST} elements"
                        )));
                    }
                    elements.push(element);
                }
                Ok(List(elements))
            }
        }
        deserializer.deserialize_seq(Bounded(PhantomData))
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// What happens to the strings of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Strings {
    /// Our secrets are hidden in them.
    Hiding,
    /// They stay as they are.
    Bare,
    /// They stay as they are, and long ones lose their beginning instead of their end: at least so many bytes as written
    /// stay.
    Ends(usize),
}

impl Strings {
    /// What is hidden in them.
    pub(crate) fn secrets(self, ours: &Secrets) -> Option<&Secrets> {
        match self {
            Self::Hiding => Some(ours),
            Self::Bare | Self::Ends(_) => None,
        }
    }
}

/// Parses what comes out of `chunks`. Blocks, so it belongs on a thread of its own.
pub(crate) fn parse_chunks<T: DeserializeOwned>(
    chunks: mpsc::Receiver<Bytes>,
    strings: Strings,
    ours: &Secrets,
) -> serde_json::Result<T> {
    let chunks = Chunks {
        chunks,
        rest: Bytes::new(),
    };
    let reader: Box<dyn Read> = match strings {
        Strings::Ends(keep) => Box::new(Guard::with_longest(Ends::new(chunks, keep), usize::MAX)),
        Strings::Hiding | Strings::Bare => Box::new(Guard::new(chunks)),
    };
    let reader = BufReader::with_capacity(64 << 10, reader);
    hiding::read(IoRead::new(reader), strings.secrets(ours))
}

struct Chunks {
    chunks: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.rest = chunk,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Loose {
        name: Option<String>,
    }

    #[test]
    fn an_object_is_nothing_else() {
        let Object(loose) =
            serde_json::from_str::<Object<Loose>>(r#"{"name": "a", "other": [1]}"#).unwrap();
        assert_eq!(loose.name.as_deref(), Some("a"));
        for other in ["[]", "null", "1", r#""text""#] {
            assert!(
                serde_json::from_str::<Object<Loose>>(other).is_err(),
                "{other}"
            );
        }
    }

    #[test]
    fn a_list_is_bounded() {
        let list = |length: usize| format!("[{}]", vec!["1"; length].join(","));
        assert_eq!(
            serde_json::from_str::<List<u8>>(&list(LONGEST_LIST))
                .unwrap()
                .0
                .len(),
            LONGEST_LIST
        );
        assert!(serde_json::from_str::<List<u8>>(&list(LONGEST_LIST + 1)).is_err());
        assert!(serde_json::from_str::<List<u8>>("{}").is_err());
    }
}
