//! A JSON reader whose texts come without our secrets.
//!
//! It looks at decoded texts, so no way of writing one in JSON passes it, and only at those that somebody asks for: what
//! is skipped costs nothing.

use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde_json::de::Read;

use crate::secrets::Secrets;

/// Reads the one value of a JSON text; with secrets, hides them in it.
pub(crate) fn read<'de, T: Deserialize<'de>>(
    json: impl Read<'de>,
    secrets: Option<&Secrets>,
) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::new(json);
    let value = match secrets {
        Some(secrets) => T::deserialize(Hiding {
            inner: &mut json,
            secrets,
        }),
        None => T::deserialize(&mut json),
    }?;
    json.end()?;
    Ok(value)
}

/// Something that takes part in reading, with the secrets that pass neither through it nor through its parts.
#[derive(Clone, Copy)]
struct Hiding<'s, T> {
    inner: T,
    secrets: &'s Secrets,
}

impl<'s, T> Hiding<'s, T> {
    fn of<U>(&self, inner: U) -> Hiding<'s, U> {
        Hiding {
            inner,
            secrets: self.secrets,
        }
    }
}

/// Methods that take a visitor last and hand it on as one that hides.
macro_rules! hand_on {
    ($($method:ident($($name:ident: $type:ty),*))*) => {
        $(fn $method<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, Self::Error> {
            let visitor = self.of(visitor);
            self.inner.$method($($name,)* visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Hiding<'_, D> {
    type Error = D::Error;

    hand_on! {
        deserialize_any()
        deserialize_bool()
        deserialize_i8()
        deserialize_i16()
        deserialize_i32()
        deserialize_i64()
        deserialize_u8()
        deserialize_u16()
        deserialize_u32()
        deserialize_u64()
        deserialize_f32()
        deserialize_f64()
        deserialize_char()
        deserialize_str()
        deserialize_string()
        deserialize_bytes()
        deserialize_byte_buf()
        deserialize_option()
        deserialize_unit()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_seq()
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_identifier()
        deserialize_ignored_any()
    }
}

/// What a JSON reader calls, and nothing else: bytes are no part of JSON.
impl<'de, V: Visitor<'de>> Visitor<'de> for Hiding<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        match self.secrets.hidden_in_word(text) {
            Some(hidden) => self.inner.visit_string(hidden),
            None => self.inner.visit_str(text),
        }
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<V::Value, E> {
        match self.secrets.hidden_in_word(text) {
            Some(hidden) => self.inner.visit_string(hidden),
            None => self.inner.visit_borrowed_str(text),
        }
    }

    fn visit_string<E: Error>(self, text: String) -> Result<V::Value, E> {
        let hidden = self.secrets.hidden_in_word(&text);
        self.inner.visit_string(hidden.unwrap_or(text))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        self.inner.visit_bool(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.inner.visit_i64(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        self.inner.visit_u64(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        self.inner.visit_f64(value)
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<V::Value, D::Error> {
        let some = self.of(some);
        self.inner.visit_some(some)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        let inner = self.of(inner);
        self.inner.visit_newtype_struct(inner)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        let seq = self.of(seq);
        self.inner.visit_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let map = self.of(map);
        self.inner.visit_map(map)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        let variant = self.of(variant);
        self.inner.visit_enum(variant)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Hiding<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer = self.of(deserializer);
        self.inner.deserialize(deserializer)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Hiding<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.of(seed);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Hiding<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let seed = self.of(seed);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.of(seed);
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 's, A: EnumAccess<'de>> EnumAccess<'de> for Hiding<'s, A> {
    type Error = A::Error;
    type Variant = Hiding<'s, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let (seed, secrets) = (self.of(seed), self.secrets);
        let (name, inner) = self.inner.variant_seed(seed)?;
        Ok((name, Hiding { inner, secrets }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Hiding<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.of(seed);
        self.inner.newtype_variant_seed(seed)
    }

    hand_on! {
        tuple_variant(len: usize)
        struct_variant(fields: &'static [&'static str])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::de::IgnoredAny;
    use serde_json::Value;
    use serde_json::de::{SliceRead, StrRead};

    use super::*;
    use crate::{List, Object, Short};

    fn secrets() -> Secrets {
        Secrets::new(&["hunter2Mark".into()])
    }

    fn hiding<'de, T: Deserialize<'de>>(json: &'de str) -> T {
        read(StrRead::new(json), Some(&secrets())).unwrap()
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
        Named(String),
        Pair(String, u8),
        Both { name: String },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        word: String,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        #[serde(flatten)]
        inner: Inner,
        short: Option<Short>,
        kinds: Vec<Kind>,
        missing: Option<String>,
        pair: (String, i8),
    }

    #[test]
    fn a_secret_is_hidden_wherever_a_text_can_stand() {
        let outer: Outer = hiding(
            r#"{"word": "a hunter2Mark b", "hunter2Mark": "hunter2Mark", "short": "hunter2Mark",
                "kinds": ["plain", {"named": "hunter2Mark"}, {"pair": ["hunter2Mark", 1]},
                          {"both": {"name": "hunter2Mark"}}],
                "pair": ["hunter2Mark", -1], "missing": null}"#,
        );
        let hidden = || "***".to_owned();
        let want = Outer {
            inner: Inner {
                word: "a *** b".into(),
            },
            short: Some(Short(hidden())),
            kinds: vec![
                Kind::Plain,
                Kind::Named(hidden()),
                Kind::Pair(hidden(), 1),
                Kind::Both { name: hidden() },
            ],
            missing: None,
            pair: (hidden(), -1),
        };
        assert_eq!(outer, want);
        let map: BTreeMap<String, Value> =
            hiding(r#"{"hunter2Mark": [{"a hunter2Mark": ["hunter2Mark", 1.5, true, null]}]}"#);
        let text = serde_json::to_string(&map).unwrap();
        assert_eq!(text, r#"{"***":[{"a ***":["***",1.5,true,null]}]}"#);
    }

    #[test]
    fn no_way_of_writing_a_text_passes() {
        for written in [
            "hunter2Mark",
            r"\u0068unter2Mark",
            r"hunter2M\u0061rk",
            r"x\/hunter2Mark",
        ] {
            let List(words): List<String> = hiding(&format!(r#"["{written}"]"#));
            assert!(words[0].ends_with("***"), "{words:?}");
        }
    }

    #[test]
    fn a_long_word_is_cut_only_without_its_secrets() {
        for before in 240..260 {
            let text = format!(r#"["{}hunter2Mark"]"#, "x".repeat(before));
            let List(words): List<Short> = hiding(&text);
            assert!(!words[0].0.contains("hunt"), "{words:?}");
        }
    }

    #[test]
    fn a_text_without_secrets_is_read_as_if_there_were_none() {
        let text = include_str!("../../laws/tests/result.json");
        let plain: Value = serde_json::from_str(text).unwrap();
        assert_eq!(hiding::<Value>(text), plain);
        let slice = read::<Value>(SliceRead::new(text.as_bytes()), None).unwrap();
        assert_eq!(slice, plain);
        let Object(_): Object<IgnoredAny> = hiding(text);
        for bad in ["", "{", "{} {}", "[1,]", "nul"] {
            let why = |secrets: Option<&Secrets>| {
                let read = read::<Value>(StrRead::new(bad), secrets);
                read.unwrap_err().to_string()
            };
            assert_eq!(why(Some(&secrets())), why(None), "{bad}");
        }
    }
}
