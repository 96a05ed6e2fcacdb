//! Finds a property of an event by the name that a plan gives: in `properties`, then in `context`, then among the fields
//! that the collector derives. Filters and breakdowns are looked up for every event of a step, and so JSON is parsed
//! only where the name occurs in it, and what does not bear the name is skipped, not built.
//!
//! What counts as a value: text that is not empty, `true` and `false`, and a number, of which there is one text however it is
//! written ([`checked_toml::number_text`]). Null, empty text, objects and lists are absent. A dotted name reaches into objects, but a key that is literally so named wins. Of a key that
//! is written twice the last counts.

use std::borrow::Cow;

use memchr::memchr;
use memchr::memmem::Finder;

use super::find::find;

/// What an event is matched by.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventFields<'a> {
    /// The event's name.
    pub event: &'a str,
    /// A JSON object, or empty.
    pub properties: &'a str,
    /// A JSON object, or empty.
    pub context: &'a str,
    /// What the collector worked out.
    pub derived: Derived<'a>,
}

/// Fields that the collector derives; empty where it could not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Derived<'a> {
    pub channel: &'a str,
    pub source: &'a str,
    pub medium: &'a str,
    pub campaign: &'a str,
    pub content: &'a str,
    pub device: &'a str,
    pub browser: &'a str,
    pub os: &'a str,
    pub country: &'a str,
}

impl<'a> Derived<'a> {
    /// Names of the derived fields.
    pub const NAMES: [&'static str; 9] =
        ["channel", "source", "medium", "campaign", "content", "device", "browser", "os", "country"];

    /// The field of this name; empty where there is none.
    pub fn get(&self, name: &str) -> &'a str {
        match name {
            "channel" => self.channel,
            "source" => self.source,
            "medium" => self.medium,
            "campaign" => self.campaign,
            "content" => self.content,
            "device" => self.device,
            "browser" => self.browser,
            "os" => self.os,
            "country" => self.country,
            _ => "",
        }
    }
}

/// What a property is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyValue<'a> {
    /// As text.
    pub text: Cow<'a, str>,
    /// Whether it is a number, not a text that looks like one.
    pub is_number: bool,
}

/// The name of a property, prepared for many look-ups.
#[derive(Debug, Clone)]
pub struct PropertyName {
    name: Box<str>,
    /// The name in quotes.
    literal: Finder<'static>,
    /// The part before the first dot in quotes, where there is a dot.
    head: Option<Finder<'static>>,
}

impl PropertyName {
    /// Prepares a name.
    pub fn new(name: &str) -> Self {
        let quoted = |key: &str| Finder::new(&format!("\"{key}\"")).into_owned();
        let head = name.split_once('.').map(|(head, _)| quoted(head));
        Self { name: name.into(), literal: quoted(name), head }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The property's value; `None` where it is absent everywhere.
    pub fn look_up<'a>(&self, fields: &EventFields<'a>) -> Option<PropertyValue<'a>> {
        self.find_in(fields.properties).or_else(|| self.find_in(fields.context)).or_else(|| {
            let derived = fields.derived.get(&self.name);
            let text = (!derived.is_empty()).then_some(Cow::Borrowed(derived))?;
            Some(PropertyValue { text, is_number: false })
        })
    }

    fn find_in<'a>(&self, json: &'a str) -> Option<PropertyValue<'a>> {
        if self.may_be_in(json.as_bytes()) { find(json, &self.name) } else { None }
    }

    /// A key stands in the text as it is, in quotes, unless something in the text is escaped.
    fn may_be_in(&self, json: &[u8]) -> bool {
        self.literal.find(json).is_some()
            || self.head.as_ref().is_some_and(|head| head.find(json).is_some())
            || memchr(b'\\', json).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// The definition, on a parsed value.
    fn naive(value: &Value, name: &str) -> Option<String> {
        let object = value.as_object()?;
        let literal = object.get(name).and_then(|value| match value {
            Value::String(text) => (!text.is_empty()).then(|| text.clone()),
            Value::Number(number) => checked_toml::number_text::of_written(&number.to_string()),
            Value::Bool(boolean) => Some(boolean.to_string()),
            _ => None,
        });
        literal.or_else(|| {
            let (head, rest) = name.split_once('.')?;
            naive(object.get(head)?, rest)
        })
    }

    fn found(json: &str, name: &str) -> Option<String> {
        let fields = EventFields { properties: json, ..EventFields::default() };
        PropertyName::new(name).look_up(&fields).map(|value| value.text.into_owned())
    }

    #[test]
    fn properties_come_before_context_and_context_before_derived_fields() {
        let derived = Derived { channel: "direct", ..Derived::default() };
        let channel = PropertyName::new("channel");
        let look_up = |properties, context| {
            channel
                .look_up(&EventFields { event: "e", properties, context, derived })
                .unwrap()
                .text
                .into_owned()
        };
        assert_eq!(look_up(r#"{"channel":"email"}"#, r#"{"channel":"social"}"#), "email");
        assert_eq!(look_up(r#"{"channel":""}"#, r#"{"channel":"social"}"#), "social");
        assert_eq!(look_up(r#"{"channel":null}"#, r#"{"channel":{"name":"x"}}"#), "direct");
        assert_eq!(look_up("", ""), "direct");
        assert!(
            PropertyName::new("colour").look_up(&EventFields { derived, ..EventFields::default() }).is_none()
        );
    }

    #[test]
    fn every_derived_field_has_its_name() {
        let derived = Derived {
            channel: "channel",
            source: "source",
            medium: "medium",
            campaign: "campaign",
            content: "content",
            device: "device",
            browser: "browser",
            os: "os",
            country: "country",
        };
        assert!(Derived::NAMES.iter().all(|name| derived.get(name) == *name));
    }

    #[test]
    fn escaped_keys_are_found() {
        assert_eq!(found(r#"{"\u0063hannel":"email"}"#, "channel").as_deref(), Some("email"));
        assert_eq!(found(r#"{"a":{"\u0062":1}}"#, "a.b").as_deref(), Some("1"));
        assert_eq!(found(r#"{"say \"x\"":true}"#, "say \"x\"").as_deref(), Some("true"));
    }

    #[test]
    fn a_literal_dotted_key_wins_over_nesting() {
        assert_eq!(found(r#"{"a":{"b":"nested"},"a.b":"literal"}"#, "a.b").as_deref(), Some("literal"));
        assert_eq!(found(r#"{"a":{"b":"nested"},"a.b":null}"#, "a.b").as_deref(), Some("nested"));
        assert_eq!(found(r#"{"a":{"b.c":1,"b":{"c":2}}}"#, "a.b.c").as_deref(), Some("1"));
    }

    #[test]
    fn of_a_key_written_twice_the_last_counts() {
        assert_eq!(found(r#"{"a":"x","a":"y"}"#, "a").as_deref(), Some("y"));
        assert_eq!(found(r#"{"a":"x","a":null}"#, "a"), None);
        assert_eq!(found(r#"{"a":{"b":1},"a":2}"#, "a.b"), None);
    }

    #[test]
    fn a_number_has_one_text_and_integers_of_any_length_their_digits() {
        let cases = [
            ("1", "1"),
            ("-7", "-7"),
            ("1.50", "1.5"),
            ("100.0", "100"),
            ("1E2", "100"),
            ("-0", "0"),
            ("1e21", "1000000000000000000000"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551617", "18446744073709551617"),
            ("-18446744073709551618", "-18446744073709551618"),
        ];
        for (written, expected) in cases {
            for json in
                [format!("{{\"n\":{written}}}"), format!("{{\"o\":{{}},\"n\": {written} ,\"p\":[1]}}")]
            {
                assert_eq!(found(&json, "n").as_deref(), Some(expected), "{json}");
            }
            assert_eq!(found(&format!("{{\"a\":{{\"n\":{written}}}}}"), "a.n").as_deref(), Some(expected));
            assert_eq!(found(&format!("{{\"n\":\"x\",\"n\":{written}}}"), "n").as_deref(), Some(expected));
            assert_eq!(found(&format!("{{\"n\":{written},\"n\":\"x\"}}"), "n").as_deref(), Some("x"));
        }
    }

    #[test]
    fn damaged_json_has_no_properties() {
        for json in [r#"{"a":1"#, r#"{"a":1} x"#, r#"["a"]"#, r#""a""#, "null"] {
            assert_eq!(found(json, "a"), None, "{json}");
        }
    }

    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("a".to_owned()),
            Just("b".to_owned()),
            Just("a.b".to_owned()),
            Just("é\"\\".to_owned()),
            Just(String::new())
        ]
    }

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|boolean| boolean.to_string()),
            any::<i64>().prop_map(|number| number.to_string()),
            any::<f64>().prop_map(|number| json!(number).to_string()),
            "[ -~é\n]{0,6}".prop_map(|text| json!(text).to_string()),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            let members = prop::collection::vec((key(), any::<bool>(), inner.clone()), 0..4);
            prop_oneof![
                members.prop_map(|members| object(&members)),
                prop::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(","))),
            ]
        })
    }

    /// Written by hand, so that keys come twice and escaped.
    fn object(members: &[(String, bool, String)]) -> String {
        let escaped =
            |key: &str| key.chars().map(|letter| format!("\\u{:04x}", letter as u32)).collect::<String>();
        let member = |(key, escape, value): &(String, bool, String)| match escape {
            true => format!("\"{}\":{value}", escaped(key)),
            false => format!("{}: {value}", json!(key)),
        };
        format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(" , "))
    }

    proptest! {
        #[test]
        fn finding_equals_parsing_everything(
            members in prop::collection::vec((key(), any::<bool>(), value()), 0..5),
            path in prop::collection::vec(key(), 1..4),
        ) {
            let (text, name) = (object(&members), path.join("."));
            let parsed: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(found(&text, &name), naive(&parsed, &name), "{} in {}", name, text);
        }
    }
}
