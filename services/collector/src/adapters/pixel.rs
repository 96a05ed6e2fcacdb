//! `GET /v1/pixel.gif?key=…&event=…&anonymousId=…`: the query of a picture as an event, for emails and pages without
//! script. Segment's `data=` (base64 of an event as JSON) works too.
//!
//! `type, event, name, anonymousId, userId, messageId, timestamp` are the event's; `properties` is a JSON object;
//! `url`, `referrer` and `utm_*` go to its context; `key` is the write key; every other parameter is a property (text).

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::body::decode_base64;

/// The event as JSON, for the JSON adapter; an unreadable `data` or `properties` becomes a rejection there.
pub(crate) fn parse(query: &str) -> Vec<u8> {
    let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
    if let Some((_, data)) = pairs.iter().find(|(name, _)| name == "data") {
        return decode(data);
    }
    let (mut event, mut properties) = (Map::new(), Map::new());
    let (mut page, mut campaign) = (Map::new(), Map::new());
    for (name, value) in pairs {
        let value = value.into_owned();
        match name.as_ref() {
            "key" | "import" => {}
            "type" | "event" | "name" | "anonymousId" | "userId" | "messageId" | "timestamp" => {
                event.insert(name.into_owned(), Value::String(value));
            }
            "properties" => match serde_json::from_str(&value) {
                Ok(Value::Object(object)) => properties.extend(object),
                _ => drop(event.insert("properties".into(), Value::String(value))),
            },
            "url" | "referrer" => drop(page.insert(name.into_owned(), Value::String(value))),
            name => match name.strip_prefix("utm_") {
                Some("campaign") => drop(campaign.insert("name".into(), Value::String(value))),
                Some(field) => drop(campaign.insert(field.into(), Value::String(value))),
                None => drop(properties.insert(name.into(), Value::String(value))),
            },
        }
    }
    event.entry("properties").or_insert(Value::Object(properties));
    let context = [("page".into(), Value::Object(page)), ("campaign".into(), Value::Object(campaign))];
    event.insert("context".into(), Value::Object(Map::from_iter(context)));
    Value::Object(event).to_string().into_bytes()
}

/// What is no JSON is an event all the same, that will be rejected and counted: nobody reads the answer to a picture.
fn decode(data: &str) -> Vec<u8> {
    let decoded = decode_base64(data).unwrap_or_default();
    let is_json = serde_json::from_slice::<IgnoredAny>(&decoded).is_ok();
    if is_json { decoded } else { b"[null]".to_vec() }
}

#[cfg(test)]
mod tests {
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
    fn base64_of_either_alphabet_is_read() {
        let event = r#"{"event":"ü?>","userId":"1"}"#;
        for data in [URL_SAFE_NO_PAD.encode(event), STANDARD.encode(event)] {
            assert_eq!(parse(&format!("data={data}")), event.as_bytes());
        }
    }
}
