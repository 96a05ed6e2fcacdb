//! Walks through a JSON object for one name and skips the rest. Only [`super::lookup`] calls it, which says what is
//! found and what counts as absent.
//!
//! Of a number beyond 64-bit integers only its own text tells the digits. Those are rare, so that the walk which finds one is
//! repeated, keeping texts; whatever else is found costs nothing for it.

use std::borrow::Cow;
use std::fmt;

use checked_toml::number_text;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::lookup::PropertyValue;

/// The value of `name` in an object. `None` also where `json` is not an object or is damaged.
pub(super) fn find<'a>(json: &'a str, name: &str) -> Option<PropertyValue<'a>> {
    let of_number = |text: String| PropertyValue { text: Cow::Owned(text), is_number: true };
    match walk(json, name, Plain)? {
        Plainly::Text(text) => Some(PropertyValue { text, is_number: false }),
        Plainly::Number(text) => Some(of_number(text)),
        Plainly::Large => match walk(json, name, Written)? {
            Plainly::Number(text) => Some(of_number(text)),
            Plainly::Text(_) | Plainly::Large => None,
        },
    }
}

fn walk<'a, L: Leaf<'a>>(json: &'a str, name: &str, leaf: L) -> Found<'a> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let found = InObject { name, leaf }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    found
}

/// Looks for a name in whatever comes; only objects have it.
#[derive(Clone, Copy)]
struct InObject<'n, L> {
    name: &'n str,
    leaf: L,
}

/// Takes the value that is looked for.
trait Leaf<'de>: DeserializeSeed<'de, Value = Found<'de>> + Copy {}

impl<'de, L: DeserializeSeed<'de, Value = Found<'de>> + Copy> Leaf<'de> for L {}

/// Takes a text, number or boolean.
#[derive(Clone, Copy)]
struct Plain;

/// The same, numbers by their own digits.
#[derive(Clone, Copy)]
struct Written;

/// A value.
enum Plainly<'de> {
    /// Or a boolean.
    Text(Cow<'de, str>),
    Number(String),
    /// Maybe an integer beyond 64 bits.
    Large,
}

/// Of this size on, a number that is read as a float may have been written as an integer: 2^63.
const LARGE: f64 = 9_223_372_036_854_775_808.0;

/// Compares a key with the name and its part before the first dot.
struct Key<'n> {
    name: &'n str,
}

enum KeyIs {
    Name,
    Head,
    Other,
}

type Found<'de> = Option<Plainly<'de>>;

/// What is not an object, or not plain: read to its end and absent.
macro_rules! absent {
    ($($visit:ident($type:ty)),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Found<'de>, E> {
            Ok(None)
        })*
    };
}

impl<L> InObject<'_, L> {
    fn rest(self) -> Self {
        Self { name: self.name.split_once('.').map_or("", |(_, rest)| rest), leaf: self.leaf }
    }
}

impl<'de, L: Leaf<'de>> DeserializeSeed<'de> for InObject<'_, L> {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, L: Leaf<'de>> Visitor<'de> for InObject<'_, L> {
    type Value = Found<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let (mut literal, mut nested) = (None, None);
        while let Some(key) = map.next_key_seed(Key { name: self.name })? {
            match key {
                KeyIs::Name => literal = map.next_value_seed(self.leaf)?,
                KeyIs::Head => nested = map.next_value_seed(self.rest())?,
                KeyIs::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(literal.or(nested))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Found<'de>, A::Error> {
        skip_list(seq)
    }

    fn visit_unit<E>(self) -> Result<Found<'de>, E> {
        Ok(None)
    }

    absent!(visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));
}

impl<'de> DeserializeSeed<'de> for Plain {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Plain {
    type Value = Found<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Found<'de>, E> {
        Ok((!text.is_empty()).then_some(Plainly::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Found<'de>, E> {
        Ok((!text.is_empty()).then(|| Plainly::Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Found<'de>, E> {
        Ok(Some(Plainly::Text(Cow::Borrowed(if boolean { "true" } else { "false" }))))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Found<'de>, E> {
        Ok(Some(Plainly::Number(number.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Found<'de>, E> {
        Ok(Some(Plainly::Number(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Found<'de>, E> {
        let is_large = number.abs() >= LARGE;
        Ok(Some(if is_large { Plainly::Large } else { Plainly::Number(number_text::of_f64(number)) }))
    }

    fn visit_unit<E>(self) -> Result<Found<'de>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Found<'de>, A::Error> {
        skip_list(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

impl<'de> DeserializeSeed<'de> for Written {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        if json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return Ok(number_text::of_written(json).map(Plainly::Number));
        }
        Plain.deserialize(&mut serde_json::Deserializer::from_str(json)).map_err(D::Error::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = KeyIs;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<KeyIs, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = KeyIs;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<KeyIs, E> {
        if key == self.name {
            return Ok(KeyIs::Name);
        }
        let is_head = self.name.split_once('.').is_some_and(|(head, _)| head == key);
        Ok(if is_head { KeyIs::Head } else { KeyIs::Other })
    }
}

fn skip_list<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Found<'de>, A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(None)
}
