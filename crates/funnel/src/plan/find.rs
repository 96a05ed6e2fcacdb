//! Walks through a JSON object for one name and skips the rest. Only [`super::lookup`] calls it, which says what is
//! found and what counts as absent.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// The value of `name` in an object as text. `None` also where `json` is not an object or is damaged.
pub(super) fn find<'a>(json: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let found = InObject { name }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    found
}

/// Looks for a name in whatever comes; only objects have it.
#[derive(Clone, Copy)]
struct InObject<'n> {
    name: &'n str,
}

/// Takes a text, number or boolean.
struct Plain;

/// Compares a key with the name and its part before the first dot.
struct Key<'n> {
    name: &'n str,
}

enum KeyIs {
    Name,
    Head,
    Other,
}

type Found<'de> = Option<Cow<'de, str>>;

/// What is not an object, or not plain: read to its end and absent.
macro_rules! absent {
    ($($visit:ident($type:ty)),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Found<'de>, E> {
            Ok(None)
        })*
    };
}

impl<'n> InObject<'n> {
    fn rest(self) -> Self {
        Self { name: self.name.split_once('.').map_or("", |(_, rest)| rest) }
    }
}

impl<'de> DeserializeSeed<'de> for InObject<'_> {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for InObject<'_> {
    type Value = Found<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let (mut literal, mut nested) = (None, None);
        while let Some(key) = map.next_key_seed(Key { name: self.name })? {
            match key {
                KeyIs::Name => literal = map.next_value_seed(Plain)?,
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
        Ok((!text.is_empty()).then_some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Found<'de>, E> {
        Ok((!text.is_empty()).then(|| Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Found<'de>, E> {
        Ok(Some(Cow::Borrowed(if boolean { "true" } else { "false" })))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Found<'de>, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Found<'de>, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Found<'de>, E> {
        Ok(Number::from_f64(number).map(|number| Cow::Owned(number.to_string())))
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
