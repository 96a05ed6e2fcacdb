//! `GET /v1/pixel.gif?key=…&event=…&anonymousId=…`: the query of a picture as an event, for emails and pages without
//! script. Segment's `data=` (base64 of an event as JSON) works too.
//!
//! `type, event, name, anonymousId, userId, messageId, timestamp` are the event's; `properties` is a JSON object;
//! `url`, `referrer` and `utm_*` go to its context; `key` is the write key; every other parameter is a property (text).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::{RawValue, to_raw_value};

use crate::body::decode_base64;
use crate::fields::Fields;

pub(super) fn json(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_default()
}

/// The event as JSON, for the JSON adapter; an unreadable `data` or `properties` becomes a rejection there.
pub(crate) fn parse(query: &str) -> Vec<u8> {
    let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
    if let Some((_, data)) = pairs.iter().find(|(name, _)| name == "data") {
        return decode(data);
    }
    let (mut event, mut properties) = (Fields::new(), Fields::new());
    let (mut page, mut campaign) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in pairs {
        match name.as_ref() {
            "key" | "import" => {}
            "type" | "event" | "name" | "anonymousId" | "userId" | "messageId" | "timestamp" => {
                event.insert(name.into_owned(), json(&value));
            }
            "properties" => match serde_json::from_str(&value) {
                Ok::<Fields, _>(object) => properties.extend(object),
                Err(_) => drop(event.insert("properties".into(), json(&value))),
            },
            "url" | "referrer" => drop(page.insert(name, value)),
            other => match other.strip_prefix("utm_") {
                Some("campaign") => drop(campaign.insert(Cow::from("name"), value)),
                Some(field) => drop(campaign.insert(Cow::from(field.to_owned()), value)),
                None => drop(properties.insert(name.into_owned(), json(&value))),
            },
        }
    }
    event.entry("properties".into()).or_insert_with(|| json(&properties));
    event.insert("context".into(), json(&BTreeMap::from([("page", page), ("campaign", campaign)])));
    serde_json::to_vec(&event).unwrap_or_default()
}

/// What is no JSON is an event all the same, that will be rejected and counted: nobody reads the answer to a picture.
fn decode(data: &str) -> Vec<u8> {
    let decoded = decode_base64(data).unwrap_or_default();
    let is_json = serde_json::from_slice::<IgnoredAny>(&decoded).is_ok();
    if is_json { decoded } else { b"[null]".to_vec() }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    #[test]
    fn a_query_becomes_an_event() {
        let query = "key=wk&event=email_open&userId=u%201&utm_source=news&utm_campaign=may&plan=pro&url=https%3A%2F%2Fa.b%2F";
        let event: Value = serde_json::from_slice(&parse(query)).unwrap();
        let expected = serde_json::json!({
            "event": "email_open", "userId": "u 1", "properties": {"plan": "pro"},
            "context": {"page": {"url": "https://a.b/"}, "campaign": {"source": "news", "name": "may"}},
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn numbers_of_properties_keep_their_own_digits() {
        let event = parse(
            "event=a&anonymousId=1e3&properties=%7B%22order%22:18446744073709551617,%22v%22:1.50%7D&x=2",
        );
        let event = String::from_utf8(event).unwrap();
        let properties = r#""properties":{"order":18446744073709551617,"v":1.50,"x":"2"}"#;
        assert!(event.contains(properties) && event.contains(r#""anonymousId":"1e3""#), "{event}");
        let unreadable: Value = serde_json::from_slice(&parse("event=a&properties=%5B1%5D&x=2")).unwrap();
        assert_eq!(unreadable["properties"], "[1]");
    }

    #[test]
    fn base64_of_either_alphabet_is_read() {
        let event = r#"{"event":"ü?>","userId":"1"}"#;
        for data in [URL_SAFE_NO_PAD.encode(event), STANDARD.encode(event)] {
            assert_eq!(parse(&format!("data={data}")), event.as_bytes());
        }
    }
}
